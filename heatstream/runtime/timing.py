"""How long each stage takes, and what a whole run came to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

__all__ = ["StageStats", "StageTimes", "StreamClock", "StreamSummary"]

REMEMBERED_FRAMES = 10_000  # percentiles are over the latest frames, so that a run of days needs no more memory


@dataclass(frozen=True)
class StageTimes:
    """Where one frame's time went, in seconds.

    Attributes:
        capture: reading and decompressing it; for live sources also the wait for it.
        preprocess: bringing it to the network's size.
        engine: the network.
        decode: from the network's maps to people.
        landmarks: looking for their faces; None where nobody does.
        per_face: the same for each of the heads that were looked at; None where there was none.
        latency: from the moment the frame was there to the moment its people were, waiting included.
    """

    capture: float
    preprocess: float
    engine: float
    decode: float
    landmarks: float | None = field(default=None, kw_only=True)
    per_face: float | None = field(default=None, kw_only=True)
    latency: float


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
        dropped: frames of a live source that nobody had time for.
        seconds: from the start to the latest result.
        fps: frames per second over that time, 0 without frames.
        stages: by the names of :class:`StageTimes`, over the latest 10 000 frames, of those that have such a time;
            empty without frames.
        warnings: what went wrong without ending the run, one sentence each.
    """

    frames: int
    dropped: int
    seconds: float
    fps: float
    stages: Mapping[str, StageStats]
    warnings: tuple[str, ...] = ()


class StreamClock:
    """Collects the times of a run.

    Args:
        start: when the run began, in seconds of ``time.perf_counter()``.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._latest = start
        self._frames = 0
        self._times: deque[StageTimes] = deque(maxlen=REMEMBERED_FRAMES)

    def add(self, times: StageTimes, now: float) -> None:
        """Count a result that was given at ``now``, in seconds of ``time.perf_counter()``."""
        self._frames += 1
        self._latest = now
        self._times.append(times)

    def summary(self, *, dropped: int = 0, warnings: tuple[str, ...] = ()) -> StreamSummary:
        """What the run came to so far; takes a few milliseconds when many frames are remembered."""
        seconds = self._latest - self._start
        stages = {}
        for stage in fields(StageTimes):
            durations = [time for times in self._times if (time := getattr(times, stage.name)) is not None]
            if durations:
                p50, p99 = np.percentile(durations, (50, 99))
                stages[stage.name] = StageStats(float(p50), float(p99))
        fps = self._frames / seconds if seconds > 0 else 0.0
        return StreamSummary(self._frames, dropped, seconds, fps, stages, warnings)
