"""How old the frames of a live source may get: what is older is dropped, and counted by where it was."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

from heatstream.results import Result
from heatstream.runtime.sources.base import Frame

__all__ = ["Freshness"]


class Freshness:
    """Judges frames and results by their age, in seconds since the frame was taken.

    Args:
        budget: the greatest age; None for any.
    """

    def __init__(self, budget: float | None) -> None:
        self._budget = budget
        self._dropped: Counter[str] = Counter()

    @property
    def dropped(self) -> dict[str, int]:
        """How many were too old, by the reason that :meth:`too_old` was given."""
        return dict(self._dropped)

    @property
    def total(self) -> int:
        """How many were too old."""
        return sum(self.dropped.values())

    def too_old(self, frame: Frame, reason: str) -> bool:
        """Whether a frame's age is above the budget now; it is counted under ``reason`` then."""
        return self._count(frame.capture_monotonic, time.perf_counter(), reason)

    def given(self, result: Result) -> Result | None:
        """The result with its age now, when the caller gets it; None if that is above the budget."""
        now = time.perf_counter()
        if self._count(result.capture_monotonic, now, "stale_given"):
            return None
        if not result.timing.ages or result.capture_monotonic is None:
            return result
        ages = {**result.timing.ages, "given": now - result.capture_monotonic}
        return replace(result, timing=replace(result.timing, ages=ages))

    def _count(self, captured: float | None, now: float, reason: str) -> bool:
        if self._budget is None or captured is None or now - captured <= self._budget:
            return False
        self._dropped[reason] += 1
        return True
