"""Plans on a GPU: the maps of the model file, memory that is ours, and everything that can be refused."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.engine_builder.trt.plan_file import load_plan
from heatstream.errors import EngineError, EngineFileError, InputError
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.engines.per_size import MOST_ENGINES, PerSizeEngine
from heatstream.runtime.engines.tensorrt_engine import TensorRTEngine
from heatstream.runtime.gpu.device import CudaDevice
from tests.fakes.cupy import make_cupy
from tests.fakes.gpu import SPOTS_MODEL, FakeGpu, make_gpu
from tests.fakes.runtime import MODELS

SPOTS_ANY = MODELS / "spots.onnx"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeGpu:
    """Without kernels: engines need none."""
    return plain_gpu(monkeypatch, tmp_path)


def plain_gpu(monkeypatch: pytest.MonkeyPatch, folder: Path, backend: Any = "tensorrt") -> FakeGpu:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return make_gpu((cupy, calls), monkeypatch, folder, backend)


def images(count: int, size: tuple[int, int] = (64, 128)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(count).random((count, 3, *size), np.float32)


def assert_maps(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, values in found.items():
        assert type(values) is np.ndarray
        np.testing.assert_allclose(values, expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_it_gives_the_maps_of_the_model_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: Any) -> None:
    gpu = plain_gpu(monkeypatch, tmp_path, backend)
    engine, expected = gpu.engine(CudaDevice(0)), OnnxEngine(SPOTS_MODEL, 1)
    for seed in (1, 1):
        assert_maps(engine.run(images(seed)), expected.run(images(seed)))
    assert engine.name == f"{gpu.toolkit.title}, cuda:0 ({gpu.gpu.name}), fp32"
    with pytest.raises(InputError, match=r"takes images of shape \(B, 3, 64, 128\), got \(2, 3"):
        engine.run(images(2))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed: load it again"):
        engine.run(images(1))


def test_an_engine_for_several_images_takes_any_number_of_them(gpu: FakeGpu, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")
    model = onnx.load(SPOTS_MODEL)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    entry = next(item for item in model.metadata_props if item.key == "heatstream")
    entry.value = entry.value.replace('"batch": 1', '"batch": null')
    onnx.save(model, tmp_path / "many.onnx")
    engine = gpu.engine(CudaDevice(0), tmp_path / "many.onnx", batch=3)
    single = OnnxEngine(SPOTS_MODEL, 1)
    for count in (1, 3, 7):
        given = images(count)
        expected = [single.run(image[None]) for image in given]
        assert_maps(
            engine.run(given), {name: np.concatenate([maps[name] for maps in expected]) for name in expected[0]}
        )
    with pytest.raises(InputError, match="takes 1 to 3 images per run, not 4"):
        engine.ready((64, 128), 4, gpu.cupy.cuda.Stream(non_blocking=True))


def test_two_images_go_one_by_one_through_an_engine_for_one(gpu: FakeGpu) -> None:
    stream = gpu.cupy.cuda.Stream(non_blocking=True)
    run = gpu.engine(CudaDevice(0)).ready((64, 128), 2, stream)
    given = images(2)
    run.images.set(given, stream=stream)
    gpu.calls.clear()
    run.enqueue()
    assert gpu.calls == {"launch": 2}  # nothing is allocated
    stream.synchronize()
    single = OnnxEngine(SPOTS_MODEL, 1)
    for number in range(2):
        expected = single.run(given[number : number + 1])
        assert_maps({name: maps.get()[number : number + 1] for name, maps in run.outputs.items()}, expected)


def test_rtx_is_set_up_for_our_graphs_and_its_kernels_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = plain_gpu(monkeypatch, tmp_path, "tensorrt-rtx")
    cuda = CudaDevice(0)
    for kept in (b"", b"kernels of the engine"):
        run = gpu.engine(cuda).ready((64, 128), 1, gpu.cupy.cuda.Stream(non_blocking=True))
        assert gpu.toolkit.module.made[-1] == ("DISABLED", "EAGER", kept)
        assert run.refusal() == ""  # it was built to leave its memory to us
        for _ in range(2):  # the kernels stay with the context that runs them
            run.enqueue()
            gc.collect()
    (path,) = tmp_path.glob("*.sm_89.kernels")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    gpu.engine(cuda).ready((64, 128), 1, gpu.cupy.cuda.Stream(non_blocking=True))
    assert gpu.toolkit.module.made[-1][2] == b""  # damaged, and not handed to the library


def test_a_plan_that_the_library_does_not_take_says_why(gpu: FakeGpu) -> None:
    cuda = CudaDevice(0)
    path = gpu.engine(cuda)._path
    plan = load_plan(path)
    object.__setattr__(plan, "data", b"no plan")
    message = r"TensorRT 10.3.0 does not take the engine .* on cuda:0 \(Orin\) \(Serialization \(bad tag\)\): build"
    with pytest.raises(EngineError, match=message):
        TensorRTEngine(plan, gpu.toolkit, cuda)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(EngineFileError, match="damaged"):
        load_plan(path)


def test_an_engine_of_another_size_refuses(gpu: FakeGpu) -> None:
    with pytest.raises(InputError, match="takes images of 64x128 px, not 64x64"):
        gpu.engine(CudaDevice(0)).ready((64, 64), 1, gpu.cupy.cuda.Stream(non_blocking=True))


def test_engines_of_any_size_are_opened_once_per_size_and_few_are_kept(gpu: FakeGpu) -> None:
    cuda, opened = CudaDevice(0), Counter[tuple[int, int]]()

    def open_sized(size: tuple[int, int]) -> TensorRTEngine:
        opened[size] += 1
        return gpu.engine(cuda, SPOTS_ANY, size=size)

    expected = OnnxEngine(SPOTS_ANY, 1)
    engines = PerSizeEngine(expected.info, "TensorRT", open_sized)
    sizes = [(64, 64 * (1 + number)) for number in range(MOST_ENGINES + 1)]
    for size in (*sizes, sizes[-1], sizes[0]):
        assert_maps(engines.run(images(1, size)), expected.run(images(1, size)))
    assert opened == {sizes[0]: 2, **dict.fromkeys(sizes[1:], 1)}
    with pytest.raises(InputError, match="multiples of 64"):
        engines.run(images(1, (64, 100)))
    engines.close()
    with pytest.raises(EngineError, match="the engines of spots are closed"):
        engines.run(images(1))
