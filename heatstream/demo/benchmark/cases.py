"""What is measured: a model made ready as a config says, and the scenarios to run it in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heatstream.demo.benchmark.frames import FrameFeed
from heatstream.demo.benchmark.scenarios import (
    FACES,
    Scenario,
    engine_scenarios,
    gpu_engine_scenario,
    landmark_scenarios,
    pose_scenarios,
)
from heatstream.demo.benchmark.stub_engines import ResizedEngine, StubPeopleEngine
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.errors import InputError
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.load import load, load_landmarks, model_path
from heatstream.runtime.pipelines.base import PosePipeline, frame_geometry
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline

__all__ = ["BenchmarkCase", "CaseConfig", "open_case"]

PREPARED_IMAGES = 8
"""How many of the frames the engine alone takes turns on."""


@dataclass(frozen=True)
class CaseConfig:
    """What a model is measured under.

    Attributes:
        model: a name, or the path of a model file.
        size: (height, width) px of the network's input; what the model makes of the frames when None.
        short_side: px that the frames' short side is brought to; the model's when None.
        crowd: made-up people in every frame; those who are there when None.
        batches: images per run of the engine alone, besides 1.
        fps: of the camera.
        device: as of :func:`heatstream.runtime.load.load`.
        engine: as of :func:`heatstream.runtime.load.load`.
        threads: as of :func:`heatstream.runtime.load.load`.
    """

    model: str
    size: tuple[int, int] | None = None
    short_side: int | None = None
    crowd: int | None = None
    batches: tuple[int, ...] = ()
    fps: float = 30.0
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class BenchmarkCase:
    """A model that is ready, and warm.

    Attributes:
        pipeline: of people or of landmarks, on any device; closed by the caller that opened the case.
        scenarios: to run it in.
        input_size: (height, width) px that its network sees.
        sha256: of its file.
        load_seconds: from the name to the pipeline.
        first_seconds: of the first frame.
    """

    pipeline: PosePipeline | LandmarkPipeline
    scenarios: tuple[Scenario, ...]
    input_size: tuple[int, int]
    sha256: str
    load_seconds: float
    first_seconds: float


def open_case(config: CaseConfig, feed: FrameFeed) -> BenchmarkCase:
    """Load the model, change it as the config says, and warm it up.

    Raises:
        HeatstreamError: it cannot be loaded, or not be measured so.
    """
    path = model_path(config.model)
    start = time.perf_counter()
    loaded = load_pipeline(path, config)
    load_seconds = time.perf_counter() - start
    try:
        pipeline = _under(loaded, config)
        input_size = frame_geometry(pipeline.info, feed.size).input_size
        if isinstance(pipeline, LandmarkPipeline):
            first, scenarios = _landmark_scenarios(pipeline, feed, config)
        else:
            first, scenarios = _pose_scenarios(pipeline, feed, config)
        for scenario in scenarios:
            scenario.run(0)  # the first runs are slower: memory is taken, caches and clocks warm up
    except BaseException:
        loaded.close()
        raise
    return BenchmarkCase(
        pipeline, tuple(scenarios), input_size, hashlib.sha256(path.read_bytes()).hexdigest(), load_seconds, first
    )


def load_pipeline(path: Path, config: CaseConfig) -> PosePipeline | LandmarkPipeline:
    """The pipeline of a model file, whatever it finds."""
    device, threads, engine = config.device, config.threads, config.engine
    if read_model(path, short_side=config.short_side).info.task == "landmarks":
        return load_landmarks(path, device, threads, engine=engine)
    return load(path, device, threads, engine=engine, short_side=config.short_side, wait=True)


def _under(loaded: PosePipeline | LandmarkPipeline, config: CaseConfig) -> PosePipeline | LandmarkPipeline:
    """The pipeline with the config's size and crowd."""
    if config.size is None and config.crowd is None:
        return loaded
    name = loaded.info.name
    if not isinstance(loaded, CpuPosePipeline):
        raise InputError(
            f"--size and --people change what surrounds a pose network on the CPU, and {name} runs as "
            f"{loaded.engine.name}: leave them out, or add --device cpu to a pose model"
        )
    engine: Engine = loaded.engine
    if config.size is not None:
        engine = ResizedEngine(engine, config.size)
    if config.crowd is not None:
        engine = StubPeopleEngine(engine, config.crowd)
    return CpuPosePipeline(engine, loaded.settings, flip=loaded.flip, scales=loaded.scales)


def _pose_scenarios(pipeline: PosePipeline, feed: FrameFeed, config: CaseConfig) -> tuple[float, list[Scenario]]:
    pipeline.warm_up(*feed.size)  # on a GPU the engine may have to be built first
    first = _seconds(lambda: pipeline(feed.frames[0]))
    if isinstance(pipeline, GpuPosePipeline):
        if config.batches:
            raise InputError(f"--batch is measured only on the CPU, not on {pipeline.engine.name}: leave it out")
        scenarios = [gpu_engine_scenario(pipeline, feed)]
    elif isinstance(pipeline, CpuPosePipeline):
        images = [pipeline.prepare(frame).images[0] for frame in feed.frames[:PREPARED_IMAGES]]
        scenarios = engine_scenarios(pipeline.engine, images, config.batches)
    return first, [*scenarios, *pose_scenarios(pipeline, feed, fps=config.fps)]


def _landmark_scenarios(
    pipeline: LandmarkPipeline, feed: FrameFeed, config: CaseConfig
) -> tuple[float, list[Scenario]]:
    scenarios = landmark_scenarios(pipeline, feed)
    first = _seconds(lambda: scenarios[0].run(0))
    image = np.zeros((1, 3, *pipeline.info.input_size), np.float32)
    batches = config.batches or (FACES if pipeline.info.batch is None else ())
    return first, [*engine_scenarios(pipeline.engine, [image], batches), *scenarios]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
