"""Live sources that come back: connections opened one after the other, and a watch over them.

::

    attempt thread:  wait, open, read, read ... ── pictures, failures ──>  whoever iterates: the watch
    attempt thread:        (the next one, once the watch has given up the one before)

What comes over the network is taken by a third thread, see :mod:`heatstream.runtime.sources.receiver`: the watch goes
by when it came, and not by when it was decoded.

A library may hang in a read as long as it likes: it hangs on the thread of its attempt, which is left to end by
itself, while the watch says that there is a gap and begins the next attempt.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from heatstream.errors import SourceError
from heatstream.results import Gap
from heatstream.runtime.sources.base import OPEN_SECONDS, Frame
from heatstream.runtime.sources.connection import (
    Connection,
    Connector,
    FinalError,
    Shot,
    StreamEndedError,
    UnknownPathError,
    UnreachableError,
)
from heatstream.runtime.threads import start_thread

__all__ = ["Live", "LiveHealth", "Patience"]

_log = logging.getLogger(__name__)

MOST_LEFT_BEHIND = 4  # attempts that hang in a library; each ends by its own time limit
KNOCK_SECONDS = 1.0
SETTLED_SECONDS = 1.0  # a connection that gave pictures for so long was a good one
MOST_WAITING = 2  # pictures that nobody has taken yet
MOST_BURST_SECONDS = 1.0
FIRST_PICTURE_SECONDS = 10.0  # of a stream that is joined between two whole pictures, when it is opened again
UNKNOWN_PERIOD = 0.04
CLOSE_SECONDS = 0.5
INTERVALS = 32
FEWEST_INTERVALS = 8
PAUSE_SECONDS = 0.5  # longer ones are not the stream's rate
LOOK_AGAIN_SECONDS = 0.05  # after which it is looked whether what had come was a picture


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, in seconds.

    Attributes:
        stall: silence beyond two frame periods that counts as a stall. A tenth is left for noticing within 1 s.
        opening: for an address or device to be open and to give its first picture.
        back_off: before each attempt to open again; the last one is repeated for ever.
        path: for how long to try again where a server has forgotten a path that it knew.
    """

    stall: float = 0.9
    opening: float = OPEN_SECONDS
    back_off: tuple[float, ...] = (0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.0, 10.0, 60.0)
    path: float = 30.0


@dataclass(frozen=True)
class LiveHealth:
    """What a live source has been through.

    Attributes:
        frames: pictures that came.
        connected: whether frames come at present.
        reconnects: connections that gave pictures, beyond the first.
        failures: attempts to open it that failed.
        gaps: interruptions, by the reason of :class:`heatstream.Gap`.
        gap_seconds: how long they took together, the present one included.
        overtaken: pictures that were passed over because newer ones were there before anybody took them.
        buffered: pictures that came in a burst after silence and were passed over for the newest of it.
        undecodable: losses, and parts of streams that were no pictures.
    """

    frames: int
    connected: bool
    reconnects: int
    failures: int
    gaps: dict[str, int]
    gap_seconds: float
    overtaken: int
    buffered: int
    undecodable: int


@dataclass(frozen=True)
class _Opening:
    attempt: _Attempt


@dataclass(frozen=True)
class _Failed:
    attempt: _Attempt
    error: Exception


@dataclass(frozen=True, eq=False)
class _Came:
    attempt: _Attempt
    number: int
    shot: Shot
    undecodable: int  # before it


class _Interrupt:
    """Ends the iteration."""


INTERRUPT = _Interrupt()

_Event: TypeAlias = "_Opening | _Failed | _Came | _Interrupt"


