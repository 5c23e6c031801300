"""How several sources share one pipeline: frames one after the other, several at once, or as batches; by trying.

A GPU likes batches. A CPU may like one thread per frame better, or all threads on one frame, and a batch that does not
fit its caches not at all. Nobody knows beforehand, so every way is tried for a moment before the first frame.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.runtime.pipelines.base import PosePipeline

__all__ = ["Arrangement", "fastest_arrangement"]

_log = logging.getLogger(__name__)

ROUNDS = 3  # of every way, in turns; their fastest counts
MOST_SECONDS = 4.0  # for all of it, about; of a network that is too slow for that the usual way is taken
BETTER = 1.05  # what a way must gain over those before it, which have less latency


@dataclass(frozen=True)
class Arrangement:
    """How frames go through a pipeline.

    Attributes:
        pipeline: the form of it that suits this.
        workers: threads that call it.
        batch: frames that a worker hands over together, at most.
    """

    pipeline: PosePipeline
    workers: int
    batch: int = 1

    def __str__(self) -> str:
        if self.batch > 1:
            return f"batches of up to {self.batch}"
        return "one after the other" if self.workers == 1 else f"{self.workers} at once"


def fastest_arrangement(pipeline: PosePipeline, sources: int, size: tuple[int, int]) -> Arrangement:
    """The way that gives most frames per second, tried on black frames.

    Args:
        pipeline: what finds people.
        sources: how many there are; a batch is not larger.
        size: (height, width) px of their frames.

    Raises:
        EngineError: the device failed, or has no memory left.
    """
    ways = _ways(pipeline, sources)
    frame = np.zeros((*size, 3), np.uint8)
    pipeline.warm_up(*size)
    first = min(_seconds_per_frame(ways[0], frame) for _ in range(2))
    once = sum(way.workers * way.batch for way in ways) * first
    rounds = min(ROUNDS, int(MOST_SECONDS / once) - 1)  # one more, in which each makes itself ready
    if len(ways) == 1 or rounds < 1:
        return next(way for way in reversed(ways) if way.batch == 1)
    for way in ways:
        _seconds_per_frame(way, frame)
    tries = [[_seconds_per_frame(way, frame) for way in ways] for _ in range(rounds)]
    seconds = np.min(tries, axis=0)
    best = 0
    for number in range(1, len(ways)):
        if seconds[number] * BETTER < seconds[best]:
            best = number
    tried = ", ".join(f"{way}: {1 / each:.1f} frames per second" for way, each in zip(ways, seconds, strict=True))
    _log.info("%d sources share the network, %s (tried: %s)", sources, ways[best], tried)
    return ways[best]


def _ways(pipeline: PosePipeline, sources: int) -> list[Arrangement]:
    """All ways, those of least latency first."""
    ways = [Arrangement(pipeline, 1)]
    if pipeline.parallel_runs > 1:
        ways.append(Arrangement(pipeline.for_throughput(), pipeline.parallel_runs))
    batch = 2
    while batch < 2 * min(sources, pipeline.largest_batch):
        ways.append(Arrangement(pipeline, 1, min(batch, sources, pipeline.largest_batch)))
        batch *= 2
    return ways


def _seconds_per_frame(way: Arrangement, frame: NDArray[np.uint8]) -> float:
    """How long every worker's one frame or batch took, by the frame."""
    start = time.perf_counter()
    if way.batch > 1:
        way.pipeline.batch([frame] * way.batch)
    elif way.workers == 1:
        way.pipeline(frame)
    else:
        with ThreadPoolExecutor(way.workers) as threads:
            list(threads.map(way.pipeline, [frame] * way.workers))
    return (time.perf_counter() - start) / (way.workers * way.batch)
