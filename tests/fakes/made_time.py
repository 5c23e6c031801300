"""Time that is made: it passes only while everybody waits, so that what takes how long is exact on any machine.

Threads that live in it are started by it, and wait by it alone: for a moment, for something in a queue, for each
other. As soon as all of them wait, it becomes the first moment that one of them waits for.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.fakes.patience import HANG_SECONDS

__all__ = ["MadeEvent", "MadeQueue", "MadeThread", "MadeTime"]


class MadeTime:
    """Stands in for the module ``time``; the thread that makes it lives in it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.changed = threading.Condition()
        self._living = 1
        self._waiting: dict[object, tuple[Callable[[], object], float]] = {}

    def perf_counter(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self.changed:
            self.wait_for(lambda: False, self.now + seconds)

    def wait_for(self, ready: Callable[[], object], until: float = math.inf) -> None:
        """With ``changed`` held, wait until something is so, or it is that time."""
        key = object()
        self._waiting[key] = ready, until
        self.go_on()
        while not ready() and self.now < until:
            assert self.changed.wait(HANG_SECONDS), "it hangs"
        del self._waiting[key]

    def begin(self) -> None:
        """One more thread lives in it."""
        with self.changed:
            self._living += 1

    def end(self) -> None:
        """One thread less."""
        with self.changed:
            self._living -= 1
            self.go_on()

    def go_on(self) -> None:
        """With ``changed`` held: something has happened, or it is the next moment that somebody waits for."""
        waiting = self._waiting.values()
        if len(waiting) == self._living and not any(ready() or self.now >= until for ready, until in waiting):
            first = min(until for _, until in waiting)
            if first < math.inf:
                self.now = first
        self.changed.notify_all()


class MadeThread:
    """A thread that lives in made time."""

    def __init__(self, time: MadeTime, work: Callable[[], object]) -> None:
        self._time = time
        self._over = False
        self._work = work
        time.begin()
        threading.Thread(target=self._run, daemon=True).start()

    def is_alive(self) -> bool:
        return not self._over

    def join(self, timeout: float = math.inf) -> None:
        with self._time.changed:
            self._time.wait_for(lambda: self._over, self._time.now + timeout)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._over = True
            self._time.end()


class MadeEvent:
    """An event that threads in made time wait for."""

    def __init__(self, time: MadeTime) -> None:
        self._time = time
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        with self._time.changed:
            self._set = True
            self._time.go_on()

    def wait(self, timeout: float = math.inf) -> bool:
        with self._time.changed:
            self._time.wait_for(self.is_set, self._time.now + timeout)
        return self._set


class MadeQueue:
    """Stands in for ``queue.SimpleQueue``; one thread takes."""

    def __init__(self, time: MadeTime) -> None:
        self._time = time
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        with self._time.changed:
            self._items.append(item)
            self._time.go_on()

    def get(self, timeout: float = math.inf) -> Any:
        with self._time.changed:
            self._time.wait_for(lambda: self._items, self._time.now + timeout)
            return self._take()

    def get_nowait(self) -> Any:
        with self._time.changed:
            return self._take()

    def qsize(self) -> int:
        return len(self._items)

    def _take(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.popleft()