class _Attempt:
    """One thread: wait, open, read until it is lost or not wanted any more."""

    def __init__(self, connector: Connector, events: queue.SimpleQueue[_Event], wait: float, knock: bool) -> None:
        self.connection: Connection | None = None
        self._connector = connector
        self._events = events
        self._wait = wait
        self._knock = knock
        self._given_up = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.thread = start_thread("capture", self._run, stop=self.give_up)

    @property
    def undecodable(self) -> int:
        """How much of what came was no picture."""
        return 0 if self.connection is None else self.connection.undecodable

    @property
    def waiting(self) -> tuple[float, float] | None:
        """Arrivals of the oldest and the newest part of the stream that may yet become a picture."""
        return None if self.connection is None else self.connection.waiting

    def give_up(self) -> None:
        """It is not wanted any more; what it still gives is passed over."""
        self._given_up = True
        self._wake.put(None)

    def _unwanted(self) -> bool:
        return self._given_up

    def _run(self) -> None:
        try:
            self._until_due()
            if self._unwanted():
                return
            self._events.put(_Opening(self))
            connection = self._connector.open()
        except Exception as error:  # whoever waits for pictures learns of every one
            self._events.put(_Failed(self, error))
            return
        self.connection = connection
        try:
            number = -1
            while True:
                shot = connection.read()
                if self._unwanted():
                    break
                number += 1 + shot.passed_over
                self._overtake()
                self._events.put(_Came(self, number, shot, connection.undecodable))
        except Exception as error:
            self._events.put(_Failed(self, error))
        finally:
            connection.close()

    def _until_due(self) -> None:
        """Wait, but not longer than it takes whoever was away to be there again."""
        due = time.monotonic() + self._wait
        while not self._unwanted() and (left := due - time.monotonic()) > 0:
            try:
                self._wake.get(timeout=min(left, KNOCK_SECONDS))
            except queue.Empty:
                if self._knock and self._wait > KNOCK_SECONDS and self._connector.there():
                    return

    def _overtake(self) -> None:
        """Pass over the oldest picture that nobody has taken, since newer ones are there."""
        if self._events.qsize() < MOST_WAITING:
            return
        try:
            oldest = self._events.get_nowait()
        except queue.Empty:
            return
        if not isinstance(oldest, _Came):
            self._events.put(oldest)


class _Rate:
    """The frame period of a connection, by its latest frames."""

    def __init__(self, announced: float | None) -> None:
        self._announced = announced
        self._latest: tuple[float, float] | None = None
        self._intervals: deque[tuple[float, float]] = deque(maxlen=INTERVALS)

    def add(self, arrival: float, captured: float, frames: int) -> None:
        """A frame has come that was taken at ``captured``, so many frames behind the one before."""
        if self._latest is not None:
            apart = ((arrival - self._latest[0]) / frames, (captured - self._latest[1]) / frames)
            if max(apart) <= max(PAUSE_SECONDS, 4 * (self.period or PAUSE_SECONDS)):
                self._intervals.append(apart)
        self._latest = arrival, captured

    @property
    def period(self) -> float | None:
        """Seconds between frames; None while that is unknown."""
        if len(self._intervals) < FEWEST_INTERVALS:
            return 1 / self._announced if self._announced else None
        # In a burst frames arrive faster than they were taken.
        arrived = sum(arrival for arrival, _ in self._intervals)
        captured = sum(capture for _, capture in self._intervals)
        return max(arrived, captured) / len(self._intervals)


