"""What a whole run came to: frames per second, and how long each stage took."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from heatstream.results import StageTimes

__all__ = ["StageStats", "StreamClock", "StreamSummary"]

REMEMBERED_FRAMES = 10_000  # percentiles are over the latest frames, so that a run of days needs no more memory


@dataclass(frozen=True)
class StageStats:
    """A stage's time over many frames, in seconds.

    Attributes:
        p50: the median.
        p99: what 99 of 100 frames stayed below.
    """

    p50: float
    p99: float


@dataclass(frozen=True)
class StreamSummary:
    """What a run came to, so far or in the end.

    Attributes:
        frames: results given.
        dropped: frames of a live source that gave no result.
        seconds: from the start to the latest result.
        fps: frames per second over that time, 0 without frames.
        stages: by the names of :meth:`heatstream.results.StageTimes.named`, over the latest 10 000 frames, of those
            that have such a time; empty without frames.
        warnings: what went wrong without ending the run, one sentence each.
        dropped_by: the dropped frames by reason: ``"newer"``, a newer one was there; with a budget ``"stale_queued"``,
            too old when a worker would have begun; ``"stale_found"``, when its people were known; ``"stale_given"``,
            when the caller came for it.
    """

    frames: int
    dropped: int
    seconds: float
    fps: float
    stages: Mapping[str, StageStats]
    warnings: tuple[str, ...] = ()
    dropped_by: Mapping[str, int] = field(default_factory=dict)


class StreamClock:
    """Collects the times of a run.

    One thread adds; any may ask for the summary.

    Args:
        start: when the run began, in seconds of ``time.perf_counter()``.
        remembered: percentiles are over so many of the latest frames.
    """

    def __init__(self, start: float, *, remembered: int = REMEMBERED_FRAMES) -> None:
        self._start = start
        self._latest = start
        self._frames = 0
        self._dropped: dict[int, int] = {}  # by source
        self._times: deque[StageTimes] = deque(maxlen=remembered)

    def add(self, times: StageTimes, now: float, *, dropped: int = 0, source: int = 0) -> None:
        """Count a result that was given at ``now``, in seconds of ``time.perf_counter()``."""
        self._dropped[source] = dropped
        self._frames += 1
        self._latest = now
        self._times.append(times)

    def summary(self, *, dropped_by: Mapping[str, int] | None = None, warnings: tuple[str, ...] = ()) -> StreamSummary:
        """What the run came to so far; takes a few milliseconds when many frames are remembered.

        Args:
            dropped_by: frames that were dropped, by reason; as many as the latest results said when left out.
            warnings: what went wrong without ending the run.
        """
        seconds = self._latest - self._start
        durations: dict[str, list[float]] = {}
        # The names of the fullest frame first, so that a time that only some frames have stands in its place.
        for times in sorted((times.named() for times in list(self._times)), key=len, reverse=True):
            for name, duration in times.items():
                durations.setdefault(name, []).append(duration)
        stages = {}
        for name, values in durations.items():
            p50, p99 = np.percentile(values, (50, 99))
            stages[name] = StageStats(float(p50), float(p99))
        fps = self._frames / seconds if seconds > 0 else 0.0
        dropped = sum(self._dropped.values()) if dropped_by is None else sum(dropped_by.values())
        return StreamSummary(self._frames, dropped, seconds, fps, stages, warnings, dropped_by or {})
