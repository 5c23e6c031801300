"""The queue between reader, workers and consumer: bounded, in order, and stoppable at any moment.

Frames wait on it until a worker takes one; results wait on it until it is their turn. Everything is guarded by one
condition, and everyone who waits wakes up when the queue stops, so that no thread can be left hanging.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

__all__ = ["OrderedWorkQueue"]

RunOptions = TypeVar("RunOptions")
Result = TypeVar("Result")


class OrderedWorkQueue(Generic[RunOptions, Result]):
    """Jobs in, results out in the same order.

    Args:
        waiting: how many jobs may wait for a worker.
        in_flight: how many jobs may be with the workers or done and not yet given out.
        newest: when the queue is full, drop the oldest waiting job rather than make the reader wait.
        limit: how many jobs to take in all; no limit when None.
    """

    def __init__(self, *, waiting: int, in_flight: int, newest: bool, limit: int | None) -> None:
        self._capacity = waiting
        self._in_flight = in_flight
        self._newest = newest
        self._limit = limit
        self._changed = threading.Condition()
        self._waiting: deque[RunOptions] = deque()
        self._done: dict[int, Result | BaseException] = {}
        self._taken = 0
        self._given = 0
        self._dropped = 0
        self._ended = False  # nothing more will be put
        self._end_error: BaseException | None = None
        self._stopped = False

    @property
    def dropped(self) -> int:
        """How many jobs were dropped so far."""
        return self._dropped

    def put(self, job: RunOptions) -> bool:
        """Reader: add a job, waiting for room unless the newest wins; False if no more are wanted."""
        with self._changed:
            if self._newest and len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._dropped += 1
            self._changed.wait_for(lambda: self._stopped or len(self._waiting) < self._capacity)
            if self._stopped or self._full():
                return False
            self._waiting.append(job)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Reader: nothing more will come; an error is given to the consumer after the last result."""
        with self._changed:
            self._ended = True
            self._end_error = error
            self._changed.notify_all()

    def take(self) -> tuple[int, RunOptions, int] | None:
        """Worker: the next job with its number and how many were dropped so far; None when there is no more."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or self._full()
                    or (bool(self._waiting) and self._taken - self._given < self._in_flight)
                    or (self._ended and not self._waiting)
                )
            )
            if self._stopped or self._full() or not self._waiting:
                return None
            number = self._taken
            self._taken += 1
            job = self._waiting.popleft()
            self._changed.notify_all()
            return number, job, self._dropped

    def deliver(self, number: int, result: Result | BaseException) -> None:
        """Worker: the result of a job, or why there is none; an error ends the taking of further jobs."""
        with self._changed:
            self._done[number] = result
            if isinstance(result, BaseException):
                self._limit = self._taken
            self._changed.notify_all()

    def next(self) -> Result | None:
        """Consumer: the next result in order, None after the last one.

        Raises:
            BaseException: what a worker delivered or the reader ended with, when its turn has come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._given in self._done or self._finished())
            if self._stopped:
                return None
            if self._given not in self._done:
                if self._end_error is not None and not self._full():
                    raise self._end_error
                return None
            result = self._done.pop(self._given)
            self._given += 1
            self._changed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        """Anyone: drop everything and let everyone go."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._done.clear()
            self._changed.notify_all()

    def _full(self) -> bool:
        return self._limit is not None and self._taken >= self._limit

    def _finished(self) -> bool:
        """Whether every result there will ever be has been given."""
        no_more = self._full() or (self._ended and not self._waiting)
        return no_more and self._given == self._taken
