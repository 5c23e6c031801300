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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import numpy as np

from heatstream.errors import InputError
from heatstream.results import Result
from heatstream.runtime.arrangement import Arrangement, fastest_arrangement
from heatstream.runtime.batch_window import ASLEEP_SECONDS, BatchWindow
from heatstream.runtime.following import Follower
from heatstream.runtime.health import Health, RecentRate, SourceHealth, SourceState, stats_of
from heatstream.runtime.load import load
from heatstream.runtime.memory import keep_freed_memory
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.sources.base import Frame, Source
from heatstream.runtime.sources.open import open_sources
from heatstream.runtime.threads import start_thread
from heatstream.runtime.timing import StreamClock, StreamSummary
from heatstream.runtime.work_queue import LaneKind, OrderedWorkQueue, Taken

__all__ = ["Mode", "Stream", "stream"]

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # whoever needs longer to stop is waited for when the process ends


Mode: TypeAlias = Literal["every", "newest", "budget"]
"""Which frames are worked on: every one, for which whoever gives them waits; the newest ones; or the newest ones as
long as they are not older than a budget."""

USUAL_SIZE = (720, 1280)  # px, of a source that does not know the size of its frames
REMEMBERED_AGES = 10_000


@dataclass(frozen=True, eq=False)
class _Captured:
    frame: Frame
    capture_seconds: float
    ready: float  # time.perf_counter() when it had been read


