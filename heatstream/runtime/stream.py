"""The stream: capture, inference and whoever takes the results, side by side.

::

    reader thread ── frames ──> workers (prepare, infer, decode) ── in order ──> the caller's loop
                     bounded; live sources keep the newest frame

Live sources have one worker, which gives the least latency: the engine has all cores for the newest frame. Files
have as many as the engine can use at once, with fewer threads for each, which gives the most frames per second.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.results import Faces, Poses
from heatstream.runtime.memory import keep_freed_memory
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose import Finder
from heatstream.runtime.sources.base import Frame, Source
from heatstream.runtime.timing import StageTimes, StreamClock, StreamSummary
from heatstream.runtime.work_queue import OrderedWorkQueue

__all__ = ["Stream", "StreamResult", "stream"]

CLOSE_SECONDS = 1.0  # a reader that hangs in a driver for longer is left behind; it ends with the process


@dataclass(frozen=True, eq=False)
class StreamResult:
    """A frame and its people.

    Attributes:
        frame: (H, W, 3) uint8, BGR; the caller's own memory.
        poses: the people, stamped with frame index and capture time.
        frame_index: number of the frame in its source, from 0; dropped frames leave gaps.
        timing: seconds spent in each stage.
        dropped: how many frames of the source were dropped before this one, since the start.
        picture: file name of a picture; None for frames of a video or camera.
        image_id: of COCO results, the picture's; None where the frame index is.
        faces: their faces, stamped likewise; None where the pipeline is not a
            :class:`heatstream.runtime.pipelines.faces.FaceCascade`.
    """

    frame: NDArray[np.uint8]
    poses: Poses
    frame_index: int
    timing: StageTimes
    dropped: int
    picture: str | None = None
    faces: Faces | None = None
    image_id: int | None = None


@dataclass(frozen=True, eq=False)
class _Captured:
    frame: Frame
    capture_seconds: float
    ready: float  # time.perf_counter() when it had been read


def stream(
    source: Source | str | int | Path | Sequence[str | Path],
    pipeline: Finder,
    *,
    frames: int | None = None,
    workers: int | None = None,
) -> Stream:
    """Find people in every frame of a source, or in the newest ones if it is live.

    Args:
        source: an open source, which the stream closes, or what
            :func:`heatstream.runtime.sources.open_source` takes.
        pipeline: what finds people; it stays open.
        frames: how many results to give at most; all when left out.
        workers: how many frames to work on at once; what suits source and engine best when left out.

    Returns:
        An iterator of results in the order of the frames. Whatever goes wrong in any stage ends it: the results
        before come first, then the error is raised, once.

    Raises:
        SourceError: the source cannot be opened.
        InputError: ``frames`` or ``workers`` is not positive, or the pipeline finds landmarks in given boxes alone.
    """
    given: object = pipeline
    if isinstance(given, LandmarkPipeline):  # which load() gives too, typed as anything
        raise InputError(
            f"{given.info.name} finds landmarks in boxes, not people in frames: load a pose model with it as `faces`"
        )
    for name, value in (("frames", frames), ("workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if not isinstance(source, Source):
        from heatstream.runtime.sources import open_source

        source = open_source(source)
    if workers is None:
        workers = 1 if source.live else pipeline.parallel_runs
    pipeline = pipeline.for_throughput() if workers > 1 else pipeline.in_order()
    return Stream(source, pipeline, frames=frames, workers=workers)


class Stream(Iterator[StreamResult]):
    """Results of a source, being found; made by :func:`stream`.

    It starts working at once. A loop that leaves early should close it, or use it in a ``with`` statement; a
    stream that is thrown away stops too. Iterate on one thread.
    """

    def __init__(self, source: Source, pipeline: Finder, *, frames: int | None, workers: int) -> None:
        self.source = source
        self._belt: OrderedWorkQueue[_Captured, StreamResult] = OrderedWorkQueue(
            waiting=1 if source.live else workers, in_flight=workers + 1, newest=source.live, limit=frames
        )
        self._clock = StreamClock(time.perf_counter())
        self._closed = False
        keep_freed_memory()
        # The threads know the queue and not this object, so that it can be thrown away while they run.
        self._threads = [threading.Thread(target=_read, args=(self._belt, source), name="heatstream-read")]
        self._threads += [
            threading.Thread(target=_work, args=(self._belt, pipeline), name=f"heatstream-work-{number}")
            for number in range(workers)
        ]
        weakref.finalize(self, self._belt.stop)
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> StreamResult:
        """The next result.

        Raises:
            HeatstreamError: a stage failed; see :func:`stream`.
        """
        if self._closed:
            raise StopIteration
        try:
            result = self._belt.next()
        except BaseException:
            self.close()
            raise
        if result is None:
            self.close()
            raise StopIteration
        self._clock.add(result.timing, time.perf_counter())
        return result

    def summary(self) -> StreamSummary:
        """What the run came to so far."""
        return self._clock.summary(dropped=self._belt.dropped, warnings=self.source.warnings)

    def close(self) -> None:
        """Stop all stages and close the source; results not yet taken are lost. Takes at most a second."""
        self._closed = True
        self._belt.stop()
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(work_queue: OrderedWorkQueue[_Captured, StreamResult], source: Source) -> None:
    """The reader's thread: it alone touches the source, so nothing closes it under a read."""
    failure: BaseException | None = None
    try:
        frames = iter(source)
        while True:
            start = time.perf_counter()
            frame = next(frames, None)
            ready = time.perf_counter()
            if frame is None or not work_queue.put(_Captured(frame, ready - start, ready)):
                break
    except BaseException as error:  # whatever it is, the consumer is told
        failure = error
    try:
        source.close()
    except BaseException as error:
        failure = failure or error
    work_queue.end(failure)


def _work(work_queue: OrderedWorkQueue[_Captured, StreamResult], pipeline: Finder) -> None:
    """A worker's thread."""
    while (job := work_queue.take()) is not None:
        number, captured, dropped = job
        outcome: StreamResult | BaseException
        try:
            outcome = _find_people(captured, dropped, pipeline)
        except BaseException as error:  # whatever it is, the consumer is told
            outcome = error
        work_queue.deliver(number, outcome)


def _find_people(captured: _Captured, dropped: int, pipeline: Finder) -> StreamResult:
    frame = captured.frame
    found = pipeline.find(frame.image)
    end = time.perf_counter()
    faces = found.faces
    return StreamResult(
        frame=frame.image,
        poses=found.poses.at(frame_index=frame.index, capture_time=frame.capture_time),
        frame_index=frame.index,
        timing=StageTimes(
            capture=captured.capture_seconds,
            preprocess=found.preprocess,
            engine=found.engine,
            decode=found.decode,
            landmarks=None if faces is None else found.landmarks,
            per_face=found.landmarks / found.faces_tried if found.faces_tried else None,
            latency=end - captured.ready,
        ),
        dropped=dropped,
        picture=frame.picture,
        image_id=frame.image_id,
        faces=None if faces is None else faces.at(frame_index=frame.index, capture_time=frame.capture_time),
    )
