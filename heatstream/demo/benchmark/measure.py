"""Measuring a subject in turns, and summing up what came out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import numpy as np

from heatstream.demo.benchmark.cases import BenchmarkCase, CaseConfig, open_subject
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

SLICE_SECONDS = 0.4
"""How long a way works in a turn; slow ones work until two results are counted."""

MIN_TURNS = 5
"""Fewer would say nothing of the spread."""

ENOUGH = 3
"""Very slow models end after so many turns, once they have taken twice the time that was asked for."""

GPU_REPEATS = 50
PERCENT = np.arange(101)

Slices = dict[str, list[TimedWindow]]


class Measurement:
    """Lets every way of a subject work for a short while, then the next, again and again.

    The work of a shared machine, its clocks and its temperature come and go. Ways that take turns meet the same of it,
    so that their ratios within a turn mean something where the rates themselves move.

    Args:
        condition: what is measured.
        feed: the frames.
        seconds: for all turns of all ways together, without what slow ways need to get two results counted.

    Raises:
        HeatstreamError: the subject cannot be made ready.
    """

    def __init__(self, condition: CaseConfig, feed: FrameFeed, *, seconds: float) -> None:
        self._condition = condition
        self._feed = feed
        self._stack = ExitStack()
        self.subject: BenchmarkCase = open_subject(condition, feed)
        self._stack.callback(self.subject.pipeline.close)
        self._budget = seconds
        self._turns = max(MIN_TURNS, round(seconds / (SLICE_SECONDS * len(self.subject.ways))))
        self._slices: Slices = {way.key: [] for way in self.subject.ways}
        tegrastats = TegraStats()
        self._stack.callback(tegrastats.close)
        number = condition.device.partition(":")[2]
        on_gpu = "CPU" not in self.subject.pipeline.engine.name
        readers = (memory_reader(), gpu_reader(int(number or 0)) if on_gpu else None, tegrastats.reader)
        self._meters = Meters([reader for reader in readers if reader is not None])

    def __enter__(self) -> Measurement:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __len__(self) -> int:
        """How many slices there will be at most."""
        return self._turns * len(self.subject.ways)

    def __iter__(self) -> Iterator[Scenario]:
        """Measure; gives every way when it has had its turn. May be left at any time: whole turns are kept."""
        ways = self.subject.ways
        loudest = PIPELINE if PIPELINE in self._slices else ways[-1].key
        slice_seconds = self._budget / (self._turns * len(ways))
        start = time.perf_counter()
        for turn in range(self._turns):
            if turn >= ENOUGH and time.perf_counter() - start > 2 * self._budget:
                break
            # There and back, so that no way always comes behind the same other.
            for way in ways if turn % 2 == 0 else reversed(ways):
                with self._meters.reading() if way.key == loudest else nullcontext():
                    self._slices[way.key].append(way.run(slice_seconds))
                yield way

    def run(self) -> Run | None:
        """What the turns so far came to; None before the first is over."""
        turns = min(map(len, self._slices.values()))
        if turns == 0:
            return None
        whole = {key: slices[:turns] for key, slices in self._slices.items()}
        pipeline = self.subject.pipeline
        return summed_up(
            self.subject,
            self._condition,
            self._feed,
            whole,
            meters=self._meters.readings(),
            gpu_stages=_gpu_stages(pipeline, self._feed) if isinstance(pipeline, GpuPosePipeline) else {},
        )


def summed_up(
    subject: BenchmarkCase, condition: CaseConfig, feed: FrameFeed, slices: Slices, *, meters: Any, gpu_stages: Any
) -> Run:
    """The record of a run.

    Args:
        subject: what was measured.
        condition: under what.
        feed: on what.
        slices: what each way did, by its key, one for every turn.
        meters: as of :class:`heatstream.demo.benchmark.record.Run`.
        gpu_stages: the same on the GPU's clock.
    """
    info = subject.pipeline.info
    stream = slices.get(PIPELINE)
    return Run(
        model=info.name,
        sha256=subject.sha256,
        task=info.task,
        precision=info.precision,
        input_size=subject.input_size,
        frames=feed.name,
        frame_size=feed.size,
        crowd=condition.crowd,
        people=None if stream is None else sum(one.people for one in stream) / sum(one.images for one in stream),
        engine=subject.pipeline.engine.name,
        load_seconds=subject.load_seconds,
        first_seconds=subject.first_seconds,
        rates={way.key: _rate(way.title, slices[way.key]) for way in subject.ways},
        stages=_stages([one.stages for one in slices[FRAME]]) if FRAME in slices else {},
        camera=_camera(slices[CAMERA], condition.fps) if CAMERA in slices else None,
        meters=meters,
        gpu_stages=gpu_stages,
    )


def _rate(title: str, slices: Sequence[TimedWindow]) -> Rate:
    used = tuple(one.cpu_seconds / one.images for one in slices)
    return Rate(
        title,
        fps=tuple(one.images / one.seconds for one in slices),
        cpu_seconds=used if any(used) else None,
        images=sum(one.images for one in slices),
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


def _camera(slices: Sequence[TimedWindow], fps: float) -> Camera:
    latencies = [seconds for one in slices for seconds in one.latencies]
    quantiles = np.percentile(latencies, PERCENT)
    return Camera(
        fps=fps,
        results=len(latencies),
        dropped=sum(one.dropped for one in slices),
        latency={f"p{percent}": float(quantiles[percent]) for percent in (50, 95, 99)},
        quantiles=tuple(quantiles.tolist()),
        turns=tuple(float(np.median(one.latencies)) for one in slices),
    )