@dataclass(frozen=True, eq=False)
class _Found:
    result: Result
    ready: float  # as of the frame


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
        budget: seconds from the moment that a frame has been read to its turn, at most; for the mode of that name.

    Returns:
        An iterator of results, in the order of the frames within each source. Whatever goes wrong in any stage ends it:
        the results before come first, then the error is raised, once. A source that fails among several ends alone; its
        error is raised when the others have ended too, and :meth:`Stream.health` tells it before.

    Raises:
        SourceError: a source cannot be opened.
        InputError: ``frames``, ``workers`` or ``budget`` is not positive, ``confidence`` not from 0 to 1, there is no
            such mode, the pipeline does not find people in frames, or ``smooth`` is asked for without ``track``.
        HeatstreamError: the model cannot be loaded; see :func:`heatstream.load`.
    """
    for name, value in (("frames", frames), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if smooth and not track:
        raise InputError("smoothing needs to know who is who: leave track on, or smooth off")
    if not 0 <= confidence <= 1:
        raise InputError(f"confidence must be from 0 to 1, got {confidence}")
    check_mode(mode, budget)
    mode = "budget" if budget is not None else mode
    if not isinstance(pipeline, (PosePipeline, str, Path)):
        raise InputError(
            f"a stream takes a pipeline of heatstream.load, or the name or file of a pose model, got {pipeline!r}"
        )
    sources = open_sources(source)
    own = None
    try:
        if not isinstance(pipeline, PosePipeline):
            pipeline = own = load(pipeline)
        arrangement = _arrange(sources, pipeline, workers)
    except BaseException:
        for each in sources:
            each.close()
        if own is not None:
            own.close()
        raise
    lanes = [LaneKind(1 if _drops(each, mode) else arrangement.workers, _drops(each, mode)) for each in sources]
    return Stream(
        sources,
        arrangement,
        lanes=lanes,
        frames=frames,
        own=own,
        track=track,
        smooth=smooth,
        confidence=confidence,
        budget=budget,
    )


def check_mode(mode: str | None, budget: float | None) -> None:
    """Refuse a mode that there is not, and one without the budget that it needs.

    Raises:
        InputError: it is so.
    """
    if mode not in (None, "every", "newest", "budget"):
        raise InputError(f"a mode is every, newest or budget, got {mode!r}")
    if (mode == "budget" and budget is None) or (mode in ("every", "newest") and budget is not None):
        raise InputError("the mode budget and a budget in seconds belong together: mode='budget', budget=0.1")
    if budget is not None and not 0 < budget < float("inf"):
        raise InputError(f"a budget is a positive number of seconds, got {budget}")


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
        lanes: Sequence[LaneKind],
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
        self._window = BatchWindow(len(sources)) if batch > 1 else None
        self._queue: OrderedWorkQueue[_Captured, _Found] = OrderedWorkQueue(
            lanes,
            in_flight=(workers + 1) * batch,
            limit=frames,
            most=batch,
            window=self._window,
            passed_over=None if budget is None else partial(_too_old, budget),
        )
        self._counters = _Counters(len(sources))
        followers = [Follower(live=each.live, smooth=smooth) if track else None for each in sources]
        self._results = _given(self._queue, followers, self._counters, confidence)
        self._clock = StreamClock(time.perf_counter())
        self._closed = False
        keep_freed_memory()
        # The threads know the queue and not this object, so that it can be thrown away while they run.
        work, arrivals, window = self._queue, self._counters.arrived, self._window
        self._threads = [
            start_thread(f"read-{lane}", partial(_read, work, lane, source, arrivals[lane]), stop=work.stop)
            for lane, source in enumerate(sources)
        ]
        several = len(sources) > 1
        self._threads += [
            start_thread(
                f"work-{number}", lambda: _work(work, arrangement.pipeline, window, several=several), stop=work.stop
            )
            for number in range(workers)
        ]
        weakref.finalize(self, work.stop)
        _log.info("%s: started, %s", ", ".join(each.name for each in sources), arrangement)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Result:
        """The next result.

        Raises:
            HeatstreamError: a stage failed; see :func:`stream`.
        """
        if self._closed:
            raise StopIteration
        try:
            result = next(self._results)
        except BaseException:
            self.close()
            raise
        self._clock.add(result.timing, time.perf_counter())
        return result

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
            self._queue.stop()  # the thread that waits is let go, and closes the stream
            raise
        if result is None:
            raise StopAsyncIteration
        return result

    def summary(self) -> StreamSummary:
        """What the run came to so far."""
        warnings = [warning for source in self.sources for warning in source.warnings]
        if len(self.sources) > 1:
            for lane, source in enumerate(self.sources):
                error = self._queue.counts(lane).error
                warnings += [] if error is None else [f"{source.name} has ended, the others went on: {error}"]
        return self._clock.summary(dropped=self._queue.dropped, warnings=tuple(warnings))

    def health(self) -> Health:
        """How it is doing just now; for a monitor that asks every second or so."""
        now = time.perf_counter()
        sources = tuple(self._source_health(lane, now) for lane in range(len(self.sources)))
        dropped: Counter[str] = Counter()
        for source in sources:
            dropped.update(source.dropped)
        given = self._counters.given
        return Health(
            sources,
            results=given.count,
            fps=given.rate(now),
            dropped=dict(dropped),
            ages=stats_of(self._counters.ages),
            waited=None if self._window is None else stats_of(self._window.waits),
        )

    def _source_health(self, lane: int, now: float) -> SourceHealth:
        source, counts, arrived = self.sources[lane], self._queue.counts(lane), self._counters.arrived[lane]
        age = None if arrived.latest is None else now - arrived.latest
        state: SourceState = "awake" if age is not None and age <= ASLEEP_SECONDS else "asleep"
        if counts.ended:
            state = "ended" if counts.error is None else "failed"
        return SourceHealth(
            source.name,
            state,
            frames=arrived.count,
            fps=arrived.rate(now),
            results=self._counters.results[lane],
            dropped={"newer": counts.replaced, "late": counts.passed_over},
            age=age,
            gaps=0,
            reconnects=0,
            error="" if counts.error is None else str(counts.error),
        )

    def close(self) -> None:
        """Stop all stages and close the source; results not yet taken are lost. Takes at most a second.

        A pipeline that the stream has loaded itself is closed too, unless a stage hangs in it.
        """
        if not self._closed:
            names = ", ".join(source.name for source in self.sources)
            _log.info("%s: ended, dropped frames: %d", names, self._queue.dropped)
        self._closed = True
        self._queue.stop()
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


def _too_old(budget: float, captured: _Captured) -> bool:
    return time.perf_counter() - captured.ready > budget


class _Counters:
    """What :meth:`Stream.health` reads: readers and the consumer count, each its own.

    Attributes:
        arrived: of each source its frames.
        results: of each source how many were given.
        given: all results.
        ages: seconds from the moment that a frame had been read to that in which its result was given.
    """

    def __init__(self, sources: int) -> None:
        self.arrived = [RecentRate() for _ in range(sources)]
        self.results = [0] * sources
        self.given = RecentRate()
        self.ages: deque[float] = deque(maxlen=REMEMBERED_AGES)


def _read(work_queue: OrderedWorkQueue[_Captured, _Found], lane: int, source: Source, arrived: RecentRate) -> None:
    """A reader's thread: it alone touches its source, so nothing closes it under a read."""
    failure: BaseException | None = None
    try:
        frames = iter(source)
        while True:
            start = time.perf_counter()
            frame = next(frames, None)
            ready = time.perf_counter()
            if frame is None:
                break
            arrived.add(ready)
            if not work_queue.put(lane, _Captured(frame, ready - start, ready)):
                break
    except BaseException as error:  # every error reaches the consumer
        failure = error
        _log.warning("%s failed: %s", source.name, error)
    try:
        source.close()
    except BaseException as error:
        failure = failure or error
    work_queue.end(lane, failure)


