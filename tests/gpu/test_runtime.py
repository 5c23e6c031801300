"""The GPU pipeline on a GPU, with every engine that is installed: what the CPU finds, and nothing allocated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.engine_builder.trt.gpus import local_gpu
from heatstream.engine_builder.trt.toolkit import open_toolkit
from heatstream.errors import MissingExtraError
from heatstream.results import Result
from heatstream.runtime.pipelines.pose_gpu import FRAMES_IN_FLIGHT, GpuPosePipeline
from heatstream.runtime.stream import stream
from tests.demo.conftest import write_model
from tests.fakes.runtime import FakeSource, spot

pytestmark = pytest.mark.gpu

ENGINES = ["tensorrt", "tensorrt-rtx", "torch"]

PIXELS = 1.0
"""Keypoints of FP16 and FP32 may lie so far apart in frames of this size: half a pixel of the map, and rounding."""


@pytest.fixture(scope="module", autouse=True)
def cupy() -> Any:
    """CuPy on a machine with a GPU."""
    module = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        devices = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        # Nothing here can run on a CPU; tests/runtime has it on stand-ins.
        pytest.skip(f"there is no usable NVIDIA GPU: {error}")
    if not devices:
        # As above: the driver is there, the GPU is not.
        pytest.skip("there is no NVIDIA GPU")
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that finds bright spots, of any size."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module", params=ENGINES)
def pipeline(request: pytest.FixtureRequest, model: Path) -> Iterator[GpuPosePipeline]:
    """With every engine in turn."""
    if request.param == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        if not torch.cuda.is_available():
            # A build for CPUs beside a GPU: the other engines are tested there.
            pytest.skip("this torch has no CUDA")
    else:
        try:
            toolkit, here = open_toolkit(request.param), local_gpu()
        except MissingExtraError as error:
            pytest.skip(str(error))  # it says what to install
        if request.param == "tensorrt-rtx" and here is not None and here.target not in toolkit.known_targets:
            pytest.skip(f"TensorRT-RTX has no engines for {here.target}")
    opened = heatstream.load(model, "cuda", engine=request.param)
    assert isinstance(opened, GpuPosePipeline)
    with opened:
        yield opened


def frame(x: float = 100, y: float = 60, size: tuple[int, int] = (128, 192)) -> np.ndarray[Any, Any]:
    return spot(*size, x, y, radius=6)


def assert_same(found: Result, expected: Result) -> None:
    assert len(found.poses) == len(expected.poses) == 1
    np.testing.assert_allclose(found.poses.keypoints, expected.poses.keypoints, atol=PIXELS)
    np.testing.assert_allclose(found.poses.keypoint_scores, expected.poses.keypoint_scores, atol=0.01)


def test_it_finds_what_the_cpu_finds(pipeline: GpuPosePipeline, model: Path) -> None:
    on_cpu = heatstream.load(model, "cpu")
    for x in (40.3, 80.7, 120.2, 90.6):
        assert_same(pipeline(frame(x)), on_cpu(frame(x)))
    for size in ((192, 128), (150, 260), (128, 192)):
        assert_same(pipeline(frame(60.3, 70.4, size)), on_cpu(frame(60.3, 70.4, size)))


def test_a_flip_test_finds_what_the_cpu_finds(pipeline: GpuPosePipeline, model: Path) -> None:
    name = {"TensorRT ": "tensorrt", "TensorRT-RTX ": "tensorrt-rtx"}
    engine = next((name[prefix] for prefix in name if pipeline.engine.name.startswith(prefix)), "torch")
    on_cpu = heatstream.load(model, "cpu", flip=True)
    with heatstream.load(model, "cuda", engine=engine, flip=True) as flipping:
        for _ in range(3):
            assert_same(flipping(frame()), on_cpu(frame()))


def test_frames_are_replayed_as_graphs(pipeline: GpuPosePipeline) -> None:
    pipeline.warm_up(128, 192)
    assert pipeline.graph_refusal == ""


def test_nothing_is_allocated_after_warm_up(pipeline: GpuPosePipeline, cupy: Any) -> None:
    pipeline.warm_up(128, 192)

    def refuse(size: int) -> None:
        raise AssertionError(f"{size} bytes were allocated")

    free_before, _ = cupy.cuda.Device().mem_info
    with cupy.cuda.using_allocator(refuse):
        for x in range(30, 160, 10):
            assert len(pipeline(frame(x)).poses) == 1
    assert cupy.cuda.Device().mem_info[0] == free_before


@pytest.mark.parametrize("library", ["cupy", "torch", "interface"])
def test_frames_on_the_device_are_taken_as_they_are(pipeline: GpuPosePipeline, cupy: Any, library: str) -> None:
    expected = pipeline(frame())
    on_device: Any = cupy.asarray(frame())
    if library == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        if not torch.cuda.is_available():
            # A build for CPUs beside a GPU: the other engines are tested there.
            pytest.skip("this torch has no CUDA")
        on_device = torch.from_numpy(frame()).cuda()
    elif library == "interface":

        class Foreign:
            __cuda_array_interface__ = on_device.__cuda_array_interface__

        on_device = Foreign()
    for _ in range(3):
        found = pipeline(on_device)
        np.testing.assert_array_equal(found.poses.keypoints, expected.poses.keypoints)


def test_a_frame_that_is_still_being_written_is_waited_for(pipeline: GpuPosePipeline, cupy: Any) -> None:
    expected = pipeline(frame())
    source, target = cupy.asarray(frame()), cupy.zeros((128, 192, 3), np.uint8)
    busy = cupy.zeros((4096, 4096), np.float32)
    with cupy.cuda.Stream(non_blocking=True):
        for _ in range(3):
            busy @ busy  # some milliseconds of work in front of the copy
            cupy.copyto(target, source)
            np.testing.assert_array_equal(pipeline(target).poses.keypoints, expected.poses.keypoints)
            target.fill(0)


def test_a_thousand_frames_of_two_threads_are_the_same(pipeline: GpuPosePipeline) -> None:
    """No slot's memory is another's."""
    results = list(stream(FakeSource(1000), pipeline, workers=FRAMES_IN_FLIGHT))
    assert [int(result.frame[0, 0, 0]) for result in results] == [number % 256 for number in range(1000)]
    assert all(len(result.poses) == 0 for result in results)


def test_stage_times_add_up(pipeline: GpuPosePipeline) -> None:
    """Each is a graph of its own, so the whole is at most what they take one after the other."""
    times = {name: float(np.median(values)) for name, values in pipeline.stage_times(frame(), 50).items()}
    whole = times.pop("frame")
    assert max(times.values()) < whole <= 1.5 * sum(times.values())


def test_the_default_models_run_as_graphs_in_torch(cupy: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    with heatstream.load("swahr-tiny", "cuda", engine="torch") as opened:
        opened.warm_up(480, 640)
        assert isinstance(opened, GpuPosePipeline)
        assert opened.graph_refusal == ""
        opened(picture)
    with heatstream.load("swahr-tiny", "cuda", engine="torch", faces="h3r-mobile-68") as cascade:
        for _ in range(3):
            cascade(picture)
