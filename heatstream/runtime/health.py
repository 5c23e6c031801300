"""How a stream is doing just now: rates, ages, and what was lost for which reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from heatstream.runtime.sources.live import LiveHealth
from heatstream.runtime.timing import StageStats, StreamSummary

__all__ = ["Health", "RecentRate", "SourceHealth", "SourceState", "health_message", "stats_of"]

SourceState: TypeAlias = Literal["awake", "asleep", "ended", "failed"]
"""``asleep`` has sent no frame for two seconds, ``ended`` has no more, ``failed`` has ended with an error."""

RATE_SECONDS = 5.0  # that a rate is counted over
REMEMBERED = 10_000


@dataclass(frozen=True)
class SourceHealth:
    """How one source is doing.

    Attributes:
        name: the source, for people; passwords left out.
        state: see :data:`SourceState`.
        frames: read so far.
        fps: frames read per second, over the last five seconds.
        results: given so far.
        dropped: frames dropped, by the reasons of :class:`heatstream.StreamSummary`.
        age: seconds since its latest frame came; None before the first.
        gaps: how often its frames stopped coming.
        returns: how often they came back.
        error: what it ended with; empty unless it failed.
        live: what a camera, stream or screen has been through: connections, interruptions, what was passed over; None
            of other sources.
    """

    name: str
    state: SourceState
    frames: int
    fps: float
    results: int
    dropped: Mapping[str, int]
    age: float | None
    gaps: int
    returns: int
    error: str
    live: LiveHealth | None


@dataclass(frozen=True)
class Health:
    """How a stream is doing.

    Attributes:
        sources: each of them, in their order.
        results: given so far, of all sources.
        fps: results per second, over the last five seconds.
        dropped: as of :class:`SourceHealth`, of all sources.
        ages: how old results were when they were given, in seconds since their frame was taken; None without any from
            live sources, for files have no age.
        waited: how long the frames of several sources waited for each other, so as to go through the network together;
            None where they do not.
    """

    sources: tuple[SourceHealth, ...]
    results: int
    fps: float
    dropped: Mapping[str, int]
    ages: StageStats | None
    waited: StageStats | None


def health_message(summary: StreamSummary, sources: Iterable[SourceHealth] = ()) -> dict[str, Any]:
    """How a run and its sources are doing, ready for JSON; see :class:`heatstream.messages.HealthMessage`."""
    return {
        "type": "health",
        "frames": summary.frames,
        "dropped": summary.dropped,
        "fps": round(summary.fps, 3),
        "stages": {
            name: {"p50": round(stage.p50, 6), "p99": round(stage.p99, 6)} for name, stage in summary.stages.items()
        },
        "sources": [
            {
                "name": source.name,
                "state": source.state,
                "frames": source.frames,
                "fps": round(source.fps, 3),
                "dropped": sum(source.dropped.values()),
                "age": None if source.age is None else round(source.age, 3),
                "gaps": source.gaps,
                "error": source.error,
            }
            for source in sources
        ],
        "warnings": list(summary.warnings),
    }


class RecentRate:
    """Counts events, and how many there were per second lately. One thread adds, any may read."""

    def __init__(self) -> None:
        self.count = 0
        self.latest: float | None = None
        self._times: deque[float] = deque(maxlen=1024)

    def add(self, now: float) -> None:
        """One more, at ``now`` in seconds of a monotonic clock."""
        self._times.append(now)
        self.latest = now
        self.count += 1

    def rate(self, now: float) -> float:
        """Events per second over the last five seconds, or since the first if that is sooner."""
        times = [each for each in list(self._times) if now - each <= RATE_SECONDS]
        if len(times) < 2:
            return 0.0
        whole = len(times) == self.count or len(times) == self._times.maxlen
        span = now - times[0] if whole else RATE_SECONDS
        return len(times) / span if span > 0 else 0.0


def stats_of(values: deque[float]) -> StageStats | None:
    """Of the latest values; None without any."""
    seconds = list(values)
    if not seconds:
        return None
    p50, p99 = np.percentile(seconds, (50, 99))
    return StageStats(float(p50), float(p99))
