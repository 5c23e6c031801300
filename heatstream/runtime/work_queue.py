"""The queue between reader, workers and consumer: bounded, in order, and stoppable at any moment.

Frames wait on it until a worker takes one; results wait on it until it is their turn. Whoever waits wakes up when the
queue stops, so that no thread can be left hanging.

The consumer is mostly a program's main thread, which Python interrupts anywhere when somebody presses Ctrl-C: between
taking a lock and knowing that it has it, for example. So consumers and :meth:`OrderedWorkQueue.stop` take no locks.
They use queues that are guarded in C; the locks below are for readers and workers, which nothing interrupts.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["NOTHING", "Nothing", "OrderedWorkQueue"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class _End:
    """Stands behind the last job and the last result."""


END = _End()


class Nothing:
    """What a worker delivers of a job that came to nothing, which the consumer never sees."""


NOTHING = Nothing()


class _Notice(Generic[Result]):
    """Stands between jobs, then between results, and is neither."""

    def __init__(self, value: Result) -> None:
        self.value = value


class OrderedWorkQueue(Generic[Job, Result]):
    """Jobs in, results out in the same order.

    Args:
        waiting: how many jobs may wait for a worker.
        in_flight: how many jobs may be with the workers or done and not yet given out.
        newest: when the queue is full, drop the oldest waiting job rather than make the reader wait.
        limit: how many results to give in all; no limit when None.
        passed_over: whether a job that a worker would take is not worth it any more; such jobs leave no result.
    """

    def __init__(
        self,
        *,
        waiting: int,
        in_flight: int,
        newest: bool,
        limit: int | None,
        passed_over: Callable[[Job], bool] = lambda job: False,
    ) -> None:
        self._passed_over = passed_over
        self._capacity = waiting
        self._newest = newest
        self._limit = limit
        self._jobs: queue.SimpleQueue[Job | _Notice[Result] | _End] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result | BaseException | _Notice[Result] | _End] = queue.SimpleQueue()
        # One token for each job that may still be put, and for each that may still be taken.
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(waiting):
            self._room.put(None)
        for _ in range(in_flight):
            self._turns.put(None)
        self._put = 0
        self._dropped = 0
        self._untaken = 0
        self._ended = False  # nothing more will be put
        self._end_error: BaseException | None = None
        self._taking = threading.Lock()
        self._taken = 0
        self._delivering = threading.Lock()
        self._done: dict[int, Result | BaseException | Nothing | _Notice[Result]] = {}
        self._given = 0
        self._stopped = False
        self._over = False

    @property
    def dropped(self) -> int:
        """How many jobs were dropped so far because a newer one was there."""
        return self._dropped

    def put(self, job: Job) -> bool:
        """Reader: add a job, waiting for room unless the newest wins; False if no more are wanted."""
        if self._newest:
            self._drop_oldest()
        else:
            self._room.get()
        if self._stopped or self._full():
            return False
        self._put += 1
        self._jobs.put(job)
        return True

    def notice(self, value: Result) -> None:
        """Reader: tell the consumer something, once it has the results of all jobs put so far."""
        self._put += 1
        self._jobs.put(_Notice(value))

    def end(self, error: BaseException | None = None) -> None:
        """Reader: nothing more will come; an error is given to the consumer after the last result."""
        with self._delivering:
            self._end_error = error
            self._ended = True
            self._jobs.put(END)
            self._give_out()

    def take(self) -> tuple[int, Job, int] | None:
        """Worker: the next job with its number and how many were dropped so far; None when there is no more."""
        self._turns.get()
        with self._taking:
            while True:
                job = END if self._stopped or self._full() else self._jobs.get()
                if isinstance(job, _Notice):
                    with self._delivering:
                        self._done[self._taken] = job
                        self._taken += 1
                        self._one_more()
                        self._give_out()
                    continue
                self._room.put(None)
                if isinstance(job, _End) or not self._passed_over(job):
                    break
                self._untaken += 1
            if isinstance(job, _End) or self._stopped or self._full():
                self._jobs.put(END)  # the next worker finds the same
                self._turns.put(None)
                return None
            number = self._taken
            self._taken += 1
            return number, job, self._dropped

    def deliver(self, number: int, result: Result | BaseException | Nothing) -> None:
        """Worker: the result of a job, or why there is none; an error ends the taking of further jobs."""
        with self._delivering:
            self._done[number] = result
            if isinstance(result, Nothing):
                self._one_more()
            if isinstance(result, BaseException):
                self._limit = self._taken
                self._jobs.put(END)  # wakes a worker that waits for a job
            self._give_out()

    def next(self) -> Result | None:
        """Consumer: the next result in order, None after the last one.

        Raises:
            BaseException: what a worker delivered or the reader ended with, when its turn has come.
        """
        if self._over:
            return None
        result = self._results.get()
        self._over = self._stopped or isinstance(result, _End)
        if self._stopped:
            return None
        if isinstance(result, _End):
            if self._end_error is not None and not self._full():
                raise self._end_error
            return None
        if isinstance(result, _Notice):
            return result.value
        self._turns.put(None)
        if isinstance(result, BaseException):
            raise result
        return result

    def stop(self) -> None:
        """Anyone, at any moment: let everyone go. What waits is dropped with the queue."""
        self._stopped = True
        self._jobs.put(END)
        self._results.put(END)
        self._room.put(None)
        self._turns.put(None)

    def _drop_oldest(self) -> None:
        """Make room for the newest job."""
        notices = []
        while self._jobs.qsize() >= self._capacity:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:  # a worker was faster
                break
            if isinstance(job, _End):
                self._jobs.put(END)
                break
            if isinstance(job, _Notice):
                notices.append(job)
            else:
                self._dropped += 1
        for notice in notices:
            self._jobs.put(notice)

    def _one_more(self) -> None:
        """One of the jobs taken gives no result."""
        self._limit = None if self._limit is None else self._limit + 1

    def _full(self) -> bool:
        return self._limit is not None and self._taken >= self._limit

    def _give_out(self) -> None:
        """Hand on the results whose turn has come, and the end behind the last one."""
        while self._given in self._done:
            result = self._done.pop(self._given)
            self._given += 1
            if isinstance(result, Nothing):
                self._turns.put(None)
            elif not self._stopped:
                self._results.put(result)
        no_more = self._full() or (self._ended and self._put - self._dropped - self._untaken == self._taken)
        if no_more and self._given == self._taken:
            self._results.put(END)
