"""The stream: capture, inference and whoever takes the results, side by side.

::

    reader of each source ── frames ──> workers (prepare, infer, decode) ── in order ──> the caller's loop
                             bounded; live sources keep the newest frame

One live source has one worker, which gives the least latency: the engine has all cores for the newest frame. Files
have as many as the engine can use at once, with fewer threads for each, which gives the most frames per second. What
suits several sources is tried; see :mod:`heatstream.runtime.arrangement`.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from heatstream.errors import InputError
from heatstream.results import Gap, Result
from heatstream.runtime.arrangement import Arrangement, fastest_arrangement
from heatstream.runtime.batch_window import ASLEEP_SECONDS, BatchWindow
from heatstream.runtime.following import Follower
from heatstream.runtime.freshness import Freshness
from heatstream.runtime.health import Health, RecentRate, SourceHealth, SourceState, stats_of
from heatstream.runtime.load import load
from heatstream.runtime.memory import keep_freed_memory
from heatstream.runtime.pipelines.base import PosePipeline, check_confidence
from heatstream.runtime.sources.base import Frame, Interruptible, Source
from heatstream.runtime.sources.live import Live
from heatstream.runtime.sources.open import open_sources
from heatstream.runtime.submissions import Mode, check_mode
from heatstream.runtime.threads import start_thread
from heatstream.runtime.timing import StreamClock, StreamSummary
from heatstream.runtime.work_queue import NOTHING, LaneKind, Nothing, OrderedWorkQueue, Taken

__all__ = ["Stream", "stream"]

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # whoever needs longer to stop is waited for when the process ends


USUAL_SIZE = (720, 1280)  # px, of a source that does not know the size of its frames
REMEMBERED_AGES = 10_000


@dataclass(frozen=True, eq=False)
class _Captured:
    frame: Frame
    capture_seconds: float
    ready: float  # time.perf_counter() when it had been read
    lane: _Lane


@dataclass(eq=False)
class _Lane:
    """What is known of one source; its reader, the workers and the consumer each write parts of their own.

    Attributes:
        source: itself.
        freshness: judges its frames' ages, and counts those that were too old.
        follower: gives its people ids; None where nobody is tracked, and behind the last result.
        arrived: its frames.
        results: how many were given.
        gaps: how often its frames stopped coming.
        returns: how often they came back.
        told_gap: that of the result given last.
    """

    source: Source
    freshness: Freshness
    follower: Follower | None
    arrived: RecentRate = field(default_factory=RecentRate)
    results: int = 0
    gaps: int = 0
    returns: int = 0
    told_gap: Gap | None = None


def stream(
    source: Source | str | int | Path | Sequence[Source | str | int | Path],
    pipeline: PosePipeline | str | Path,
    *,
    frames: int | None = None,
    workers: int | None = None,
    track: bool = True,
    smooth: bool = False,
    confidence: float = 0.0,
    mode: Mode | None = None,
    budget: float | None = None,
) -> Stream:
    """Find people in every frame of a source, or of several, or in the newest ones.

    ::

        for result in heatstream.stream([0, 1, "rtsp://camera.local/stream"], "swahr-small"):
            print(result.source, result.poses)

    Args:
        source: an open source, which the stream closes, or what :func:`heatstream.runtime.sources.open_source` takes:
            a camera's number, a file, a folder, a URL. Several of them in a list share the pipeline, and their results
            say which one they are of; several pictures are one source.
        pipeline: what finds people, of :func:`heatstream.load`; it stays open. Or a model's name or file, which is
            loaded, and closed with the stream.
        frames: how many results to give at most; all when left out.
        workers: how many frames to work on at once; what suits sources and engine best when left out.
        track: give people ids that stay, see :class:`heatstream.Tracker`; pictures, which do not follow each other,
            have none. Every source has a tracker of its own.
        smooth: take the jitter out of tracked people's keypoints, see :class:`heatstream.Smoother`. Live, they lag a
            little; in files they do not, because results are kept back for a second to look ahead.
        confidence: leave out people whose score is lower, from 0 to 1, after tracking: people of lower scores help the
            tracker to keep its ids, so load the pipeline without a confidence of its own.
        mode: ``"every"`` loses no frame, and a source that nobody waits for may lag behind; ``"newest"`` drops what a
            newer frame of the same source has overtaken; ``"budget"`` drops what is older than the budget too. When
            left out, every frame of files and the newest ones of live sources.
        budget: how old a live source's frame may be when its result is given, in seconds since it was taken; older ones
            are dropped as early as that is known, and counted by reason in :meth:`Stream.summary`. It is the mode of
            that name.

    Returns:
        An iterator of results, in the order of the frames within each source. Where a live source is silent, the
        iterator waits; :meth:`Stream.with_gaps` says so at once. Whatever goes wrong in any stage ends it:
        the results before come first, then the error is raised, once. A source that fails among several ends alone; its
        error is raised when the others have ended too, and :meth:`Stream.health` tells it before.

    Raises:
        SourceError: a source cannot be opened.
        InputError: ``frames``, ``workers`` or ``budget`` is not positive, ``confidence`` not from 0 to 1, there is no
            such mode, the pipeline does not find people in frames, ``smooth`` is asked for without ``track``, or a
            ``budget`` for frames that have no age.
        HeatstreamError: the model cannot be loaded; see :func:`heatstream.load`.
    """
    for name, value in (("frames", frames), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if smooth and not track:
        raise InputError("smoothing needs to know who is who: leave track on, or smooth off")
    check_confidence(confidence)
    if not isinstance(pipeline, (PosePipeline, str, Path)):
        raise InputError(
            f"a stream takes a pipeline of heatstream.load, or the name or file of a pose model, got {pipeline!r}"
        )
    sources = open_sources(source)
    own = None
    try:
        check_mode(mode, budget)
        if budget is not None:
            mode = "budget"
            _check_ages(sources)
        if not isinstance(pipeline, PosePipeline):
            pipeline = own = load(pipeline)
        arrangement = _arrange(sources, pipeline, workers)
    except BaseException:
        for each in sources:
            each.close()
        if own is not None:
            own.close()
        raise
    kinds = [LaneKind(1 if _drops(each, mode) else arrangement.workers, _drops(each, mode)) for each in sources]
    return Stream(
        sources,
        arrangement,
        kinds=kinds,
        frames=frames,
        own=own,
        track=track,
        smooth=smooth,
        confidence=confidence,
        budget=budget,
    )


def _check_ages(sources: Sequence[Source]) -> None:
    for source in sources:
        if not source.live:
            raise InputError(f"a budget is for the age of live sources' frames, and those of {source.name} have no age")


def _drops(source: Source, mode: Mode | None) -> bool:
    return source.live if mode is None else mode != "every"


def _arrange(sources: Sequence[Source], pipeline: PosePipeline, workers: int | None) -> Arrangement:
    """The form of the pipeline, and how many threads call it with how many frames."""
    if len(sources) > 1 and workers is None:
        return fastest_arrangement(pipeline, len(sources), sources[0].size or USUAL_SIZE)
    if workers is None:
        workers = 1 if sources[0].live else pipeline.parallel_runs
    if workers > 1:
        return Arrangement(pipeline.for_throughput(), workers)
    return Arrangement(pipeline.for_stream() if len(sources) == 1 else pipeline, 1)


class Stream(Iterator[Result]):
    """The results of one or several sources, one by one, while they are found; made by :func:`stream`.

    It starts working at once. A loop that leaves early should close it, or use it in a ``with`` statement; a
    stream that is thrown away stops too. Iterate on one thread, or in one task of an event loop: ``async for`` and
    ``async with`` do the same without blocking the loop. :meth:`summary`, :meth:`health` and :meth:`close` may be
    called from any thread.

    Attributes:
        sources: what it reads, in the order in which they were given.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        arrangement: Arrangement,
        *,
        kinds: Sequence[LaneKind],
        frames: int | None,
        own: PosePipeline | None,
        track: bool,
        smooth: bool,
        confidence: float,
        budget: float | None,
    ) -> None:
        self.sources = tuple(sources)
        self._own_pipeline = own
        workers, batch = arrangement.workers, arrangement.batch
        self._lanes = lanes = [
            _Lane(each, Freshness(budget), Follower(live=each.live, smooth=smooth) if track else None)
            for each in sources
        ]
        self._left = frames if budget is not None else None  # results found may be too old when they are given
        self._window = window = BatchWindow(len(sources)) if batch > 1 else None
        self._queue: OrderedWorkQueue[_Captured, Result | Gap] = OrderedWorkQueue(
            kinds,
            in_flight=(workers + 1) * batch,
            limit=frames if budget is None else None,
            most=batch,
            window=window,
            passed_over=lambda captured: captured.lane.freshness.too_old(captured.frame, "stale_queued"),
        )
        self._results = _followed(self._queue, lanes)
        self._confidence = confidence
        self._clock = StreamClock(time.perf_counter())
        self._given = RecentRate()
        self._ages: deque[float] = deque(maxlen=REMEMBERED_AGES)
        self._closed = False
        keep_freed_memory()
        # The threads know the queue and not this object, so that it can be thrown away while they run.
        work = self._queue
        self._stop = stop = partial(_stop, work, sources)
        self._threads = [
            start_thread(f"read-{number}", partial(_read, work, number, lane), stop=stop)
            for number, lane in enumerate(lanes)
        ]
        self._threads += [
            start_thread(f"work-{number}", partial(_work, work, arrangement.pipeline, window), stop=stop)
            for number in range(workers)
        ]
        self._thrown_away = weakref.finalize(self, stop)
        _log.info("%s: started, %s", ", ".join(each.name for each in sources), arrangement)

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
                number, item = next(self._results)
            except BaseException:
                self.close()
                raise
            several, lane = len(self.sources) > 1, self._lanes[number]
            if isinstance(item, Gap):
                return replace(item, source=number) if several else item
            result = lane.freshness.given(item)
            if result is not None:
                return self._give(replace(result, source=number if several else None), lane)
        raise StopIteration

    def _give(self, result: Result, lane: _Lane) -> Result:
        """A result as the caller gets it, counted."""
        now = time.perf_counter()
        # A frame knows its source's latest interruption; the first result behind it is the one that tells.
        gap = None if result.gap is lane.told_gap else result.gap
        lane.told_gap = result.gap
        lane.results += 1
        self._given.add(now)
        if "given" in result.timing.ages:
            self._ages.append(result.timing.ages["given"])
        self._clock.add(result.timing, now)
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.close()
        return _surer(replace(result, gap=gap), self._confidence)

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
        warnings = [warning for source in self.sources for warning in source.warnings]
        if len(self.sources) > 1:
            for number, source in enumerate(self.sources):
                error = self._queue.counts(number).error
                warnings += [] if error is None else [f"{source.name} has ended, the others went on: {error}"]
        return self._clock.summary(dropped_by=self._dropped(range(len(self.sources))), warnings=tuple(warnings))

    def health(self) -> Health:
        """How it is doing just now; for a monitor that asks every second or so."""
        now = time.perf_counter()
        return Health(
            sources=tuple(self._source_health(number, now) for number in range(len(self.sources))),
            results=self._given.count,
            fps=self._given.rate(now),
            dropped=self._dropped(range(len(self.sources))),
            ages=stats_of(self._ages),
            waited=None if self._window is None else stats_of(self._window.waits),
        )

    def _source_health(self, number: int, now: float) -> SourceHealth:
        lane, counts = self._lanes[number], self._queue.counts(number)
        latest = lane.arrived.latest
        age = None if latest is None else now - latest
        state: SourceState = "awake" if age is not None and age <= ASLEEP_SECONDS else "asleep"
        if counts.ended:
            state = "ended" if counts.error is None else "failed"
        return SourceHealth(
            lane.source.name,
            state,
            frames=lane.arrived.count,
            fps=lane.arrived.rate(now),
            results=lane.results,
            dropped=self._dropped([number]),
            age=age,
            gaps=lane.gaps,
            returns=lane.returns,
            error=counts.error or "",
            live=lane.source.health() if isinstance(lane.source, Live) else None,
        )

    def _dropped(self, numbers: Iterable[int]) -> dict[str, int]:
        """The dropped frames of some sources, by reason."""
        dropped: Counter[str] = Counter(newer=0)
        for number in numbers:
            dropped.update({"newer": self._queue.counts(number).replaced, **self._lanes[number].freshness.dropped})
        return dict(dropped)

    def close(self) -> None:
        """Stop all stages and close the source; results not yet taken are lost. Takes at most a second.

        A pipeline that the stream has loaded itself is closed too, unless a stage hangs in it.
        """
        if not self._closed:
            names = ", ".join(source.name for source in self.sources)
            _log.info("%s: ended, dropped frames: %d", names, self._queue.dropped)
        self._closed = True
        self._stop()
        # It knows the queue, which knows the error that ended it, whose traceback knows this object.
        self._thrown_away.detach()
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


