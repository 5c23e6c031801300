"""The queue between readers, workers and consumer: bounded, in order, and stoppable at any moment.

::

    reader ── lane 0: the frames that wait ──┐                                    ┌── results of lane 0, in order
    reader ── lane 1 ────────────────────────┼── take: one or several ── worker ──┼── results of lane 1, in order
    reader ── lane 2 ────────────────────────┘   lane after lane                  └── ...

Every source has a lane. Frames wait in it until a worker takes them; results wait until it is their turn in their lane.
Whoever waits wakes up when the queue stops, so that no thread can be left hanging.

The consumer is mostly a program's main thread, which Python interrupts anywhere when somebody presses Ctrl-C: between
taking a lock and knowing that it has it, for example. So consumers and :meth:`OrderedWorkQueue.stop` take no locks.
They use queues that are guarded in C; the locks below are for readers and workers, which nothing interrupts.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from heatstream.runtime.batch_window import BatchWindow

__all__ = ["NOTHING", "LaneCounts", "LaneKind", "Nothing", "OrderedWorkQueue", "Taken"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class _End:
    """Stands behind the last result."""


END = _End()


class Nothing:
    """What a worker delivers of a job that came to nothing, which the consumer never sees."""


NOTHING = Nothing()


class _Notice(Generic[Result]):
    """Stands between jobs, then between results, and is neither."""

    def __init__(self, value: Result) -> None:
        self.value = value


@dataclass(frozen=True)
class LaneKind:
    """How a lane is filled.

    Attributes:
        waiting: how many jobs may wait in it for a worker.
        newest: when it is full, drop the oldest waiting job rather than make the reader wait.
    """

    waiting: int
    newest: bool


@dataclass(frozen=True)
class Taken(Generic[Job]):
    """A job that a worker has taken.

    Attributes:
        lane: where it waited.
        number: which of this lane's taken jobs it is, from 0.
        job: itself.
        dropped: how many of this lane were dropped so far.
    """

    lane: int
    number: int
    job: Job
    dropped: int


@dataclass(frozen=True)
class LaneCounts:
    """What went through a lane so far.

    Attributes:
        replaced: jobs that were dropped because a newer one came.
        ended: whether its reader has ended.
        error: what is to be said of the error that it was; None if it was none.
    """

    replaced: int
    ended: bool
    error: str | None


@dataclass(eq=False)
class _Lane(Generic[Job, Result]):
    kind: LaneKind
    jobs: deque[tuple[float, Job | _Notice[Result]]] = field(default_factory=deque)  # with time.monotonic() at arrival
    # One token for each job that may still be put, where the reader waits for room.
    room: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)
    done: dict[int, Result | BaseException | Nothing | _Notice[Result]] = field(default_factory=dict)
    put: int = 0
    replaced: int = 0
    passed_over: int = 0
    taken: int = 0
    given: int = 0
    ended: bool = False  # nothing more will be put
    failure: str | None = None  # what its reader's error says
    error: BaseException | None = None  # itself, until it is raised
    over: bool = False  # its last result was given

    @property
    def first(self) -> Job | None:
        """The job that is next; None where none waits, or a notice comes first."""
        job = self.jobs[0][1] if self.jobs else None
        return None if isinstance(job, _Notice) else job

    def one_left(self) -> None:
        """A job waits no longer, and the reader may go on."""
        if not self.kind.newest:  # it does not wait for room
            self.room.put(None)


class OrderedWorkQueue(Generic[Job, Result]):
    """Jobs in, results out in the same order, lane by lane.

    Args:
        lanes: how each is filled.
        in_flight: how many jobs may be with the workers or done and not yet given out.
        limit: how many jobs to take in all; no limit when None.
        most: how many jobs a worker takes at once.
        window: how long a worker waits for more of them; not at all when None.
        passed_over: whether a job that waits is not worth working on any more; such jobs leave no result.
    """

    def __init__(
        self,
        lanes: Sequence[LaneKind],
        *,
        in_flight: int,
        limit: int | None,
        most: int = 1,
        window: BatchWindow | None = None,
        passed_over: Callable[[Job], bool] | None = None,
    ) -> None:
        self._lanes: list[_Lane[Job, Result]] = [_Lane(kind) for kind in lanes]
        self._limit = limit
        self._most = most
        self._window = window
        self._passed_over = passed_over
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()  # wakes the worker whose turn it is to take
        self._results: queue.SimpleQueue[tuple[int, Result | _Notice[Result] | None] | BaseException | _End]
        self._results = queue.SimpleQueue()
        # One token for each job that may still be taken.
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for lane in self._lanes:
            for _ in range(lane.kind.waiting):
                lane.room.put(None)
        for _ in range(in_flight):
            self._turns.put(None)
        self._filling = threading.Lock()  # of the jobs of all lanes
        self._taking = threading.Lock()
        self._delivering = threading.Lock()
        self._taken = 0
        self._next_lane = 0
        self._stopped = False
        self._over = False

    def counts(self, lane: int) -> LaneCounts:
        """What went through a lane so far. Anyone, at any moment."""
        own = self._lanes[lane]
        return LaneCounts(own.replaced, own.ended, own.failure)

    @property
    def dropped(self) -> int:
        """How many jobs were dropped so far because a newer one was there, of all lanes."""
        return sum(lane.replaced for lane in self._lanes)

    def put(self, lane: int, job: Job) -> bool:
        """Reader: add a job, waiting for room unless the newest wins; False if no more are wanted."""
        own = self._lanes[lane]
        if own.kind.newest:
            self._make_room(own)
        else:
            own.room.get()
        if self._stopped or self._full():
            return False
        now = time.monotonic()
        if self._window is not None:
            self._window.arrived(lane, now)
        with self._filling:
            own.put += 1
            own.jobs.append((now, job))
        self._arrived.put(None)
        return True

    def notice(self, lane: int, value: Result) -> None:
        """Reader: tell the consumer something, once it has the results of all jobs put into this lane so far."""
        with self._filling:
            self._lanes[lane].put += 1
            self._lanes[lane].jobs.append((time.monotonic(), _Notice(value)))
        self._arrived.put(None)

    def end(self, lane: int, error: BaseException | None = None) -> None:
        """Reader: nothing more will come; an error is given to the consumer after the last result of all lanes."""
        own = self._lanes[lane]
        with self._delivering:
            own.failure, own.error = None if error is None else str(error), error
            own.ended = True
            self._give_out(lane)
        self._arrived.put(None)

    def take(self) -> list[Taken[Job]]:
        """Worker: the next jobs, lane after lane, at most as many as are taken at once; none when there is no more."""
        self._turns.get()
        with self._taking:
            if not self._wait():
                self._turns.put(None)  # the next worker finds the same
                self._arrived.put(None)
                return []
            chosen = self._choose()
        for each in chosen:
            self._lanes[each.lane].one_left()
        return chosen

    def deliver(self, lane: int, number: int, result: Result | BaseException | Nothing) -> None:
        """Worker: the result of a job, or why there is none; an error ends the taking of further jobs."""
        own = self._lanes[lane]
        with self._delivering:
            own.done[number] = result
            if isinstance(result, BaseException):
                self._limit = self._taken
                self._arrived.put(None)  # wakes a worker that waits for a job
            self._give_out(lane)

    def next(self) -> tuple[int, Result | None] | None:
        """Consumer: the lane of the next result and that result, None in its place behind a lane's last one.

        Returns:
            None after everything.

        Raises:
            BaseException: what a worker delivered, when its turn has come; after everything, what the first of the
                readers that failed ended with.
        """
        if self._over:
            return None
        result = self._results.get()
        self._over = self._stopped or isinstance(result, _End)
        if self._stopped:
            return None
        if isinstance(result, _End):
            if not self._full():
                result = next((lane.error for lane in self._lanes if lane.error is not None), result)
            for each in self._lanes:
                each.error = None
        if isinstance(result, BaseException):
            try:
                raise result
            finally:
                del result  # the error knows this frame: neither it nor the queue may know the error
        if isinstance(result, _End):
            return None
        lane, value = result
        if isinstance(value, _Notice):
            return lane, value.value
        if value is not None:
            self._turns.put(None)
        return lane, value

    def stop(self) -> None:
        """Anyone, at any moment: let everyone go. What waits is dropped with the queue."""
        self._stopped = True
        self._arrived.put(None)
        self._results.put(END)
        self._turns.put(None)
        for lane in self._lanes:
            lane.room.put(None)

    def _make_room(self, own: _Lane[Job, Result]) -> None:
        with self._filling:
            places = [place for place, entry in enumerate(own.jobs) if not isinstance(entry[1], _Notice)]
            while len(places) >= own.kind.waiting:
                del own.jobs[places.pop(0)]
                places = [place - 1 for place in places]
                own.replaced += 1

    def _settle(self, lane: int) -> None:
        """Take care of what stands first in a lane and needs no worker."""
        own = self._lanes[lane]
        settled = False
        with self._filling:
            while own.jobs:
                job = own.jobs[0][1]
                if isinstance(job, _Notice):
                    own.jobs.popleft()
                    with self._delivering:
                        own.done[own.taken] = job
                        own.taken += 1
                elif self._passed_over is not None and self._passed_over(job):
                    own.jobs.popleft()
                    own.passed_over += 1
                    own.one_left()
                else:
                    break
                settled = True
        if settled:
            with self._delivering:  # it may have been the last thing
                self._give_out(lane)

    def _wait(self) -> bool:
        """Until there are jobs to take, and for more of them as far as that is worth it; False when there are none."""
        begin = time.monotonic()
        while True:
            with suppress(queue.Empty):
                while True:
                    self._arrived.get_nowait()
            # From here on every arrival leaves a token, so that none is missed below.
            if self._stopped or self._full():
                return False
            for lane in range(len(self._lanes)):
                self._settle(lane)
            with self._filling:
                ready = [lane for lane, own in enumerate(self._lanes) if own.first is not None]
                count = sum(len(self._lanes[lane].jobs) for lane in ready)
                oldest = min((self._lanes[lane].jobs[0][0] for lane in ready), default=0.0)
            if not ready:
                if all(lane.ended and not lane.jobs for lane in self._lanes):  # in this order: the end is put last
                    return False
                self._arrived.get()
                continue
            if self._window is None:
                return True
            now = time.monotonic()
            seconds = self._window.left(ready, oldest, now) if count < self._most else 0.0
            if seconds <= 0:
                self._window.waited(now - max(begin, oldest))
                return True
            with suppress(queue.Empty):
                self._arrived.get(timeout=seconds)

    def _choose(self) -> list[Taken[Job]]:
        """One job of each lane in turn, beginning behind the lane that was served last."""
        chosen: list[Taken[Job]] = []
        most = self._most if self._limit is None else min(self._most, self._limit - self._taken)
        with self._filling:
            while len(chosen) < most and any(lane.first is not None for lane in self._lanes):
                lane = self._next_lane
                self._next_lane = (lane + 1) % len(self._lanes)
                own = self._lanes[lane]
                job = own.first
                if job is None:
                    continue
                if chosen and not self._another_turn():
                    self._next_lane = lane
                    break
                own.jobs.popleft()
                chosen.append(Taken(lane, own.taken, job, own.replaced))
                own.taken += 1
                self._taken += 1
        return chosen

    def _another_turn(self) -> bool:
        try:
            self._turns.get_nowait()
        except queue.Empty:
            return False
        return True

    def _full(self) -> bool:
        return self._limit is not None and self._taken >= self._limit

    def _give_out(self, lane: int) -> None:
        """Hand on the results whose turn has come, and the ends behind the last ones."""
        own = self._lanes[lane]
        while own.given in own.done:
            result = own.done.pop(own.given)
            own.given += 1
            if isinstance(result, Nothing):
                self._turns.put(None)
            elif not self._stopped:
                self._results.put(result if isinstance(result, BaseException) else (lane, result))
        gone = own.replaced + own.passed_over + own.taken
        if own.ended and not own.over and own.put == gone and own.given == own.taken:
            own.over = True
            self._results.put((lane, None))
        if (self._full() or all(each.over for each in self._lanes)) and all(
            each.given == each.taken for each in self._lanes
        ):
            self._results.put(END)
