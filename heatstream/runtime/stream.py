"""The stream: capture, inference and whoever takes the results, side by side.

::

    reader thread ── frames ──> workers (prepare, infer, decode) ── in order ──> the caller's loop
                     bounded; live sources keep the newest frame

Live sources have one worker, which gives the least latency: the engine has all cores for the newest frame. Files
have as many as the engine can use at once, with fewer threads for each, which gives the most frames per second.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from heatstream.errors import InputError
from heatstream.results import Gap, Result
from heatstream.runtime.following import follow
from heatstream.runtime.freshness import Freshness
from heatstream.runtime.load import load
from heatstream.runtime.memory import keep_freed_memory
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.sources.base import Frame, Interruptible, Source
from heatstream.runtime.threads import start_thread
from heatstream.runtime.timing import StreamClock, StreamSummary
from heatstream.runtime.work_queue import NOTHING, Nothing, OrderedWorkQueue

__all__ = ["Stream", "stream"]

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # whoever needs longer to stop is waited for when the process ends


@dataclass(frozen=True, eq=False)
class _Captured:
    frame: Frame
    capture_seconds: float
    ready: float  # time.perf_counter() when it had been read


def stream(
    source: Source | str | int | Path | Sequence[str | Path],
    pipeline: PosePipeline | str | Path,
    *,
    frames: int | None = None,
    workers: int | None = None,
    track: bool = True,
    smooth: bool = False,
    budget: float | None = None,
) -> Stream:
    """Find people in every frame of a source, or in the newest ones if it is live.

    Args:
        source: an open source, which the stream closes, or what :func:`heatstream.runtime.sources.open_source` takes:
            a camera's number, a file, a folder, a URL.
        pipeline: what finds people, of :func:`heatstream.load`; it stays open. Or a model's name or file, which is
            loaded, and closed with the stream.
        frames: how many results to give at most; all when left out.
        workers: how many frames to work on at once; what suits source and engine best when left out.
        track: give people ids that stay, see :class:`heatstream.Tracker`; pictures, which do not follow each other,
            have none.
        smooth: take the jitter out of tracked people's keypoints, see :class:`heatstream.Smoother`. Live, they lag a
            little; in files they do not, because results are kept back for a second to look ahead.
        budget: how old a live source's frame may be when its result is given, in seconds since it was taken; older ones
            are dropped as early as that is known, and counted by reason in :meth:`Stream.summary`.

    Returns:
        An iterator of results in the order of the frames. Where a live source is silent, the iterator waits;
        :meth:`Stream.with_gaps` says so at once. Whatever goes wrong in any stage ends it: the results
        before come first, then the error is raised, once.

    Raises:
        SourceError: the source cannot be opened.
        InputError: ``frames`` or ``workers`` is not positive, the pipeline does not find people in frames,
            ``smooth`` is asked for without ``track``, or a ``budget`` for frames that have no age.
        HeatstreamError: the model cannot be loaded; see :func:`heatstream.load`.
    """
    for name, value in (("frames", frames), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if smooth and not track:
        raise InputError("smoothing needs to know who is who: leave track on, or smooth off")
    if not isinstance(pipeline, (PosePipeline, str, Path)):
        raise InputError(
            f"a stream takes a pipeline of heatstream.load, or the name or file of a pose model, got {pipeline!r}"
        )
    if not isinstance(source, Source):
        from heatstream.runtime.sources import open_source

        source = open_source(source)
    own = None
    if budget is not None and not (source.live and budget > 0):
        source.close()
        raise InputError(
            "a budget is a number of seconds above 0 for the age of a live source's frames; "
            + (f"got {budget}" if source.live else f"those of {source.name} have no age")
        )
    if not isinstance(pipeline, PosePipeline):
        try:
            pipeline = own = load(pipeline)
        except BaseException:
            source.close()
            raise
    if workers is None:
        workers = 1 if source.live else pipeline.parallel_runs
    pipeline = pipeline.for_throughput() if workers > 1 else pipeline.for_stream()
    return Stream(source, pipeline, frames=frames, workers=workers, own=own, track=track, smooth=smooth, budget=budget)


class Stream(Iterator[Result]):
    """The results of a source, one by one, while they are found; made by :func:`stream`.

    It starts working at once. A loop that leaves early should close it, or use it in a ``with`` statement; a
    stream that is thrown away stops too. Iterate on one thread, or in one task of an event loop: ``async for`` and
    ``async with`` do the same without blocking the loop. :meth:`summary` and :meth:`close` may be called from any
    thread.
    """

    def __init__(
        self,
        source: Source,
        pipeline: PosePipeline,
        *,
        frames: int | None,
        workers: int,
        own: PosePipeline | None,
        track: bool,
        smooth: bool,
        budget: float | None,
    ) -> None:
        self.source = source
        self._own_pipeline = own
        self._freshness = freshness = Freshness(budget)
        self._told_gap: Gap | None = None
        self._left = frames if budget is not None else None  # results found may be too old when they are given
        work: OrderedWorkQueue[_Captured, Result | Gap] = OrderedWorkQueue(
            waiting=1 if source.live else workers,
            in_flight=workers + 1,
            newest=source.live,
            limit=frames if budget is None else None,
            passed_over=lambda captured: freshness.too_old(captured.frame, "stale_queued"),
        )
        self._queue = work
        found: Iterator[Result | Gap] = iter(lambda: work.next(), None)
        self._results = follow(found, live=source.live, smooth=smooth) if track else found
        self._clock = StreamClock(time.perf_counter())
        self._closed = False
        keep_freed_memory()
        # The threads know the queue and not this object, so that it can be thrown away while they run.
        self._stop = stop = partial(_stop, work, source)
        self._threads = [start_thread("read", lambda: _read(work, source), stop=stop)]
        self._threads += [
            start_thread(f"work-{number}", lambda: _work(work, pipeline, freshness), stop=stop)
            for number in range(workers)
        ]
        weakref.finalize(self, stop)
        _log.info("%s: started, frames at once: %d", source.name, workers)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Result:
        """The next result.

        Raises:
            HeatstreamError: a stage failed; see :func:`stream`.
        """
        while isinstance(item := self._next_item(), Gap):
            pass
        return item

    def with_gaps(self) -> Iterator[Result | Gap]:
        """The same results, and between them what keeps a live source silent.

        A :class:`heatstream.Gap` comes as soon as the silence is noticed, another one, which is ``over``, when frames
        are back.

        Raises:
            HeatstreamError: a stage failed; see :func:`stream`.
        """
        while True:
            try:
                item = self._next_item()
            except StopIteration:
                return
            yield item

    def _next_item(self) -> Result | Gap:
        while not self._closed:
            try:
                item = next(self._results)
            except BaseException:
                self.close()
                raise
            if isinstance(item, Gap):
                return item
            # A frame knows its source's latest interruption; the first result behind it is the one that tells.
            result = self._freshness.given(item)
            if result is not None:
                gap = None if item.gap is self._told_gap else item.gap
                self._told_gap = item.gap
                if self._left is not None:
                    self._left -= 1
                    if self._left == 0:
                        self.close()
                self._clock.add(result.timing, time.perf_counter())
                return replace(result, gap=gap)
        raise StopIteration

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Result:
        """The next result; it is waited for on a thread, so that the event loop goes on. Cancelling stops the stream.

        Raises:
            HeatstreamError: a stage failed; see :func:`stream`.
        """
        try:
            result = await asyncio.to_thread(next, self, None)
        except asyncio.CancelledError:
            self._stop()  # the thread that waits is let go, and closes the stream
            raise
        if result is None:
            raise StopAsyncIteration
        return result

    def summary(self) -> StreamSummary:
        """What the run came to so far."""
        dropped = {"newer": self._queue.dropped, **self._freshness.dropped}
        return self._clock.summary(dropped_by=dropped, warnings=self.source.warnings)

    def close(self) -> None:
        """Stop all stages and close the source; results not yet taken are lost. Takes at most a second.

        A pipeline that the stream has loaded itself is closed too, unless a stage hangs in it.
        """
        if not self._closed:
            _log.info("%s: ended, dropped frames: %d", self.source.name, self._queue.dropped)
        self._closed = True
        self._stop()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._own_pipeline is not None and not any(thread.is_alive() for thread in self._threads):
            self._own_pipeline.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)


def _stop(work_queue: OrderedWorkQueue[_Captured, Result | Gap], source: Source) -> None:
    work_queue.stop()
    if isinstance(source, Interruptible):
        source.interrupt()


def _read(work_queue: OrderedWorkQueue[_Captured, Result | Gap], source: Source) -> None:
    """The reader's thread: it alone touches the source, so nothing closes it under a read."""
    failure: BaseException | None = None
    try:
        frames = iter(source)
        while True:
            start = time.perf_counter()
            frame = next(frames, None)
            ready = time.perf_counter()
            if isinstance(frame, Gap):
                work_queue.notice(frame)
                continue
            if frame is not None and source.live and frame.capture_monotonic is None:
                frame = replace(frame, capture_monotonic=ready, arrival=ready, capture_clock="arrival")
            if frame is None or not work_queue.put(_Captured(frame, ready - start, ready)):
                break
    except BaseException as error:  # every error reaches the consumer
        failure = error
    try:
        source.close()
    except BaseException as error:
        failure = failure or error
    work_queue.end(failure)