def _stop(work_queue: OrderedWorkQueue[_Captured, Result | Gap], sources: Sequence[Source]) -> None:
    work_queue.stop()
    for source in sources:
        if isinstance(source, Interruptible):
            source.interrupt()


def _read(work_queue: OrderedWorkQueue[_Captured, Result | Gap], number: int, lane: _Lane) -> None:
    """A reader's thread: it alone touches its source, so nothing closes it under a read."""
    failure: BaseException | None = None
    source = lane.source
    try:
        frames = iter(source)
        while True:
            start = time.perf_counter()
            frame = next(frames, None)
            ready = time.perf_counter()
            if isinstance(frame, Gap):
                lane.gaps += not frame.over
                lane.returns += frame.over
                work_queue.notice(number, frame)
                continue
            if frame is None:
                break
            lane.arrived.add(ready)
            if source.live and frame.capture_monotonic is None:
                frame = replace(frame, capture_monotonic=ready, arrival=ready, capture_clock="arrival")
            if not work_queue.put(number, _Captured(frame, ready - start, ready, lane)):
                break
    except BaseException as error:  # every error reaches the consumer
        failure = error
        _log.warning("%s failed: %s", source.name, str(error))  # records may be kept, and the error keeps its stream
    try:
        source.close()
    except BaseException as error:
        failure = failure or error
    work_queue.end(number, failure)
    del failure  # whose traceback knows this frame: see :func:`_work`


