"""A GPU for the runtime's tests: the fake CuPy, the kernels on the emulator, the fake TensorRT on its streams."""

from __future__ import annotations

import importlib.machinery
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heatstream.engine_builder.trt import cache as engine_cache
from heatstream.engine_builder.trt.cache import build_engine
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.plan_file import load_plan
from heatstream.engine_builder.trt.toolkit import Backend, Toolkit
from heatstream.runtime.engines.tensorrt_engine import TensorRTEngine
from heatstream.runtime.gpu import device as cuda_module
from heatstream.runtime.gpu.device import CudaDevice
from tests.fakes.runtime import MODELS
from tests.fakes.tensorrt import make_tensorrt

__all__ = ["GEFORCE", "ORIN", "SPOTS_MODEL", "FakeGpu", "make_gpu"]

ORIN = Gpu("Orin", "sm_87")
GEFORCE = Gpu("RTX 4070", "sm_89")
SPOTS_MODEL = MODELS / "spots_64x128.onnx"


@dataclass(frozen=True)
class FakeGpu:
    """What there is of it.

    Attributes:
        cupy: the module.
        calls: its counter.
        toolkit: TensorRT, whose work goes onto CuPy's streams.
        folder: where engines are kept.
        gpu: what the driver tells.
    """

    cupy: Any
    calls: Counter[str]
    toolkit: Toolkit
    folder: Path
    gpu: Gpu

    @property
    def graphs(self) -> Counter[str]:
        """How many were captured and replayed."""
        return Counter(self.cupy.graphs)

    def engine(self, cuda: CudaDevice, model: Path = SPOTS_MODEL, **options: Any) -> TensorRTEngine:
        """The engine of a model file, built by the fake; `options` are those of ``build_engine``."""
        options = {"precision": "fp32", "folder": self.folder, **options}
        found = build_engine(read_model(model), self.toolkit, self.gpu, **options)
        return TensorRTEngine(load_plan(found.path, self.toolkit, self.gpu), self.toolkit, cuda)


def make_gpu(
    fake: tuple[Any, Counter[str]],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    backend: Backend = "tensorrt",
    gpu: Gpu | None = None,
) -> FakeGpu:
    """Put it in place of the real one, for everything that asks for a GPU.

    Args:
        fake: of CuPy; its kernels are the emulator's.
        monkeypatch: takes it away again.
        folder: for engines, in place of the user's cache.
        backend: which TensorRT is installed; there is no other.
        gpu: what the driver tells; one that the backend has engines for when left out.
    """
    cupy, calls = fake
    rtx = backend == "tensorrt-rtx"
    gpu = gpu or (GEFORCE if rtx else ORIN)
    module: Any = make_tensorrt("1.7.1" if rtx else "10.3.0", gpu.name, rtx=rtx, target=gpu.target)
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)  # as of what is installed
    module.submit = lambda stream, work: cupy.streams[stream].submit(work)
    module.capturing = lambda stream: cupy.streams[stream].is_capturing()
    monkeypatch.setitem(sys.modules, "tensorrt", None if rtx else module)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module if rtx else None)
    monkeypatch.setattr(cuda_module, "local_gpu", lambda index=0: gpu if index == 0 else None)
    monkeypatch.setattr(cuda_module, "nvrtc", lambda: None)
    monkeypatch.setattr(engine_cache, "engine_folder", lambda: folder)
    return FakeGpu(cupy, calls, Toolkit(backend, module), folder, gpu)