def _work(work_queue: OrderedWorkQueue[_Captured, Result | Gap], pipeline: PosePipeline, freshness: Freshness) -> None:
    """A worker's thread."""
    while (job := work_queue.take()) is not None:
        number, captured, dropped = job
        outcome: Result | BaseException | Nothing
        try:
            outcome = _find_people(captured, dropped + freshness.total, pipeline)
            if freshness.too_old(captured.frame, "stale_found"):
                outcome = NOTHING
        except BaseException as error:  # every error reaches the consumer
            outcome = error
        work_queue.deliver(number, outcome)


def _find_people(captured: _Captured, dropped: int, pipeline: PosePipeline) -> Result:
    frame = captured.frame
    begun = time.perf_counter()
    result = pipeline(frame.image)
    found = time.perf_counter()
    ages = {}
    if frame.capture_monotonic is not None and frame.arrival is not None:
        moments = {"arrived": frame.arrival, "read": captured.ready, "begun": begun, "found": found}
        ages = {stage: moment - frame.capture_monotonic for stage, moment in moments.items()}
    return replace(
        result,
        timing=replace(result.timing, capture=captured.capture_seconds, latency=found - captured.ready, ages=ages),
        frame=frame.image,
        frame_index=frame.index,
        capture_time=frame.capture_time,
        dropped=dropped,
        picture=frame.picture,
        image_id=frame.image_id,
        capture_monotonic=frame.capture_monotonic,
        capture_clock=frame.capture_clock,
        gap=frame.gap,
    )
