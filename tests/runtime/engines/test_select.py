"""Which engine runs where: what auto chooses and says, and what is missing when a GPU was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.errors import EngineError, HeatstreamError, InputError, MissingExtraError, UnknownNameError
from heatstream.runtime.engines import select as module
from heatstream.runtime.engines.select import open_engine
from heatstream.runtime.gpu import device as cuda_module
from heatstream.runtime.pipelines.base import frame_geometry
from tests.fakes.cupy import make_cupy
from tests.fakes.gpu import ORIN, SPOTS_MODEL, FakeGpu, make_gpu
from tests.fakes.runtime import MODELS

SPOTS_ANY = MODELS / "spots.onnx"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeGpu:
    """One with a GPU and TensorRT."""
    return with_gpu(monkeypatch, tmp_path)


def with_gpu(
    monkeypatch: pytest.MonkeyPatch, folder: Path, backend: Any = "tensorrt", gpu: Gpu | None = None
) -> FakeGpu:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    made = make_gpu((cupy, calls), monkeypatch, folder, backend, gpu)
    monkeypatch.setattr(module, "local_gpu", lambda index=0: made.gpu if index == 0 else None)
    return made


def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (module, cuda_module):
        monkeypatch.setattr(place, "local_gpu", lambda index=0: None)


def pretend_cuda(monkeypatch: pytest.MonkeyPatch, torch: Any) -> list[str]:
    """A torch with CUDA, as far as moving a network there goes; what was waited for."""
    waited: list[str] = []
    stream = lambda device: SimpleNamespace(synchronize=lambda: waited.append(device))  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *args, **options: self)
    return waited


@pytest.mark.parametrize(
    ("options", "name", "reason"),
    [
        ({}, "ONNX Runtime, CPU", "there is no NVIDIA GPU here, or no driver for it"),
        ({"device": "cpu"}, "ONNX Runtime, CPU", "the CPU was asked for"),
        ({"engine": "onnx"}, "ONNX Runtime, CPU", "the engine onnx was asked for"),
        ({"device": "cpu", "engine": "torch"}, "PyTorch, CPU", "the CPU was asked for"),
    ],
)
def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, options: dict[str, str], name: str, reason: str) -> None:
    if options.get("engine") == "torch":
        pytest.importorskip("torch", reason="torch comes with the extra train")
    without_gpu(monkeypatch)
    with heatstream.load(SPOTS_MODEL, threads=1, **options) as pipeline:
        assert pipeline.engine.name.startswith(name)
        assert pipeline.reason == reason


@pytest.mark.parametrize(("device", "engine"), [("auto", "auto"), ("cuda", "auto"), ("cuda:0", "tensorrt")])
@pytest.mark.parametrize("model", [SPOTS_MODEL, SPOTS_ANY], ids=["one size", "any size"])
def test_a_gpu_with_tensorrt_gets_an_engine_built(machine: FakeGpu, device: str, engine: str, model: Path) -> None:
    opened = open_engine(model, device=device, engine=engine)
    assert opened.cuda is not None
    assert opened.engine.name.startswith("TensorRT 10.3.0, cuda:0 (Orin)")
    asked = "the engine tensorrt was asked for"
    installed = "it is installed, and this machine has a GPU (Orin)"
    assert opened.reason == (asked if engine == "tensorrt" else installed)
    given = np.zeros((1, 3, 64, 128), np.float32)
    assert opened.engine.run(given)["tags"].shape == (1, 17, 16, 32)
    assert len(list(machine.folder.glob("*.engine"))) == 1
    assert opened.engine.info.any_size is (model == SPOTS_ANY)


@pytest.mark.usefixtures("machine")
def test_a_gpu_takes_a_short_side() -> None:
    with heatstream.load(SPOTS_ANY, engine="tensorrt", short_side=128) as pipeline:
        assert "spots (short side 128 px) on TensorRT" in repr(pipeline)
        assert frame_geometry(pipeline.info, (96, 128)).input_size == (128, 192)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.usefixtures("machine")
@pytest.mark.filterwarnings("error")  # that this runs on the CPU would be beside the point
def test_a_gpu_does_not_make_a_size_free(device: str) -> None:
    with pytest.raises(InputError, match="takes images of 64x128 px alone"):
        heatstream.load(SPOTS_MODEL, device, short_side=128)


def test_without_tensorrt_there_is_rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_gpu(monkeypatch, tmp_path, "tensorrt-rtx")
    assert open_engine(SPOTS_MODEL).engine.name.startswith("TensorRT-RTX 1.7.1")
    with pytest.raises(MissingExtraError, match=r"tensorrt is needed .*pip install 'heatstream\[gpu\]'"):
        open_engine(SPOTS_MODEL, engine="tensorrt")


def test_without_either_there_is_torch_in_the_precision_of_an_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    with_gpu(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    waited = pretend_cuda(monkeypatch, torch)
    opened = open_engine(SPOTS_MODEL, device="cuda")
    assert waited == ["cuda:0"]  # or a stream of ours would read weights that are not there yet
    assert opened.engine.name == "PyTorch, cuda:0 (Orin), fp16"
    assert "neither TensorRT nor TensorRT-RTX is installed" in opened.reason
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match=r"PyTorch that is installed .* cannot use cuda:0 \(Orin\)"):
        open_engine(SPOTS_MODEL, device="cuda")


@pytest.mark.parametrize("model", [SPOTS_MODEL, SPOTS_ANY], ids=["one size", "any size"])
def test_a_tensorrt_that_does_not_run_on_this_gpu_leaves_it_to_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    gpu = with_gpu(monkeypatch, tmp_path, "tensorrt-rtx")
    pretend_cuda(monkeypatch, torch)
    monkeypatch.setattr(gpu.toolkit.module.Runtime, "deserialize_cuda_engine", lambda self, serialized_engine: None)
    with pytest.warns(
        RuntimeWarning, match=r"this runs in PyTorch: .* cannot be used: TensorRT-RTX 1.7.1 does not take"
    ):
        opened = open_engine(model, device="cuda")
    assert opened.engine.name == "PyTorch, cuda:0 (RTX 4070), fp16"
    with pytest.raises(EngineError, match=r"TensorRT-RTX 1.7.1 does not take"):
        open_engine(model, device="cuda", engine="tensorrt-rtx").engine.run(np.zeros((1, 3, 64, 128), np.float32))


@pytest.mark.parametrize("gpu", [Gpu("H200", "sm_90"), ORIN], ids=["H200", "Orin"])
def test_a_gpu_that_rtx_has_no_engines_for_is_refused_before_one_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: Gpu
) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    with_gpu(monkeypatch, tmp_path, "tensorrt-rtx", gpu)
    pretend_cuda(monkeypatch, torch)
    with pytest.raises(
        EngineError, match=rf"TensorRT-RTX 1.7.1 has no engines for this GPU \({gpu.name}, {gpu.target}"
    ):
        open_engine(SPOTS_MODEL, device="cuda", engine="tensorrt-rtx")
    with pytest.warns(RuntimeWarning, match=rf"this runs in PyTorch: .* has no engines for this GPU \({gpu.name}"):
        assert open_engine(SPOTS_MODEL, device="cuda").engine.name == f"PyTorch, cuda:0 ({gpu.name}), fp16"
    assert not list(tmp_path.glob("*.engine"))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"device": "abacus"}, UnknownNameError, "there is no device 'abacus': use auto, cpu, cuda"),
        ({"device": "cuda:x"}, UnknownNameError, "there is no device"),
        ({"engine": "tensort"}, UnknownNameError, "no engine is called 'tensort': did you mean 'tensorrt'"),
        ({"device": "cpu", "engine": "tensorrt"}, InputError, "runs on NVIDIA GPUs: choose --device cuda"),
        ({"device": "cuda", "engine": "onnx"}, InputError, "runs on the CPU: choose --device cpu"),
        ({"device": "cuda", "cpu_only": "scales are for the CPU"}, InputError, "for the CPU: choose --device cpu"),
        ({"device": "cuda:1"}, EngineError, "this machine has no cuda:1: choose another GPU"),
    ],
)
def test_what_does_not_go_together_is_refused(
    machine: FakeGpu, options: dict[str, str], kind: type[HeatstreamError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        open_engine(SPOTS_MODEL, **options)  # type: ignore[arg-type]


def no_driver(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpu(monkeypatch)


def no_cupy(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)


def broken_cupy(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **options: Any) -> None:
        raise ImportError("Failed to import CuPy.\n\nIf you ...") from ImportError("libcublas.so.13 is missing")

    monkeypatch.setattr(cuda_module, "require", fail)


def old_driver(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise gpu.cupy.cuda.runtime.CUDARuntimeError(35, "cudaErrorInsufficientDriver")

    monkeypatch.setattr(gpu.cupy.cuda.runtime, "getDeviceCount", refuse)


def no_nvrtc(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MissingExtraError("NVRTC", "gpu", "compiling CUDA kernels")

    monkeypatch.setattr(cuda_module, "nvrtc", missing)


def no_engine(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def no_memory(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    open_engine(SPOTS_MODEL, device="cuda").engine.close()  # from now on it needs no building

    def fail(self: Any, serialized_engine: Any) -> None:
        raise gpu.cupy.cuda.memory.OutOfMemoryError

    monkeypatch.setattr(gpu.toolkit.module.Runtime, "deserialize_cuda_engine", fail)


FAILURES = [
    (no_driver, "cuda:0 was asked for, and there is no NVIDIA GPU here, or no driver for it"),
    (no_cupy, r"cupy is needed for running on cuda:0 \(Orin\) and is not installed: pip install 'heatstream\[gpu\]'"),
    (broken_cupy, r"CuPy is installed but does not load \(libcublas.so.13 is missing\): install it again"),
    (old_driver, r"opening the device failed on cuda:0 \(Orin\): its driver is too old"),
    (no_nvrtc, "NVRTC is needed"),
    (no_engine, r"no engine is installed for cuda:0 \(Orin\): pip install 'heatstream\[gpu\]' for TensorRT"),
    (no_memory, "it has no memory left"),
]


@pytest.mark.parametrize(("broken", "message"), FAILURES)
def test_who_asks_for_a_gpu_is_told_what_is_missing(
    machine: FakeGpu, monkeypatch: pytest.MonkeyPatch, broken: Any, message: str
) -> None:
    broken(machine, monkeypatch)
    with pytest.raises(HeatstreamError, match=message) as raised:
        open_engine(SPOTS_MODEL, device="cuda")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("broken", "message"), FAILURES[1:])
def test_auto_says_why_it_ends_on_the_cpu(
    machine: FakeGpu, monkeypatch: pytest.MonkeyPatch, broken: Any, message: str
) -> None:
    broken(machine, monkeypatch)
    with pytest.warns(RuntimeWarning, match=f"this runs on the CPU: the GPU cannot be used: .*{message}"):
        opened = open_engine(SPOTS_MODEL, threads=1)
    assert opened.cuda is None
    assert opened.reason.startswith("the GPU cannot be used: ")


def test_several_scales_are_looked_at_on_the_cpu(machine: FakeGpu) -> None:
    with heatstream.load(SPOTS_ANY, scales=(0.5, 1), threads=1) as pipeline:
        assert pipeline.reason == "several scales are looked at only on the CPU"
    with pytest.raises(InputError, match="several scales are looked at only on the CPU: choose --device cpu"):
        heatstream.load(SPOTS_ANY, "cuda", scales=(0.5, 1))


def test_rtx_builds_for_an_older_gpu_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_gpu(monkeypatch, tmp_path, "tensorrt-rtx", Gpu("T4", "sm_75"))
    asked: dict[str, Any] = {}

    def build(*args: Any, **options: Any) -> Any:
        asked.update(options)
        raise EngineError("enough is known")

    monkeypatch.setattr(module, "build_engine", build)
    with pytest.raises(EngineError, match="enough is known"):
        open_engine(SPOTS_MODEL, device="cuda")
    assert asked["targets"] == ("sm_75",)
