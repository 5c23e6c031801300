"""The scenarios that are measured: only the engine, a frame at a time, the stream, a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heatstream.demo.benchmark.frames import FrameFeed
from heatstream.demo.benchmark.sampling import MIN_COUNTED, Counter, TimedWindow, alone, for_throughput
from heatstream.errors import InputError
from heatstream.results import Result, StageTimes
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from heatstream.runtime.stream import stream

__all__ = [
    *("CAMERA", "ENGINE", "FACES", "FRAME", "PIPELINE", "THROUGHPUT"),
    *("Scenario", "engine_scenarios", "gpu_engine_scenario", "landmark_scenarios", "pose_scenarios"),
]

ENGINE = "engine"
THROUGHPUT = "engine_throughput"
FRAME = "frame"
PIPELINE = "pipeline"
CAMERA = "camera"
FACES = (1, 4, 16)
"""How many faces of one frame landmarks are looked for in."""

FACE_SHARE = 0.25
"""Of the frame's shorter side: how large those faces are."""


@dataclass(frozen=True)
class Scenario:
    """One arrangement of the work that is measured.

    Attributes:
        key: what it is called in records.
        title: what it is called in tables.
        run: does it for so many seconds.
    """

    key: str
    title: str
    run: Callable[[float], TimedWindow]


def engine_scenarios(engine: Engine, images: Sequence[NDArray[np.float32]], batches: Sequence[int]) -> list[Scenario]:
    """The engine alone: one image after the other, side by side as the stream uses it, and in batches.

    Args:
        engine: any.
        images: (1, 3, height, width) float32 each, which take turns.
        batches: images per run, besides 1.

    Raises:
        InputError: the network does not take such batches.
    """

    def run_one(number: int) -> None:
        engine.run(images[number % len(images)])

    scenarios = [Scenario(ENGINE, "engine, one at a time", lambda seconds: alone(run_one, seconds))]
    at_once = engine.parallel_runs
    if at_once > 1:
        beside = engine.for_throughput()

        def run_beside(number: int) -> None:
            beside.run(images[number % len(images)])

        scenarios.append(
            Scenario(
                THROUGHPUT,
                f"engine, {at_once} side by side",
                lambda seconds: for_throughput(run_beside, seconds, at_once=at_once),
            )
        )
    for size in batches:
        if size > 1:
            scenarios.append(_batch_scenario(engine, images, size))
    return scenarios


def gpu_engine_scenario(pipeline: GpuPosePipeline, feed: FrameFeed) -> Scenario:
    """The engine alone by the GPU's own clock, for a pipeline that keeps a whole frame there.

    Args:
        pipeline: keeps whole frames on the GPU.
        feed: the frames.
    """

    def run(seconds: float) -> TimedWindow:
        one = float(pipeline.stage_times(feed.frames[0], 1)["engine"][0])
        times = pipeline.stage_times(feed.frames[0], max(MIN_COUNTED, int(seconds / one)))["engine"]
        return TimedWindow(len(times), float(times.sum()), 0.0)

    return Scenario(ENGINE, "engine, by the GPU's clock", run)


def pose_scenarios(pipeline: PosePipeline, feed: FrameFeed, *, fps: float) -> list[Scenario]:
    """The whole pipeline: one frame after the other, as a stream at full speed, and behind a camera.

    Args:
        pipeline: any.
        feed: the frames.
        fps: of the camera.
    """
    return [
        Scenario(FRAME, "pipeline, one at a time", lambda seconds: _frame_by_frame(pipeline, feed, seconds)),
        Scenario(PIPELINE, "pipeline, as a stream", lambda seconds: _closed_loop(pipeline, feed, seconds)),
        Scenario(CAMERA, f"behind a camera of {fps:g} FPS", lambda s: _open_loop(pipeline, feed, fps, s)),
    ]


def landmark_scenarios(pipeline: LandmarkPipeline, feed: FrameFeed) -> list[Scenario]:
    """Landmarks of several faces of a frame, counted by the face; where the boxes lie makes no difference to the time.

    Args:
        pipeline: any.
        feed: the frames.
    """
    scenarios = [_faces_scenario(pipeline, feed, faces, turned=True) for faces in FACES]
    return [*scenarios, _faces_scenario(pipeline, feed, 1, turned=False)]