def _work(
    work_queue: OrderedWorkQueue[_Captured, Result | Gap], pipeline: PosePipeline, window: BatchWindow | None
) -> None:
    """A worker's thread."""
    while jobs := work_queue.take():
        begun = time.perf_counter()
        outcomes: list[Result | BaseException | Nothing]
        try:
            outcomes = [*_find_people(jobs, pipeline)]
        except BaseException as error:  # every error reaches the consumer
            outcomes = [error] * len(jobs)
        if window is not None:
            window.worked(time.perf_counter() - begun)
        for job in jobs:
            work_queue.deliver(job.lane, job.number, outcomes.pop(0))
        del jobs, job  # an error's traceback knows this frame, and would keep the frames until garbage is collected


def _find_people(jobs: Sequence[Taken[_Captured]], pipeline: PosePipeline) -> list[Result | Nothing]:
    """The results of frames that were taken together; nothing of those that have become too old meanwhile."""
    begun = time.perf_counter()
    images = [job.job.frame.image for job in jobs]
    results = [pipeline(images[0])] if len(jobs) == 1 else pipeline.batch(images)
    found = time.perf_counter()
    outcomes: list[Result | Nothing] = []
    for job, result in zip(jobs, results, strict=True):
        captured, frame, freshness = job.job, job.job.frame, job.job.lane.freshness
        dropped = job.dropped + freshness.total
        if freshness.too_old(frame, "stale_found"):
            outcomes.append(NOTHING)
            continue
        ages = {}
        if frame.capture_monotonic is not None and frame.arrival is not None:
            moments = {"arrived": frame.arrival, "read": captured.ready, "begun": begun, "found": found}
            ages = {stage: moment - frame.capture_monotonic for stage, moment in moments.items()}
        latency = found - captured.ready
        outcomes.append(
            replace(
                result,
                timing=replace(result.timing, capture=captured.capture_seconds, latency=latency, ages=ages),
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
        )
    return outcomes


def _followed(
    work_queue: OrderedWorkQueue[_Captured, Result | Gap], lanes: Sequence[_Lane]
) -> Iterator[tuple[int, Result | Gap]]:
    """What the queue gives, with the number of its source, people with ids; on the consumer's thread."""
    failure = None
    try:
        while (entry := work_queue.next()) is not None:
            number, item = entry
            follower = lanes[number].follower
            if item is None:  # the end of a source; what its smoothing kept back comes at once
                yield from _finished(number, lanes[number])
            elif follower is None or isinstance(item, Gap):  # ids live on as long as time allows
                yield number, item
            else:
                for result in follower.add(item):
                    yield number, result
    except Exception as error:  # results that are kept back come first
        failure = error
    for number, lane in enumerate(lanes):
        yield from _finished(number, lane)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # whose traceback knows this frame


def _finished(number: int, lane: _Lane) -> Iterator[tuple[int, Result]]:
    """What a source's follower has kept back; once."""
    follower, lane.follower = lane.follower, None
    for result in [] if follower is None else follower.finish():
        yield number, result


def _surer(result: Result, confidence: float) -> Result:
    """A result without the people of lower scores, and without their faces."""
    kept = result.poses.scores >= confidence
    if kept.all():
        return result
    faces = result.faces
    if faces is not None:
        own = kept[faces.people]  # of a stream all of them are of people
        faces = replace(faces[own], people=np.cumsum(kept)[faces.people[own]] - 1)
    return replace(result, poses=result.poses[kept], faces=faces)
