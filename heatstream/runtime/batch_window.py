"""How long a worker waits for the frames of further sources, so that they go through the network together.

Frames of several cameras do not come at the same moment. Whoever waits a little has more of them for one batch, and
whoever waits too long is late with the first. So the wait is bounded three times:

* by what there is time for: the period of the fastest source, less what the engine needs for a batch;
* by :data:`MOST_SECONDS` for the frame that waits longest;
* to those who are expected: a source whose next frame is due within that time, and never one that is asleep.

Periods are counted over many frames; the mean of single gaps would follow every hiccup of a network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

__all__ = ["ASLEEP_SECONDS", "BatchWindow"]

MOST_SECONDS = 0.008
"""That a frame waits for others, at most: 10 ms, less what it takes to wake up on a busy machine."""

ASLEEP_SECONDS = 2.0
"""A source that has sent nothing for so long is not waited for."""

SPAN = 64  # arrivals that a period is counted over
TRUSTED = 16  # arrivals from which on it is believed
SLACK_SECONDS = 0.002  # that a frame may come later than it is due
ENGINE_SHARE = 0.1  # of the latest run in the mean time of the engine
REMEMBERED_WAITS = 10_000


@dataclass(eq=False)
class _Pace:
    arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=SPAN))

    def period(self) -> float | None:
        """Seconds between two frames, None while that is not known."""
        if len(self.arrivals) < TRUSTED:
            return None
        return (self.arrivals[-1] - self.arrivals[0]) / (len(self.arrivals) - 1)


class BatchWindow:
    """Times of the sources and of the engine, and the wait that follows from them.

    Readers tell arrivals and workers their runs; a lost race between two of them moves an estimate by one frame.

    Args:
        lanes: how many sources there are.
    """

    def __init__(self, lanes: int) -> None:
        self._paces = [_Pace() for _ in range(lanes)]
        self._engine = 0.0
        self.waits: deque[float] = deque(maxlen=REMEMBERED_WAITS)
        """Seconds that the longest waiting frame of a batch waited for others."""

    def arrived(self, lane: int, now: float) -> None:
        """A frame came, at ``now`` in seconds of ``time.monotonic()``."""
        arrivals = self._paces[lane].arrivals
        if arrivals and now - arrivals[-1] > ASLEEP_SECONDS:
            arrivals.clear()  # the silence is no period
        arrivals.append(now)

    def worked(self, seconds: float) -> None:
        """The engine has run a batch for so long."""
        self._engine += (seconds - self._engine) * (ENGINE_SHARE if self._engine else 1.0)

    def waited(self, seconds: float) -> None:
        """A batch begins; its oldest frame has waited for so many seconds for others, with a worker there."""
        self.waits.append(seconds)

    def left(self, ready: Collection[int], oldest: float, now: float) -> float:
        """Seconds that are still worth waiting; 0 or less where the batch begins as it is.

        Args:
            ready: the lanes that have a frame.
            oldest: when the first of these frames came.
            now: the time; both in seconds of ``time.monotonic()``.
        """
        awake = [pace for pace in self._paces if pace.arrivals and now - pace.arrivals[-1] <= ASLEEP_SECONDS]
        periods = [period for pace in awake if (period := pace.period()) is not None]
        if not periods:
            return 0.0
        until = oldest + min(min(periods) - self._engine, MOST_SECONDS)
        for lane, pace in enumerate(self._paces):
            period = pace.period()
            if lane in ready or pace not in awake or period is None:
                continue
            due = pace.arrivals[-1] + period
            if due - SLACK_SECONDS <= until and now <= due + SLACK_SECONDS:
                return until - now
        return 0.0
