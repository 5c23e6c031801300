"""A stream that starts on one engine and goes on with another: no frame is lost or comes twice."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.engine_builder.trt import build_process, cache
from heatstream.engine_builder.trt.build_process import BuildJob, BuildProcess
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.errors import EngineError, InputError
from heatstream.runtime.engines import select
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.pipelines.handover import COMPARED, HandoverPipeline, same_people
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import stream
from tests.fakes.gpu import SPOTS_MODEL, FakeGpu
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeSource, spot

ORIN = Gpu("Orin", "sm_87")
JOB = BuildJob(str(SPOTS_MODEL), (64, 128))
BUILDER = "tests.fakes.build_process"


class Counted(CpuPosePipeline):
    """Notes how many frames it looked at, and whether it was closed under one."""

    def __init__(self) -> None:
        super().__init__(OnnxEngine(SPOTS_MODEL, 1))
        self.frames = 0
        self.closed = False
        self._count = threading.Lock()

    def __call__(self, frame: object) -> Any:
        assert not self.closed
        result = super().__call__(frame)
        assert not self.closed
        with self._count:
            self.frames += 1
        return result

    def for_throughput(self) -> Counted:
        return self

    def close(self) -> None:
        self.closed = True
        super().close()


class Moving(FakeSource):
    """Frames with a person that moves; it waits in the middle until something has happened, and then goes on slowly.

    Slowly as long as `slow` says so: frames that are quicker than what happens beside them would be over before it.
    """

    def __init__(
        self, frames: int, until: threading.Event, at: int, *, slow: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(frames)
        self.until, self.at, self.slow = until, at, slow

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self.frame_count or 0):
            if number == self.at:
                assert self.until.wait(HANG_SECONDS)
            if number > self.at and self.slow():
                time.sleep(0.05)
            yield Frame(image=picture(number), index=number, capture_time=number / 25)


@functools.cache
def picture(number: int) -> np.ndarray[Any, Any]:
    return spot(90, 150, 30 + number % 80, 33, radius=8)


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where engines are kept, by this process and those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    )
    return tmp_path / "heatstream" / "engines"


def build(height: int, width: int) -> BuildProcess:
    return BuildProcess([JOB], "tensorrt", module=BUILDER)


def feed(pipeline: HandoverPipeline) -> None:
    """Frames, until a hand-over is through."""
    pipeline(picture(0))
    assert pipeline._thread is not None
    while pipeline._thread.is_alive():
        pipeline(picture(1))


def people(number: int) -> Any:
    return CpuPosePipeline(OnnxEngine(SPOTS_MODEL, 1))(picture(number)).poses


def test_a_thousand_frames_over_a_hand_over_are_all_there_once_with_the_same_people(engines: Path) -> None:
    old, new, opened = Counted(), Counted(), threading.Event()

    def open_built() -> Counted:
        assert len(list(engines.glob("*.engine"))) == 1
        opened.set()
        return new

    with HandoverPipeline(old, build, open_built) as pipeline:
        source = Moving(1000, opened, 300, slow=lambda: pipeline.engine is old.engine)
        results = list(stream(source, pipeline))
        assert pipeline.engine is new.engine
    assert [result.frame_index for result in results] == list(range(1000))
    for number in range(80):
        expected = people(number)
        for result in results[number::80]:
            np.testing.assert_array_equal(result.poses.keypoints, expected.keypoints)
    assert COMPARED <= old.frames < 1000  # the build may be through before the source waits for it
    assert old.frames + new.frames == 1000 + COMPARED
    assert old.closed
    assert new.closed


class TakesDeviceFrames(Counted):
    def __call__(self, frame: Any) -> Any:
        return super().__call__(getattr(frame, "image", frame))


@pytest.mark.parametrize("download", ["get", "cpu"])  # as CuPy and torch call it
def test_frames_in_a_gpus_memory_begin_a_build_and_are_compared(engines: Path, download: str) -> None:
    def on_device(image: np.ndarray[Any, Any]) -> Any:
        return SimpleNamespace(image=image, shape=image.shape, **{download: image.copy})

    old, new = TakesDeviceFrames(), TakesDeviceFrames()
    with HandoverPipeline(old, build, lambda: new) as pipeline:
        pipeline(on_device(picture(0)))
        assert pipeline._thread is not None
        while pipeline._thread.is_alive():
            pipeline(on_device(picture(1)))
        assert pipeline.engine is new.engine
    assert new.frames >= COMPARED


def test_a_builder_that_is_killed_leaves_the_stream_alone(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEATSTREAM_TEST_BUILD_HANGS", "1")
    old, killed, started = Counted(), threading.Event(), []

    def begin(height: int, width: int) -> BuildProcess:
        started.append(build(height, width))
        threading.Timer(0.5, kill).start()
        return started[0]

    def kill() -> None:
        os.kill(started[0].pid, signal.SIGKILL)
        killed.set()

    pipeline = HandoverPipeline(old, begin, Counted)

    def run() -> list[Any]:
        results = list(stream(Moving(200, killed, 100), pipeline))
        assert pipeline._thread is not None
        pipeline._thread.join(HANG_SECONDS)
        return results

    with pytest.warns(RuntimeWarning, match=r"this goes on with ONNX Runtime.*: the build ended with exit code -9"):
        results = run()
    pipeline.close()
    assert [result.frame_index for result in results] == list(range(200))
    assert old.frames == 200


def test_closing_ends_the_builder(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEATSTREAM_TEST_BUILD_HANGS", "1")
    started = []
    pipeline = HandoverPipeline(Counted(), lambda *size: started.append(build(*size)) or started[0], Counted)
    pipeline(picture(0))
    pipeline.close()
    assert started[0]._process.poll() is not None


def test_a_build_that_fails_says_why(engines: Path) -> None:
    job = BuildJob(str(SPOTS_MODEL), (64, 64))
    process = BuildProcess([job], "tensorrt", module=BUILDER)
    assert "takes images of 64x128 alone, not 64x64" in process.wait()


def test_an_engine_that_finds_other_people_does_not_take_over() -> None:
    class Nobody(Counted):
        def __call__(self, frame: object) -> Any:
            return super().__call__(np.zeros_like(frame))

    class Built:
        def wait(self) -> str:
            return ""

        def stop(self) -> None:
            pass

    old, new = Counted(), Nobody()
    pipeline = HandoverPipeline(old, lambda *size: Built(), lambda: new)
    with pytest.warns(RuntimeWarning, match=f"found other people in {COMPARED} of {COMPARED} frames"):
        feed(pipeline)
    assert pipeline.engine is old.engine
    assert new.closed
    pipeline.close()


def test_an_engine_that_is_there_and_does_not_open_leaves_the_stream_alone() -> None:
    def broken() -> Counted:
        raise EngineError("the driver is too old")

    old = Counted()
    with HandoverPipeline(old, lambda *size: None, broken) as pipeline:
        with pytest.warns(RuntimeWarning, match="this goes on with ONNX Runtime.*: the driver is too old"):
            assert len(pipeline(picture(0)).poses) == 1
        assert pipeline.engine is old.engine


@pytest.mark.emulator
def test_load_begins_on_the_cpu_and_goes_on_with_tensorrt(
    gpu: FakeGpu, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "engine_folder", lambda: engines)
    monkeypatch.setattr(select, "local_gpu", lambda index=0: ORIN if index == 0 else None)
    monkeypatch.setattr(build_process, "BuildProcess", functools.partial(BuildProcess, module=BUILDER))
    with heatstream.load(SPOTS_MODEL, "cuda", threads=1) as pipeline:
        assert isinstance(pipeline, HandoverPipeline)
        assert pipeline.engine.name.startswith("ONNX Runtime")
        expected = pipeline(picture(0)).poses
        feed(pipeline)
        assert pipeline.engine.name.startswith("TensorRT 10.3.0, cuda:0 (Orin)")
        assert same_people(expected, pipeline(picture(0)).poses)
    with heatstream.load(SPOTS_MODEL, "cuda") as built:  # it is in the cache now
        assert isinstance(built, GpuPosePipeline)


def test_frames_that_are_none_are_refused_by_the_pipeline_that_runs() -> None:
    with HandoverPipeline(Counted(), build, Counted) as pipeline, pytest.raises(InputError):
        pipeline([[1, 2]])
