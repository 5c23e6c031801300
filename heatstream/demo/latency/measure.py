"""Glass to result: from the moment a picture is put on the screen to the moment its result is there."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.demo.latency.pattern import CYCLE_SECONDS, draw_pattern, read_pattern
from heatstream.errors import SourceError
from heatstream.results import Result
from heatstream.runtime.stream import Stream

__all__ = ["LatencyReport", "measure_latency"]

WARM_UP_SECONDS = 1.0
MOST_SECONDS = 20.0  # what takes longer was misread
FEWEST = 10
WAITING = 4  # frames that wait to be read; of more, which are left out, nothing is learned
END_SECONDS = 5.0


@dataclass(frozen=True)
class LatencyReport:
    """What was measured, in seconds.

    Attributes:
        total: (N,) float64, from the screen to the result, of every frame whose pattern was read.
        camera: (N,) float64, of that from the screen to the frame's capture time.
        frames: (N,) int64, the ``frame_index`` of each.
        clock: who said that capture time, see :class:`heatstream.Result`.
        unread: frames whose pattern was not read.
    """

    total: NDArray[np.float64]
    camera: NDArray[np.float64]
    frames: NDArray[np.int64]
    clock: str
    unread: int


def measure_latency(results: Stream, show: Callable[[NDArray[np.uint8]], bool], *, seconds: float) -> LatencyReport:
    """Show the time, film it, and see how old it is in each result.

    Args:
        results: of the camera that films what is shown; closed afterwards.
        show: puts a grey picture on the screen and returns once it is there; False ends the measurement. It is called
            on this thread, as window libraries want it.
        seconds: for how long.

    Raises:
        SourceError: the pattern was hardly ever read.
        HeatstreamError: the stream failed.
    """
    begin = time.perf_counter()
    reader = _Reader(begin)
    failures: list[BaseException] = []

    def collect() -> None:
        try:
            for result in results:
                reader.add(time.perf_counter(), result)
        except BaseException as error:  # it is raised where the measurement ends
            failures.append(error)

    collector = threading.Thread(target=collect, name="latency-collect", daemon=True)
    collector.start()
    try:
        while (now := time.perf_counter()) - begin < seconds + WARM_UP_SECONDS and collector.is_alive():
            if not show(draw_pattern(now - begin)):
                break
    finally:
        results.close()
        collector.join(END_SECONDS)
        report = reader.report()
    if failures:
        raise failures[0]
    if len(report.total) < FEWEST:
        raise SourceError(
            f"the pattern was read in {len(report.total)} frames and not in {report.unread}: point the camera at the "
            "window, so that it fills most of the picture, sharp and without reflections"
        )
    return report


class _Reader:
    """Reads patterns beside the stream, so that no result waits for it."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._total: list[float] = []
        self._camera: list[float] = []
        self._frames: list[int] = []
        self._clock = "arrival"
        self._unread = 0
        self._waiting: queue.Queue[tuple[float, Result] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="latency-read", daemon=True)
        self._thread.start()

    def add(self, now: float, result: Result) -> None:
        """A result that was there at ``now``; it is left out while too many wait."""
        if now - self._begin > WARM_UP_SECONDS and not self._waiting.full():
            self._waiting.put((now, result))

    def report(self) -> LatencyReport:
        """What was read, all of it."""
        self._waiting.put(None)
        self._thread.join(END_SECONDS)
        total, camera = np.array(self._total, np.float64), np.array(self._camera, np.float64)
        return LatencyReport(total, camera, np.array(self._frames, np.int64), self._clock, self._unread)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            now, result = item
            shown = read_pattern(result.frame)
            latency = (now - self._begin - shown) % CYCLE_SECONDS if shown is not None else MOST_SECONDS
            if latency >= MOST_SECONDS:
                self._unread += 1
                continue
            self._total.append(latency)
            self._frames.append(result.frame_index)
            self._clock = result.capture_clock
            if result.capture_monotonic is not None:
                self._camera.append(latency - (now - result.capture_monotonic))