def _faces_scenario(pipeline: LandmarkPipeline, feed: FrameFeed, faces: int, *, turned: bool) -> Scenario:
    """Faces with an angle each, as a cascade gives them that knows their eyes, or in boxes alone."""
    height, width = feed.size
    side = FACE_SHARE * min(height, width)
    places = np.random.default_rng(faces).uniform(0, 1, (faces, 2)) * [width - side, height - side]
    boxes = np.concatenate([places, places + side], axis=1)

    def work(number: int) -> None:
        pipeline(feed.frames[number % len(feed.frames)], boxes, np.zeros(faces) if turned else None)

    title = f"pipeline, {faces} {'face' if faces == 1 else 'faces'} of a frame"
    key = f"faces_{faces}"
    if not turned:
        key, title = "faces_upright", "pipeline, 1 face without an angle"
    return Scenario(key, title, lambda seconds: alone(work, seconds, per_result=faces))


def _batch_scenario(engine: Engine, images: Sequence[NDArray[np.float32]], size: int) -> Scenario:
    if engine.info.batch not in (None, size):
        raise InputError(
            f"{engine.info.name} takes {engine.info.batch} image per run, not {size}: leave --batch out, or export it "
            "with `--dynamic-batch`"
        )
    batch = np.concatenate([images[number % len(images)] for number in range(size)])
    return Scenario(
        f"engine_batch_{size}",
        f"engine, batches of {size}",
        lambda seconds: alone(lambda _: engine.run(batch), seconds, per_result=size),
    )


def _frame_by_frame(pipeline: PosePipeline, feed: FrameFeed, seconds: float) -> TimedWindow:
    stages: list[StageTimes] = []

    def work(number: int) -> None:
        stages.append(pipeline(feed.frames[number % len(feed.frames)]).timing)

    counted = alone(work, seconds)
    return replace(counted, stages=tuple(stages[1:]))


def _closed_loop(pipeline: PosePipeline, feed: FrameFeed, seconds: float) -> TimedWindow:
    # As many as may be in flight or wait for the consumer when it starts do not count.
    counting = _Counting(pipeline, Counter(seconds, skip=pipeline.parallel_runs + 1))
    with stream(feed.endless(), counting) as results:
        for _ in results:
            if counting.counter.over:
                break
    return replace(counting.counter.window(), people=counting.people[0])


class _Counting(PosePipeline):
    """A pipeline whose results are counted where they are found.

    The loop that takes them may be late on a busy machine, and finds several waiting then.
    """

    def __init__(self, pipeline: PosePipeline, counter: Counter, people: list[int] | None = None) -> None:
        self.counter = counter
        self.people = [0] if people is None else people
        self._pipeline = pipeline
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        return self._pipeline.engine

    @property
    def reason(self) -> str:
        return self._pipeline.reason

    @property
    def parallel_runs(self) -> int:
        return self._pipeline.parallel_runs

    def warm_up(self, height: int, width: int) -> None:
        self._pipeline.warm_up(height, width)

    def _close(self) -> None:
        self._pipeline.close()

    def for_throughput(self) -> _Counting:
        return _Counting(self._pipeline.for_throughput(), self.counter, self.people)

    def for_stream(self) -> _Counting:
        return _Counting(self._pipeline.for_stream(), self.counter, self.people)

    def __call__(self, frame: object) -> Result:
        found = self._pipeline(frame)
        with self._lock:
            over = self.counter.over
            self.counter.add()
            if self.counter.counting and not over:
                self.people[0] += len(found.poses)
        return found


def _open_loop(pipeline: PosePipeline, feed: FrameFeed, fps: float, seconds: float) -> TimedWindow:
    counter = Counter(seconds)
    stages: list[StageTimes] = []
    latencies: list[float] = []
    before = dropped = people = 0
    with stream(feed.paced(fps), pipeline) as results:
        for result in results:
            latency = time.perf_counter() - result.capture_time
            going_on = counter.add()
            if counter.counting:
                stages.append(result.timing)
                latencies.append(latency)
                people += len(result.poses)
                dropped = result.dropped - before
            else:
                before = result.dropped
            if not going_on:
                break
    return replace(counter.window(), stages=tuple(stages), latencies=tuple(latencies), people=people, dropped=dropped)
