"""Counting what gets done in a stretch of time.

Everything is counted between two results: from one that came when the work was in full swing to the last one before
the time was up. Neither what it takes to get going nor what runs out at the end is counted, so that scenarios of
different depth (one frame at a time, several at once, a stream) are measured alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from threading import Lock

from heatstream.results import StageTimes

__all__ = ["MIN_COUNTED", "Counter", "TimedWindow", "alone", "for_throughput"]

MIN_COUNTED = 2
"""Results that every window counts at least, however slow they are."""


@dataclass(frozen=True)
class TimedWindow:
    """What one scenario did in one turn.

    Attributes:
        images: results counted, each of one image or face.
        seconds: between the first and the last of them.
        cpu_seconds: of this process in that time, over all its threads.
        stages: where each frame's time went, where the scenario tells.
        latencies: seconds from a frame's capture to its result, where frames are captured.
        people: how many were found in all the frames.
        dropped: frames that there was no time for.
    """

    images: int
    seconds: float
    cpu_seconds: float
    stages: tuple[StageTimes, ...] = ()
    latencies: tuple[float, ...] = ()
    people: int = 0
    dropped: int = 0


class Counter:
    """Tells when a window is over, and what it came to.

    Args:
        seconds: how long it lasts.
        skip: how many results come before the counting starts.
        per_result: images in each result.
    """

    def __init__(self, seconds: float, *, skip: int = 0, per_result: int = 1) -> None:
        self._deadline = time.perf_counter() + seconds
        self._skip = skip
        self._per_result = per_result
        self._results = 0
        self._first = self._last = (0.0, 0.0)
        self.over = False

    @property
    def counting(self) -> bool:
        """Whether the latest result is counted."""
        return self._results > self._skip + 1

    def add(self) -> bool:
        """Take note of a result; False once there are enough."""
        if self.over:
            return False
        self._results += 1
        now = time.perf_counter(), time.process_time()
        if self._results <= self._skip + 1:
            self._first = now
        self._last = now
        self.over = now[0] >= self._deadline and self._results > self._skip + MIN_COUNTED
        return not self.over

    def window(self) -> TimedWindow:
        """What it came to; the time is that between the first and the last result."""
        counted = max(0, self._results - self._skip - 1) * self._per_result
        return TimedWindow(counted, self._last[0] - self._first[0], self._last[1] - self._first[1])


def alone(work: Callable[[int], object], seconds: float, *, per_result: int = 1) -> TimedWindow:
    """Do the work again and again, with 0, 1, 2 ... as its argument."""
    counter = Counter(seconds, per_result=per_result)
    for number in count():
        work(number)
        if not counter.add():
            break
    return counter.window()


def for_throughput(work: Callable[[int], object], seconds: float, *, at_once: int) -> TimedWindow:
    """Do the work on so many threads at once.

    Raises:
        BaseException: what the work raised; the other threads end after what they are doing.
    """
    counter = Counter(seconds, skip=at_once)
    numbers = count()
    lock = Lock()
    abandoned = False

    def worker() -> None:
        nonlocal abandoned
        try:
            while not (counter.over or abandoned):
                work(next(numbers))
                with lock:
                    counter.add()
        except BaseException:
            abandoned = True
            raise

    with ThreadPoolExecutor(at_once) as pool:
        workers = [pool.submit(worker) for _ in range(at_once)]
        try:
            for one in workers:
                one.result()
        finally:
            abandoned = True
    return counter.window()