class Live:
    """Frames that come at their own pace, from a device or address that is opened again whenever it is lost.

    It is open when it is made, and read from that moment on, so that nothing old waits in it. Iterate on one thread;
    :meth:`interrupt` and :meth:`health` may be called from any.

    Args:
        connector: opens the device or address.
        wait: whether to wait for it where it is not there yet, rather than to raise.
        patience: how long to wait for what.

    Raises:
        SourceError: it cannot be opened, and is not to be waited for; or it never can be.
    """

    live = True
    files: tuple[Path, ...] = ()
    frame_count: int | None = None

    def __init__(self, connector: Connector, *, wait: bool = False, patience: Patience | None = None) -> None:
        self.name = connector.name
        self.size: tuple[int, int] | None = None
        self.fps: float | None = None
        self.warnings: tuple[str, ...] = ()
        self._connector = connector
        self._patience = patience or Patience()
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._held: _Event | None = None  # taken from the events too early
        self._left_behind: list[_Attempt] = []
        self._deadline: float | None = None  # for the next event, in seconds of time.perf_counter()
        self._silence_allowed = 0.0  # behind a picture of the connection
        self._due = 0.0  # when the next picture must have come

        self._silent_since = time.perf_counter()
        self._gap_reason: str | None = None
        self._gaps: Counter[str] = Counter()
        self._gap_seconds = 0.0
        self._failures = 0  # in all
        self._failing: tuple[int, float] | None = None  # how often in a row, and since when

        self._connections = 0
        self._rate = _Rate(None)
        self._first_index = 0  # of the connection's pictures
        self._next_number = 0
        self._step = 1  # pictures from the one before, the overtaken ones included
        self._connected_at = 0.0
        self._frames = self._overtaken = self._buffered = self._undecodable = self._undecodable_seen = 0

        self._begin(0.0, knock=False)
        try:
            self._first = self._next()
            if isinstance(self._first, SourceError) and (not wait or isinstance(self._first, FinalError)):
                raise self._first
        except BaseException:
            self.close()
            raise
        if isinstance(self._first, _Came):
            self.size = (self._first.shot.image.shape[0], self._first.shot.image.shape[1])

    def __iter__(self) -> Iterator[Frame | Gap]:
        gap: Gap | None = None
        item = self._first
        while not isinstance(item, _Interrupt):
            if isinstance(item, SourceError):
                if self._gap_reason is None:
                    yield self._open_gap(item)
                self._try_again(item)
            else:
                came = self._newest_of_burst(item)
                if self._gap_reason is not None:
                    yield (gap := self._close_gap(came))
                yield self._frame(came, gap)
            item = self._next()

    def interrupt(self) -> None:
        """End the iteration soon. Any thread may call this, at any moment, also repeatedly."""
        self._attempt.give_up()
        self._events.put(INTERRUPT)

    def health(self) -> LiveHealth:
        """What it has been through so far."""
        lasting = time.perf_counter() - self._silent_since if self._gap_reason is not None else 0.0
        return LiveHealth(
            frames=self._frames,
            connected=self._frames > 0 and self._gap_reason is None,
            reconnects=max(0, self._connections - 1),
            failures=self._failures,
            gaps=dict(self._gaps),
            gap_seconds=self._gap_seconds + lasting,
            overtaken=self._overtaken,
            buffered=self._buffered,
            undecodable=self._undecodable + self._attempt.undecodable,
        )

    def close(self) -> None:
        """Give the device or connection back; harmless when repeated."""
        self._attempt.give_up()
        self._attempt.thread.join(CLOSE_SECONDS)

    # Waiting

    def _next(self) -> _Came | SourceError | _Interrupt:
        """What happens next: a picture, why there is none, or the end of the iteration."""
        while True:
            event = self._take(self._deadline)
            if event is None:
                if not self._undecided():
                    return self._silence()
                self._deadline = time.perf_counter() + LOOK_AGAIN_SECONDS
                continue
            if isinstance(event, _Interrupt):
                return event
            if event.attempt is not self._attempt:
                continue
            if isinstance(event, _Opening):
                reopened = self._connections > 0 or self._failures > 0
                allowed = max(self._patience.opening, FIRST_PICTURE_SECONDS) if reopened else self._patience.opening
                self._deadline = time.perf_counter() + allowed
            elif isinstance(event, _Failed):
                if not isinstance(event.error, SourceError):
                    raise event.error
                return event.error
            else:
                self._account(event)
                return event

    def _take(self, deadline: float | None) -> _Event | None:
        """The next event, None if there is none until the deadline; what is there counts even if that is over."""
        held, self._held = self._held, None
        if held is not None:
            return held
        try:
            if deadline is None:
                return self._events.get()
            return self._events.get(timeout=max(0.0, deadline - time.perf_counter()))
        except queue.Empty:
            return None

    def _undecided(self) -> bool:
        """Whether a picture may have come in time, and decoding has not got so far yet."""
        waiting = None if self._next_number == 0 else self._attempt.waiting
        if waiting is None:
            return False
        oldest, newest = waiting
        return oldest < self._due and time.perf_counter() < newest + self._silence_allowed

    def _silence(self) -> SourceError:
        """The deadline is over."""
        if self._next_number == 0:
            return SourceError(
                f"{self.name} gives no picture within {self._patience.opening:.0f} s: check the cable or the network, "
                "and whether others use it"
            )
        garbage = self._attempt.undecodable > self._undecodable_seen
        reason = "garbage" if garbage else "stalled"
        return StreamEndedError(f"{self.name} {'sends no pictures' if garbage else 'has stalled'}", reason)

    def _account(self, came: _Came) -> None:
        """Learn from a picture of the present connection."""
        shot, connection = came.shot, came.attempt.connection
        assert connection is not None
        if self._next_number == 0:
            self._connections += 1
            self._connected_at = shot.arrival
            self._rate = _Rate(connection.fps)
            self.fps = connection.fps or self.fps
            self.warnings += tuple(told for told in connection.warnings if told not in self.warnings)
        elif shot.arrival - self._connected_at > SETTLED_SECONDS:
            self._failing = None
        self._step = frames = came.number + 1 - self._next_number
        self._overtaken += frames - 1
        self._next_number = came.number + 1
        self._undecodable_seen = came.undecodable
        self._rate.add(shot.arrival, shot.stamp.monotonic, frames)
        period = self._rate.period
        silence = self._patience.opening if period is None else self._patience.stall + 2 * period
        self._silence_allowed = silence + connection.pause
        self._deadline = self._due = shot.arrival + self._silence_allowed

    def _newest_of_burst(self, came: _Came) -> _Came:
        """After silence, the newest of the pictures that waited somewhere and come all at once."""
        if came.attempt.connection is not None and came.attempt.connection.pause:
            return came  # all of it comes so
        period = self._rate.period or UNKNOWN_PERIOD
        apart = came.shot.arrival - self._silent_since - (self._step - 1) * period
        if came.number > 0 and apart <= max(2 * period, UNKNOWN_PERIOD):
            return came
        end = time.perf_counter() + MOST_BURST_SECONDS
        while (now := time.perf_counter()) < end:
            event = self._take(now + period / 2)
            if not isinstance(event, _Came) or event.attempt is not self._attempt:
                self._held = event
                break
            self._buffered += 1
            came = event
            self._account(came)
        return came

    # Interruptions

    def _begin(self, wait: float, *, knock: bool) -> None:
        self._attempt = _Attempt(self._connector, self._events, wait, knock)
        self._first_index += self._next_number
        self._next_number = self._undecodable_seen = 0
        self._deadline = None  # until it opens

    def _try_again(self, error: SourceError) -> None:
        """Leave the present attempt and begin the next.

        Raises:
            FinalError: there is no use in that.
        """
        now = time.perf_counter()
        times, since = self._failing or (0, now)
        forgotten = isinstance(error, UnknownPathError) and self._connections > 0
        if isinstance(error, FinalError) and not (forgotten and now - since < self._patience.path):
            raise error
        if self._next_number == 0:
            self._failures += 1
            _log.info("%s: %s", self.name, error)
        self._attempt.give_up()
        self._undecodable += self._attempt.undecodable
        self._left_behind = [each for each in (*self._left_behind, self._attempt) if each.thread.is_alive()]
        back_off = self._patience.back_off
        crowded = len(self._left_behind) > MOST_LEFT_BEHIND
        wait = back_off[-1 if crowded else min(times, len(back_off) - 1)]
        self._failing = (times + 1, since)
        self._begin(wait, knock=isinstance(error, UnreachableError))

    def _open_gap(self, error: SourceError) -> Gap:
        if isinstance(error, StreamEndedError):
            self._gap_reason = error.reason
        else:
            self._gap_reason = "ended" if self._connections else "absent"
        self._gaps[self._gap_reason] += 1
        seconds = time.perf_counter() - self._silent_since
        _log.warning("%s: %s; no picture for %.2f s", self.name, self._gap_reason, seconds)
        return Gap(seconds, self._gap_reason, over=False)

    def _close_gap(self, came: _Came) -> Gap:
        assert self._gap_reason is not None
        gap = Gap(came.shot.arrival - self._silent_since, self._gap_reason, over=True)
        self._gap_seconds += gap.seconds
        self._gap_reason = None
        _log.warning("%s: back after %.2f s", self.name, gap.seconds)
        return gap

    def _frame(self, came: _Came, gap: Gap | None) -> Frame:
        shot = came.shot
        self._silent_since = shot.arrival
        self._frames += 1
        self.size = (shot.image.shape[0], shot.image.shape[1])
        return Frame(
            shot.image,
            self._first_index + came.number,
            shot.stamp.wall,
            capture_monotonic=shot.stamp.monotonic,
            capture_clock=shot.stamp.clock,
            arrival=shot.arrival,
            gap=gap,
        )
