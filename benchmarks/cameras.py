"""Several made-up cameras through one pipeline: rates, fairness, what one that dies costs, and how long frames wait.

::

    python -m benchmarks.cameras [--model swahr-tiny] [--seconds 8]

Cameras give 25 frames per second each, at phases of their own. The networks are a made-up one that takes 8 ms for a
frame and 12 ms for a batch of up to eight, asleep, so that a busy machine moves it little; and a real one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import heatstream
from heatstream.errors import SourceError
from heatstream.results import Poses, Result, StageTimes
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.health import Health
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.sources import Frame

__all__ = ["Cameras", "MadeUpCamera", "MadeUpNetwork", "main", "run"]

FPS = 25.0
FRAME_SECONDS, BATCH_SECONDS = 0.008, 0.012
SIZE = (360, 640)  # px
PAIRS, PAIR_SECONDS = 12, 2.0


class MadeUpCamera:
    """Frames at a steady rate.

    Args:
        phase: of its frames, 0 to 1.
        dies_after: seconds until it fails; never when None.
        silent_after: seconds until it sends nothing more, and ends only with the stream.
        fps: frames per second.
    """

    live = True
    frame_count: int | None = None
    size: tuple[int, int] | None = SIZE
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    name = "camera"

    def __init__(
        self,
        phase: float,
        *,
        dies_after: float | None = None,
        silent_after: float | None = None,
        fps: float = FPS,
    ) -> None:
        self.fps: float | None = fps
        self._period = 1 / fps
        self._phase = phase
        self._dies_after = dies_after
        self._silent_after = silent_after
        self._closed = False
        self._image: NDArray[np.uint8] = cv2.resize(np.arange(24, dtype=np.uint8).reshape(4, 6), SIZE[::-1])[
            :, :, None
        ].repeat(3, axis=2)

    def __iter__(self) -> Iterator[Frame]:
        begin = time.perf_counter() + self._phase * self._period
        index = 0
        while not self._closed:
            due = begin + index * self._period
            time.sleep(max(0.0, due - time.perf_counter()))
            if self._dies_after is not None and due - begin > self._dies_after:
                raise SourceError("the camera died")
            if self._silent_after is not None and due - begin > self._silent_after:
                time.sleep(0.05)
            else:
                yield Frame(self._image, index, time.time())
            index += 1

    def interrupt(self) -> None:
        """End the iteration soon."""
        self._closed = True

    def close(self) -> None:
        """Nothing is held."""


class MadeUpNetwork(PosePipeline):
    """Nobody is found, in a known time."""

    def __init__(self, engine: Engine, *, batches: bool) -> None:
        self._engine = engine
        self._batches = batches

    @property
    def engine(self) -> Engine:
        """Whose it pretends to be."""
        return self._engine

    @property
    def reason(self) -> str:
        """There was no choice."""
        return ""

    @property
    def parallel_runs(self) -> int:
        """One frame after the other, as on a device."""
        return 1

    @property
    def largest_batch(self) -> int:
        """Eight, or one."""
        return 8 if self._batches else 1

    def __call__(self, frame: object) -> Result:
        """A frame's time."""
        time.sleep(FRAME_SECONDS)
        return Result(Poses.empty("coco-17"), StageTimes({"network": FRAME_SECONDS}, FRAME_SECONDS))

    def batch(self, frames: Sequence[object]) -> list[Result]:
        """A batch's time."""
        time.sleep(BATCH_SECONDS)
        result = Result(Poses.empty("coco-17"), StageTimes({"network": BATCH_SECONDS}, BATCH_SECONDS))
        return [result] * len(frames)

    def warm_up(self, height: int, width: int) -> None:
        """It is ready."""

    def _close(self) -> None:
        self._engine.close()


@dataclass(frozen=True)
class Cameras:
    """What a run came to, after the cameras' first second.

    Attributes:
        rates: results per second of each.
        ages: seconds from frame to result.
        waited: seconds that the oldest frame of a batch waited for others; empty where there are no batches.
    """

    rates: list[float]
    ages: list[float]
    waited: list[float]

    @property
    def unfairness(self) -> float:
        """How far the rate of any is from the mean of all, as a share of it."""
        mean = float(np.mean(self.rates))
        return max(abs(rate - mean) for rate in self.rates) / mean


def run(cameras: Sequence[MadeUpCamera], pipeline: PosePipeline, seconds: float) -> Cameras:
    """Let cameras run into a pipeline for so long."""
    counts, ages = [0] * len(cameras), []
    with heatstream.stream(cameras, pipeline, track=False) as results:
        begin = None
        for result in results:
            now = time.perf_counter()
            begin = begin or now + 1.0
            if now < begin:
                continue
            if now > begin + seconds:
                break
            counts[result.source or 0] += 1
            ages.append(result.timing.ages["given"])
        window = results._window
        waits = [] if window is None else list(window.waits)
        _check(results.health())
    return Cameras([count / seconds for count in counts], ages, waits)


def _check(health: Health) -> None:
    assert health.results > 0


def _row(title: str, found: Cameras, offered: float) -> str:
    p50, p99 = np.percentile(found.ages, (50, 99)) * 1e3
    waited = f"{np.percentile(found.waited, 95) * 1e3:.1f}" if found.waited else "-"
    total = sum(found.rates)
    return (
        f"| {title} | {total:.0f} of {offered:.0f} | {100 * found.unfairness:.1f} % | {waited} | {p50:.0f}, {p99:.0f} |"
    )


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="swahr-tiny")
    parser.add_argument("--seconds", type=float, default=8.0)
    wanted = parser.parse_args()
    real = heatstream.load(wanted.model, "cpu")
    pipelines: dict[str, PosePipeline] = {
        "made up": MadeUpNetwork(real.engine, batches=False),
        "made up, batches": MadeUpNetwork(real.engine, batches=True),
        wanted.model: real,
    }
    print("| network, cameras | results per second | unfairness | p95 waited, ms | age p50, p99, ms |")
    print("|---|---|---|---|---|")
    for name, pipeline in pipelines.items():
        for count in (1, 4, 16):
            cameras = [MadeUpCamera(number * 0.37 % 1) for number in range(count)]
            found = run(cameras, pipeline, wanted.seconds)
            print(_row(f"{name}, {count}", found, count * FPS), flush=True)
    print()
    print("three cameras that ask for more than there is, beside one that is dead or silent, against three alone:")
    for name in ("made up", "made up, batches"):
        for kind, change in (("dies", {"dies_after": 0.2}), ("falls silent", {"silent_after": 0.2})):
            ratios = [_share_beside(pipelines[name], change, first=bool(pair % 2)) for pair in range(PAIRS)]
            low, median, high = np.percentile(ratios, (25, 50, 75))
            print(f"{name}, one {kind}: {median:.3f} of their rate (quartiles {low:.3f}, {high:.3f})", flush=True)


def _share_beside(pipeline: PosePipeline, change: dict[str, float], *, first: bool) -> float:
    """The rate of three cameras beside a fourth one that ends, as a share of their rate alone; who is first changes."""
    rates = {}
    for beside in (first, not first):
        cameras = [MadeUpCamera(number / 3, fps=60) for number in range(3)]
        if beside:
            cameras.append(MadeUpCamera(0.5, fps=60, **change))
        rates[beside] = sum(run(cameras, pipeline, PAIR_SECONDS).rates[:3])
    return rates[True] / rates[False]


if __name__ == "__main__":
    main()
