"""A stream for hours in minutes: many frames, a few percent of them with something wrong, and nothing may grow.

::

    python -m tests.soak --frames 50000

A made-up camera and a cheap made-up network behind it, so that what runs is everything between them: readers, queues,
workers, tracker, smoother. Of every hundred frames three have a fault, of these kinds in turns: the camera's picture is
of another size, it stalls, it falls silent and comes back (a gap), the network gives NaN, the network fails and ends
the stream, the camera fails and ends it; after the last two the stream is opened anew, as a program must that goes on.

The kernel's huge pages are left out of it: NumPy asks for them in large arrays, and they are filled 2 MiB at a time,
at any later moment, which would say nothing of growth.

Printed are, over tenths of the run, the memory in use (RSS), threads, open files, and the 99th percentile of the time
from a frame to its result; at the end what may not be: growth.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil

from benchmarks.moving_people import STANDING
from heatstream.errors import SourceError
from heatstream.results import Gap, Poses, Result, StageTimes
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import stream
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeEngine, FakeSource, spot

__all__ = ["Report", "soak"]

FAULTS = 0.03
KINDS = ("size", "stall", "gap", "nan", "network fails", "camera fails")
STALL_SECONDS = 0.005
TENTHS = 10
PR_SET_THP_DISABLE = 41


@dataclass
class Report:
    """What a run came to.

    Attributes:
        given: results.
        faults: by kind.
        disorder: results that did not come behind the one before them.
        rss: bytes at the end of each tenth of the frames.
        threads: likewise.
        files: open descriptors, likewise.
        p99: seconds from a frame to its result, of each tenth.
    """

    given: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    disorder: int = 0
    rss: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


class Camera(FakeSource):
    """Frames of somebody who walks, from a given number on; ``faults`` says what is wrong with which frame."""

    live = True

    def __init__(self, first: int, last: int, faults: dict[int, str]) -> None:
        super().__init__(None, live=True)
        self._numbers = range(first, last)
        self._faults = faults
        self._pictures = [spot(48, 64, 20 + 0.5 * step, 24) for step in range(40)]
        self._other = spot(64, 80, 30, 30)

    def __iter__(self) -> Iterator[Frame | Gap]:  # type: ignore[override]
        for number in self._numbers:
            fault = self._faults.get(number)
            if fault == "camera fails":
                raise SourceError(f"the camera was lost at frame {number}")
            if fault == "stall":
                time.sleep(STALL_SECONDS)
            if fault == "gap":
                yield Gap(1.0, "stalled", over=False)
                yield Gap(2.0, "stalled", over=True)
            picture = self._other if fault == "size" else self._pictures[number % len(self._pictures)]
            yield Frame(picture.copy(), number, number / 25)


class Network(CpuPosePipeline):
    """Finds two people who walk, at no cost; of the frames that it is told to it fails, or decodes maps with NaN.

    Faults are by the number of calls, because frames may be lost with a stream that fails.
    """

    def __init__(self, faults: dict[int, str]) -> None:
        super().__init__(FakeEngine(poison=np.nan))
        self.faults = {"nan": 0, "network fails": 0}
        self._every = {kind: max(1, _rarity(faults, kind)) for kind in self.faults}
        self._calls = 0
        ways = np.arange(100)[:, None] * np.array([2.0, 0.0])
        feet = np.stack([np.array([300, 20]) + ways, np.array([700, 25]) - ways], axis=1)
        self._people = STANDING * 200 + feet[:, :, None]

    def __call__(self, frame: object) -> Result:
        self._calls += 1
        for kind, every in self._every.items():
            if self._calls % every == (0 if kind == "nan" else every // 2):
                self.faults[kind] += 1
                if kind == "nan":
                    return super().__call__(frame)
                raise RuntimeError("the device fell off")
        step = self._calls % 200
        keypoints = self._people[step if step < 100 else 199 - step]
        poses = Poses(keypoints, np.full((2, 17), 0.8), np.array([0.8, 0.7]), "coco-17")
        return Result(poses, StageTimes({"network": 0.0}, latency=0.0))


def _rarity(faults: dict[int, str], kind: str) -> int:
    count = sum(each == kind for each in faults.values())
    return (max(faults) + 1) // count if count else 10**9


def soak(frames: int, *, seed: int = 0) -> Report:
    """Run so many frames through streams, and measure."""
    rng = np.random.default_rng(seed)
    tenth, count = frames // TENTHS, int(FAULTS * frames)
    # One in each of so many equal stretches, so that no tenth has more of a kind than another.
    faults = {int((place + rng.random()) * frames / count): KINDS[place % len(KINDS)] for place in range(count)}
    report, process = Report(), psutil.Process()
    pipeline = Network(faults)
    latencies: list[float] = []
    first, latest = 0, -1
    warnings.filterwarnings("ignore", ".*hold NaN or infinite values", RuntimeWarning)
    while first < frames:
        results = stream(Camera(first, frames, faults), pipeline, mode="every", smooth=True)
        try:
            for item in results.with_gaps():
                if isinstance(item, Gap):
                    continue
                report.given += 1
                report.disorder += item.frame_index <= latest
                latest = item.frame_index
                latencies.append(item.timing.latency)
                if latest // tenth > len(report.rss):
                    _measure(report, process, latencies)
                    latencies = []
            first = frames
        except (SourceError, RuntimeError):
            # The frame at which it ended is lost, and so are those that were on their way behind it.
            first = max(latest, first) + 1
            while faults.get(first) == "camera fails":
                report.faults["camera fails"] += 1
                first += 1
        finally:
            results.close()
            for thread in results._threads:  # on a busy machine they may take longer than closing waits for them
                thread.join(HANG_SECONDS)
    pipeline.close()
    _measure(report, process, latencies)
    report.faults.update(kind for kind in faults.values() if kind in ("size", "stall", "gap"))
    report.faults.update(pipeline.faults)
    return report


def _measure(report: Report, process: psutil.Process, latencies: list[float]) -> None:
    gc.collect()
    report.rss.append(process.memory_info().rss)
    report.threads.append(threading.active_count())
    report.files.append(process.num_fds())
    report.p99.append(float(np.percentile(latencies, 99)))


def main() -> None:
    """Run it, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=50_000)
    wanted = parser.parse_args()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    start = time.perf_counter()
    report = soak(wanted.frames)
    print(f"{wanted.frames} frames, {report.given} results in {time.perf_counter() - start:.0f} s")
    print(f"faults: {', '.join(f'{kind} {count}' for kind, count in sorted(report.faults.items()))}")
    for tenth, values in enumerate(zip(report.rss, report.threads, report.files, report.p99, strict=True)):
        rss, threads, files, p99 = values
        print(f"tenth {tenth + 1:2}: {rss / 2**20:7.1f} MiB  {threads} threads  {files} files  p99 {p99 * 1e3:.2f} ms")
    print(f"memory from the second tenth to the last: {100 * (report.rss[-1] / report.rss[1] - 1):+.2f} %")
    print(f"p99 of the last tenth against the first: {report.p99[-1] / report.p99[0]:.2f}")
    print(f"results out of order: {report.disorder}")


if __name__ == "__main__":
    main()
