"""Measuring a case in turns, and summing up what came out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import numpy as np

from heatstream.demo.benchmark.cases import BenchmarkCase, CaseConfig, open_case
from heatstream.demo.benchmark.frames import FrameFeed
from heatstream.demo.benchmark.meters import Meters, memory_reader
from heatstream.demo.benchmark.record import Camera, Rate, Run, Stage
from heatstream.demo.benchmark.sampling import TimedWindow
from heatstream.demo.benchmark.scenarios import CAMERA, FRAME, PIPELINE, Scenario
from heatstream.demo.benchmark.tegrastats import TegraStats
from heatstream.demo.nvml import gpu_reader
from heatstream.results import StageTimes
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline

__all__ = ["Measurement", "summed_up"]

WINDOW_SECONDS = 0.4
"""How long a scenario works in a turn; slow ones work until two results are counted."""

MIN_TURNS = 5
"""Fewer would say nothing of the spread."""

ENOUGH = 3
"""Very slow models end after so many turns, once they have taken twice the time that was asked for."""

GPU_REPEATS = 50
PERCENT = np.arange(101)

Windows = dict[str, list[TimedWindow]]


class Measurement:
    """Lets every scenario of a case work for a short while, then the next, again and again.

    The work of a shared machine, its clocks and its temperature come and go. Scenarios that take turns meet the same
    of it, so that their ratios within a turn mean something where the rates themselves move.

    Args:
        config: what is measured.
        feed: the frames.
        seconds: for all turns of all scenarios together, without what slow scenarios need to get two results counted.

    Raises:
        HeatstreamError: the case cannot be made ready.
    """

    def __init__(self, config: CaseConfig, feed: FrameFeed, *, seconds: float) -> None:
        self._config = config
        self._feed = feed
        self._stack = ExitStack()
        self.case: BenchmarkCase = open_case(config, feed)
        self._stack.callback(self.case.pipeline.close)
        self._budget = seconds
        self._turns = max(MIN_TURNS, round(seconds / (WINDOW_SECONDS * len(self.case.scenarios))))
        self._windows: Windows = {scenario.key: [] for scenario in self.case.scenarios}
        tegrastats = TegraStats()
        self._stack.callback(tegrastats.close)
        number = config.device.partition(":")[2]
        on_gpu = "CPU" not in self.case.pipeline.engine.name
        readers = (memory_reader(), gpu_reader(int(number or 0)) if on_gpu else None, tegrastats.reader)
        self._meters = Meters([reader for reader in readers if reader is not None])

    def __enter__(self) -> Measurement:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """How many windows there will be at most."""
        return self._turns * len(self.case.scenarios)

    def __iter__(self) -> Iterator[Scenario]:
        """Measure; gives every scenario when it has had its turn. May be left at any time: whole turns are kept."""
        scenarios = self.case.scenarios
        loudest = PIPELINE if PIPELINE in self._windows else scenarios[-1].key
        window_seconds = self._budget / (self._turns * len(scenarios))
        start = time.perf_counter()
        for turn in range(self._turns):
            if turn >= ENOUGH and time.perf_counter() - start > 2 * self._budget:
                break
            # There and back, so that no scenario always comes behind the same other.
            for scenario in scenarios if turn % 2 == 0 else reversed(scenarios):
                with self._meters.reading() if scenario.key == loudest else nullcontext():
                    self._windows[scenario.key].append(scenario.run(window_seconds))
                yield scenario

    def run(self) -> Run | None:
        """What the turns so far came to; None before the first is over."""
        turns = min(map(len, self._windows.values()))
        if turns == 0:
            return None
        whole = {key: windows[:turns] for key, windows in self._windows.items()}
        pipeline = self.case.pipeline
        return summed_up(
            self.case,
            self._config,
            self._feed,
            whole,
            meters=self._meters.readings(),
            gpu_stages=_gpu_stages(pipeline, self._feed) if isinstance(pipeline, GpuPosePipeline) else {},
        )


def summed_up(
    case: BenchmarkCase, config: CaseConfig, feed: FrameFeed, windows: Windows, *, meters: Any, gpu_stages: Any
) -> Run:
    """The record of a run.

    Args:
        case: what was measured.
        config: how it was measured.
        feed: on what.
        windows: what each scenario did, by its key, one for every turn.
        meters: as of :class:`heatstream.demo.benchmark.record.Run`.
        gpu_stages: the same on the GPU's clock.
    """
    info = case.pipeline.info
    stream = windows.get(PIPELINE)
    return Run(
        model=info.name,
        sha256=case.sha256,
        task=info.task,
        precision=info.precision,
        input_size=case.input_size,
        frames=feed.name,
        frame_size=feed.size,
        crowd=config.crowd,
        people=None if stream is None else sum(one.people for one in stream) / sum(one.images for one in stream),
        engine=case.pipeline.engine.name,
        load_seconds=case.load_seconds,
        first_seconds=case.first_seconds,
        rates={scenario.key: _rate(scenario.title, windows[scenario.key]) for scenario in case.scenarios},
        stages=_stages([one.stages for one in windows[FRAME]]) if FRAME in windows else {},
        camera=_camera(windows[CAMERA], config.fps) if CAMERA in windows else None,
        meters=meters,
        gpu_stages=gpu_stages,
    )


def _rate(title: str, windows: Sequence[TimedWindow]) -> Rate:
    used = tuple(one.cpu_seconds / one.images for one in windows)
    return Rate(
        title,
        fps=tuple(one.images / one.seconds for one in windows),
        cpu_seconds=used if any(used) else None,
        images=sum(one.images for one in windows),
    )


def _stages(turns: Sequence[Sequence[StageTimes]]) -> dict[str, Stage]:
    whole = sum(times.latency for turn in turns for times in turn)
    return {
        name: _stage([[times.stages[name] for times in turn] for turn in turns], whole) for name in turns[0][0].stages
    }


def _gpu_stages(pipeline: GpuPosePipeline, feed: FrameFeed) -> dict[str, Stage]:
    times = pipeline.stage_times(feed.frames[0], GPU_REPEATS)
    whole = float(times["frame"].sum())
    return {name: _stage([values.tolist()], whole) for name, values in times.items()}


def _stage(turns: Sequence[Sequence[float]], whole: float) -> Stage:
    """A stage's times, turn by turn, and the seconds of whole frames that they are a share of."""
    every = [seconds for turn in turns for seconds in turn]
    p50, p99 = np.percentile(every, (50, 99))
    return Stage(float(p50), float(p99), sum(every) / whole, tuple(float(np.median(turn)) for turn in turns))


def _camera(windows: Sequence[TimedWindow], fps: float) -> Camera:
    latencies = [seconds for one in windows for seconds in one.latencies]
    quantiles = np.percentile(latencies, PERCENT)
    return Camera(
        fps=fps,
        results=len(latencies),
        dropped=sum(one.dropped for one in windows),
        latency={f"p{percent}": float(quantiles[percent]) for percent in (50, 95, 99)},
        quantiles=tuple(quantiles.tolist()),
        turns=tuple(float(np.median(one.latencies)) for one in windows),
    )
