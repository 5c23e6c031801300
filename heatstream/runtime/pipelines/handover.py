"""A pipeline that starts on the engine that there is, and goes on with a quicker one as soon as that is built.

::

    frames ──▶ the pipeline that there is ──────────────▶ results       the engine is built in a process of its own,
                   frames and results, to compare ──▶ the new one       opened, and compared on frames of the stream
    frames ──▶ the new pipeline ────────────────────────▶ results       from one frame to the next
"""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream.errors import HeatstreamError
from heatstream.results import Poses, Result
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.threads import start_thread

__all__ = ["Build", "HandoverPipeline", "same_people"]

COMPARED = 10
"""Frames of the stream that both pipelines look at before the new one takes over."""

EMPTY = 300
"""Frames without anybody that are not counted among these; then they are, for a view may stay empty for hours."""

AGREED = 0.9
"""Share of these in which they must find the same people: at the edge of a threshold FP16 may decide otherwise."""

NEAR = 0.05
"""The same keypoints lie closer together than this, on average, relative to the diagonal of the person's box."""


LOOK_SECONDS = 0.2
"""How often to look whether the pipeline was closed."""


class Build(Protocol):
    """Engines being built; :class:`heatstream.engine_builder.trt.build_process.BuildProcess` is one."""

    def wait(self) -> str:
        """Why it failed; empty where it did not."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class HandoverPipeline(PosePipeline):
    """Finds people with one pipeline, and with another one once its engines are built and agree with it.

    Every frame is looked at by one of them and its result returned: none is lost, and none comes twice. Where the build
    or the comparison fails, that is said once, and everything stays as it is.

    Args:
        now: the pipeline that there is.
        begin: starts to build for frames of (height, width) px, and is called once, with the first size that is asked
            for; gives None where there is nothing to build any more.
        open_built: the pipeline upon what was built.
    """

    def __init__(
        self,
        now: PosePipeline,
        begin: Callable[[int, int], Build | None],
        open_built: Callable[[], PosePipeline],
    ) -> None:
        self._current = now
        self._kept = [now]  # closed with this one; a pipeline that others may still be inside is not closed before
        self._begin = begin
        self._open_built = open_built
        self._adapt: Callable[[PosePipeline], PosePipeline] = lambda pipeline: pipeline
        self._running = now
        self._lock = threading.Lock()
        self._users: dict[int, int] = {}
        self._idle = threading.Condition(self._lock)
        self._samples: queue.Queue[tuple[NDArray[np.uint8], Poses]] = queue.Queue(1)
        self._comparing = False
        self._begun = False
        self._closed = False
        self._build: Build | None = None
        self._thread: threading.Thread | None = None

    @property
    def engine(self) -> Engine:
        """The network that finds people just now."""
        return self._current.engine

    @property
    def reason(self) -> str:
        """Why this engine and device just now."""
        return self._current.reason

    @property
    def face_skeleton(self) -> str | None:
        """As of the pipeline just now."""
        return self._current.face_skeleton

    @property
    def parallel_runs(self) -> int:
        """As of the pipeline just now."""
        return self._current.parallel_runs

    def for_throughput(self) -> HandoverPipeline:
        """This one, whose pipelines are run so from now on."""
        return self._adapted(lambda pipeline: pipeline.for_throughput())

    def for_stream(self) -> HandoverPipeline:
        """Likewise."""
        return self._adapted(lambda pipeline: pipeline.for_stream())

    def __call__(self, frame: object) -> Result:
        """Find the people in a frame; see :class:`PosePipeline`."""
        if not self._begun and len(getattr(frame, "shape", ())) == 3:
            self._start(*frame.shape[:2])  # type: ignore[attr-defined]
        with self._user() as pipeline:
            result = pipeline(frame)
        if self._comparing and not self._samples.full():  # one frame at a time, and no frame waits for it
            copy = _host_copy(frame)
            with suppress(queue.Full):
                if copy is not None:
                    self._samples.put_nowait((copy, result.poses))
        return result

    @property
    def largest_batch(self) -> int:
        """As of the pipeline just now."""
        return self._current.largest_batch

    def batch(self, frames: Sequence[object]) -> list[Result]:
        """Find the people in several frames, one by one while two pipelines are compared; see :class:`PosePipeline`."""
        if not self._begun or self._comparing:
            return super().batch(frames)
        with self._user() as pipeline:
            return pipeline.batch(frames)

    def warm_up(self, height: int, width: int) -> None:
        """Make the pipeline that there is ready, and begin to build for frames of this size."""
        self._start(height, width)
        self._current.warm_up(height, width)

    def _close(self) -> None:
        """End the build and close what is open."""
        self._end()
        if self._thread is not None:
            self._thread.join()
        for pipeline in self._kept:
            pipeline.close()

    def _end(self) -> None:
        with self._lock:
            self._closed = True
            build = self._build
        if build is not None:
            build.stop()

    @contextmanager
    def _user(self) -> Iterator[PosePipeline]:
        """The pipeline just now, which is not closed meanwhile."""
        with self._lock:
            pipeline = self._running
            self._users[id(pipeline)] = self._users.get(id(pipeline), 0) + 1
        try:
            yield pipeline
        finally:
            with self._idle:
                self._users[id(pipeline)] -= 1
                self._idle.notify_all()

    def _adapted(self, adapt: Callable[[PosePipeline], PosePipeline]) -> HandoverPipeline:
        with self._lock:
            self._adapt = adapt
            self._running = adapt(self._current)
        return self

    def _start(self, height: int, width: int) -> None:
        with self._lock:
            if self._begun or self._closed:
                return
            self._begun = True
        build = self._begin(height, width)
        if build is None:  # it is there already: nothing has been looked at yet
            try:
                self._take_over(self._open_built())
            except HeatstreamError as error:
                self._go_on(str(error))
            return
        with self._lock:
            self._build = build
        self._thread = start_thread("hand-over", lambda: self._finish(build, height, width), stop=self._end)

    def _finish(self, build: Build, height: int, width: int) -> None:
        """What the thread does: wait for the engines, compare, take over."""
        failure = build.wait()
        if self._closed:
            return
        built: PosePipeline | None = None
        try:
            if not failure:
                built = self._open_built()
                built.warm_up(height, width)
                failure = self._compare(built)
        except HeatstreamError as error:
            failure = str(error)
        finally:
            self._comparing = False
        if self._closed or failure or built is None:
            if built is not None:
                built.close()
            if failure and not self._closed:
                self._go_on(failure)
            return
        self._take_over(built)

    def _go_on(self, failure: str) -> None:
        warnings.warn(f"this goes on with {self.engine.name}: {failure}", RuntimeWarning, stacklevel=2)

    def _compare(self, built: PosePipeline) -> str:
        """Why the new pipeline must not take over; empty where it may."""
        agreed = compared = empty = 0
        self._comparing = True
        while compared < COMPARED and not self._closed:
            try:
                frame, expected = self._samples.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            found = built(frame).poses
            if not len(expected) and not len(found) and empty < EMPTY:
                empty += 1  # which says little
                continue
            compared += 1
            agreed += same_people(expected, found)
        if self._closed:
            return ""
        if agreed < AGREED * COMPARED:
            return f"{built.engine.name} found other people in {COMPARED - agreed} of {COMPARED} frames"
        return ""

    def _take_over(self, built: PosePipeline) -> None:
        """From the next frame on; the old pipeline is closed when the last frame has left it."""
        with self._idle:
            old, running = self._current, self._running
            self._current, self._running = built, self._adapt(built)
            self._kept = [built]
            while self._users.get(id(running)):
                self._idle.wait()
        old.close()


def _host_copy(frame: object) -> NDArray[np.uint8] | None:
    """A frame's pixels in memory of our own, for the caller may use his again; None where we can't say how to copy."""
    if isinstance(frame, np.ndarray):
        return np.array(frame, np.uint8)
    download = getattr(frame, "get", None) or getattr(frame, "cpu", None)  # of CuPy and PyCUDA; of torch
    return None if download is None else np.asarray(download(), np.uint8)


def same_people(expected: Poses, found: Poses) -> bool:
    """Whether two results are the same people, each with keypoints about where the other has them."""
    if len(expected) != len(found):
        return False
    if not len(expected):
        return True
    both = (expected.keypoint_scores > 0)[:, None] & (found.keypoint_scores > 0)[None]
    apart = np.linalg.norm(expected.keypoints[:, None] - found.keypoints[None], axis=3)
    mean = np.where(both, apart, 0).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    seen = np.where((expected.keypoint_scores > 0)[..., None], expected.keypoints, np.nan)
    reach = NEAR * np.maximum(np.linalg.norm(np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1), axis=1), 1 / NEAR)
    fits = both.any(axis=2) & (mean <= reach[:, None])
    rows, columns = linear_sum_assignment(~fits)
    return bool(fits[rows, columns].all())
