"""When a live frame was taken: the best that its source lets us know, on two clocks that nobody sets in between.

A frame's own stamp, if there is one, is right about the distance to other frames and wrong about the beginning; its
arrival is never early and often late. Laying the stamps against the fastest arrivals of the last seconds gives both:
frames that waited somewhere are stamped with when they were taken, not with when they came through.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CaptureClock", "Stamp", "to_wall_clock"]

_log = logging.getLogger(__name__)

WINDOW_SECONDS = 10.0
"""The fastest arrival of one to two of these counts. Clocks of two machines drift by some 50 us a second."""

MOST_DELAY = 5.0
"""Seconds from capture to arrival that are believed. A sender whose clock is not set says something else."""

EARLY = 0.005
"""Seconds by which a frame may seem to arrive before it was taken, where both clocks are set by NTP."""

BACK = 1.0
"""Seconds that stamps go back when a sender begins anew; frames that wait for each other differ by less."""

SLEW = 0.1
"""By how much of the time that passes a correction may move the stamps, so that they never go back."""

STEP = 0.05
"""Seconds by which the system's clock moves between two frames when it is set, rather than trimmed."""

READINGS = 3
"""Looks at both clocks. On a busy machine a thread may wait between the two, which would seem part of the distance."""


@dataclass(frozen=True)
class Stamp:
    """When a frame was taken.

    Attributes:
        monotonic: seconds of ``time.perf_counter()``.
        wall: seconds since the epoch.
        clock: who said so, see :class:`heatstream.Result`.
    """

    monotonic: float
    wall: float
    clock: str


def to_wall_clock(now: Callable[[], float] = time.perf_counter, wall: Callable[[], float] = time.time) -> float:
    """What to add to seconds of ``now`` to have seconds of ``wall``, by the quickest of some looks at both."""
    looks = []
    for _ in range(READINGS):
        before, there, after = now(), wall(), now()
        looks.append((after - before, there - before))
    return min(looks)[1]


class CaptureClock:
    """Stamps the frames of one connection.

    Args:
        now: seconds of a clock that nobody sets.
        wall: seconds since the epoch, of a clock that may be set at any time.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter, wall: Callable[[], float] = time.time) -> None:
        self._now = now
        self._wall = wall
        self._difference = self._to_wall = to_wall_clock(now, wall)
        self._fastest = _Fastest()
        self._offset: float | None = None  # from the stream's time to ours, as it is applied
        self._latest_arrival = 0.0
        self._latest_time: float | None = None
        self._sender_offset: float | None = None

    def arrived(self, arrival: float, stream_time: float | None, sender_time: float | None = None) -> None:
        """Learn from something that has arrived, a frame or a part of one.

        Args:
            arrival: in seconds of ``now``.
            stream_time: its time in the stream, in seconds.
            sender_time: when its sender says that it was taken, in seconds since the epoch.
        """
        self._follow_wall()
        if stream_time is None:
            return
        if self._latest_time is not None and stream_time < self._latest_time - BACK:
            self._fastest, self._offset, self._sender_offset = _Fastest(), None, None
        self._latest_time = stream_time
        self._fastest.add(arrival, arrival - stream_time)
        self._sender_offset = None
        if sender_time is not None and -EARLY <= arrival + self._to_wall - sender_time <= MOST_DELAY:
            self._sender_offset = sender_time - self._to_wall - stream_time

    def stamp(self, arrival: float, stream_time: float | None, driver_time: float | None = None) -> Stamp:
        """When a frame was taken.

        Args:
            arrival: in seconds of ``now``.
            stream_time: its time in the stream, in seconds.
            driver_time: when the driver says that it was taken, in seconds of ``now``.
        """
        if driver_time is not None and 0 <= arrival - driver_time <= MOST_DELAY:
            return self._stamp(driver_time, "driver")
        if stream_time is None or self._fastest.best is None:
            return self._stamp(arrival, "arrival")
        target = self._fastest.best if self._sender_offset is None else self._sender_offset
        if self._offset is None or abs(target - self._offset) > MOST_DELAY:
            self._offset = target
        else:
            most = SLEW * max(0.0, arrival - self._latest_arrival)
            self._offset += min(max(target - self._offset, -most), most)
        self._latest_arrival = arrival
        clock = "stream" if self._sender_offset is None else "sender"
        return self._stamp(min(stream_time + self._offset, arrival), clock)

    def _stamp(self, moment: float, clock: str) -> Stamp:
        return Stamp(moment, moment + self._to_wall, clock)

    def _follow_wall(self) -> None:
        """Go with the system's clock where it is trimmed, and stay where it is set."""
        difference = to_wall_clock(self._now, self._wall)
        moved, self._difference = difference - self._difference, difference
        if abs(moved) < STEP:
            self._to_wall += moved
        else:
            _log.warning("the system's clock was set by %+.3f s; capture times go on as before", moved)


class _Fastest:
    """The least of the latest values: over one to two windows."""

    def __init__(self) -> None:
        self._before: float | None = None
        self._current: float | None = None
        self._end = 0.0

    @property
    def best(self) -> float | None:
        """The least; None before the first."""
        if self._current is None or self._before is None:
            return self._current
        return min(self._before, self._current)

    def add(self, now: float, value: float) -> None:
        if self._current is None or now >= self._end:
            self._before, self._current = self._current, value
            self._end = now + WINDOW_SECONDS
        else:
            self._current = min(self._current, value)