def _work(
    work_queue: OrderedWorkQueue[_Captured, _Found],
    pipeline: PosePipeline,
    window: BatchWindow | None,
    *,
    several: bool,
) -> None:
    """A worker's thread."""
    while jobs := work_queue.take():
        start = time.perf_counter()
        outcomes: Sequence[_Found | BaseException]
        try:
            outcomes = _find_people(jobs, pipeline, several=several)
        except BaseException as error:  # every error reaches the consumer
            outcomes = [error] * len(jobs)
        if window is not None:
            window.worked(time.perf_counter() - start)
        for job, outcome in zip(jobs, outcomes, strict=True):
            work_queue.deliver(job.lane, job.number, outcome)


def _find_people(jobs: Sequence[Taken[_Captured]], pipeline: PosePipeline, *, several: bool) -> list[_Found]:
    images = [job.job.frame.image for job in jobs]
    results = [pipeline(images[0])] if len(jobs) == 1 else pipeline.batch(images)
    now = time.perf_counter()
    found = []
    for job, result in zip(jobs, results, strict=True):
        captured, frame = job.job, job.job.frame
        times = replace(result.timing, capture=captured.capture_seconds, latency=now - captured.ready)
        result = replace(
            result,
            timing=times,
            frame=frame.image,
            frame_index=frame.index,
            capture_time=frame.capture_time,
            dropped=job.dropped,
            picture=frame.picture,
            image_id=frame.image_id,
            source=job.lane if several else None,
        )
        found.append(_Found(result, captured.ready))
    return found


def _given(
    work_queue: OrderedWorkQueue[_Captured, _Found],
    followers: Sequence[Follower | None],
    counters: _Counters,
    confidence: float,
) -> Iterator[Result]:
    """The results for the consumer, on the consumer's thread: their people with ids, those of low scores left out."""

    def ready(lane: int, results: Sequence[Result]) -> Iterator[Result]:
        for result in results:
            counters.results[lane] += 1
            yield _surer(result, confidence) if confidence > 0 else result

    failure = None
    following = dict(enumerate(followers))
    try:
        while (item := work_queue.next()) is not None:
            lane, found = item
            follower = following[lane]
            if found is None:  # the end of a source; what its smoothing kept back comes at once
                following[lane] = None
                yield from ready(lane, [] if follower is None else follower.finish())
                continue
            now = time.perf_counter()
            counters.given.add(now)
            counters.ages.append(now - found.ready)
            yield from ready(lane, [found.result] if follower is None else follower.add(found.result))
    except Exception as error:  # results that are kept back come first
        failure = error
    for lane, follower in following.items():
        yield from ready(lane, [] if follower is None else follower.finish())
    if failure is not None:
        raise failure


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
