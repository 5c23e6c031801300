"""Which engine runs a model file on which device, and why; and how it is opened.

========== ================= ============================== ==========================================
device     engine            runs                           asked for by
========== ================= ============================== ==========================================
cpu        onnx              ONNX Runtime                   ``auto`` where no GPU can be used
cpu, cuda  torch             PyTorch                        ``auto`` on GPUs where neither runs
cuda       tensorrt          TensorRT                       ``auto`` on GPUs
cuda       tensorrt-rtx      TensorRT-RTX                   ``auto`` on GPUs where TensorRT does not run
========== ================= ============================== ==========================================

Who asks for a GPU gets it or an error; only ``auto`` may end on the CPU, and says why.
"""

from __future__ import annotations

import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from heatstream.engine_builder.trt.build_process import BuildJob
from heatstream.engine_builder.trt.cache import build_engine
from heatstream.engine_builder.trt.compile import Progress
from heatstream.engine_builder.trt.gpus import PORTABLE, Gpu, local_gpu
from heatstream.engine_builder.trt.model_source import ModelSource, read_model
from heatstream.engine_builder.trt.plan_file import load_plan
from heatstream.engine_builder.trt.toolkit import BACKENDS, Toolkit, open_toolkit
from heatstream.errors import EngineError, HeatstreamError, InputError, MissingExtraError, UnknownNameError
from heatstream.extras import require
from heatstream.model_info import ModelInfo
from heatstream.runtime.engines.base import LARGEST_BATCH, GpuEngine
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.engines.onnx_to_torch import torch_module_from_onnx
from heatstream.runtime.engines.per_size import PerSizeEngine
from heatstream.runtime.engines.tensorrt_engine import TensorRTEngine
from heatstream.runtime.engines.torch_engine import TorchEngine
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["ENGINES", "LANDMARK_BATCH", "EngineName", "OpenedEngine", "buildable", "job_of", "open_engine"]

EngineName = Literal["auto", "onnx", "tensorrt", "tensorrt-rtx", "torch"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

LANDMARK_BATCH = 8
"""Faces that an engine of landmarks looks at in one run, where its model file leaves the number free."""


@dataclass(frozen=True, eq=False)
class OpenedEngine:
    """An engine that is ready.

    Attributes:
        engine: the engine; a :class:`heatstream.runtime.engines.base.GpuEngine` where `cuda` is given.
        cuda: the GPU that it is on; None on the CPU.
        reason: why this one, for people, in one sentence.
    """

    engine: Any
    cuda: CudaDevice | None
    reason: str


def open_engine(
    path: Path,
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int | None = None,
    short_side: int | None = None,
    cpu_only: str = "",
    progress: Progress | None = None,
) -> OpenedEngine:
    """Open a model file.

    Args:
        path: of the model file.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        engine: one of :data:`ENGINES`.
        threads: how many CPU threads work on one frame; all usable cores when left out.
        short_side: base size in px, for a file of any size; the file's own when left out.
        cpu_only: why what is wanted of the engine can be had on the CPU alone; empty where it cannot be said so.
        progress: is told how far a build is.

    Raises:
        UnknownNameError: there is no such device or engine.
        InputError: device and engine do not go together, what is wanted can be had on the CPU alone, or the network
            does not take such a short side.
        ModelFileError: the model file is missing, damaged, not ours, or of another shape.
        EngineError: the GPU that was asked for cannot be used, or an engine could not be built.
        MissingExtraError: something that was asked for is not installed.
    """
    index = _device_index(device)
    if engine not in ENGINES:
        raise UnknownNameError.among(ENGINES, kind="engine", name=engine)
    if engine == "onnx" and device.startswith("cuda"):
        raise InputError("the engine onnx runs on the CPU: choose --device cpu, or the engine tensorrt or torch")
    if engine in BACKENDS and index is None:
        raise InputError(f"the engine {engine} runs on NVIDIA GPUs: choose --device cuda, or the engine onnx")
    gpu_wanted = device.startswith("cuda") or engine in BACKENDS
    if gpu_wanted and cpu_only:
        raise InputError(f"{cpu_only}: choose --device cpu")
    if index is None or engine == "onnx":
        reason = "the CPU was asked for" if index is None else "the engine onnx was asked for"
        return _on_cpu(path, engine, threads, short_side, reason)
    if gpu_wanted:
        cuda = CudaDevice(index)
        return _on_gpu(read_model(path, short_side=short_side), cuda, engine, progress)
    if cpu_only:
        return _on_cpu(path, engine, threads, short_side, cpu_only)
    if local_gpu(index) is None:
        return _on_cpu(path, engine, threads, short_side, "there is no NVIDIA GPU here, or no driver for it")
    source = read_model(path, short_side=short_side)  # what is wrong with the file is wrong on the CPU too
    try:
        return _on_gpu(source, CudaDevice(index), engine, progress)
    except HeatstreamError as error:
        reason = f"the GPU cannot be used: {error}"
        warnings.warn(f"this runs on the CPU: {reason}", RuntimeWarning, stacklevel=2)
        return _on_cpu(path, engine, threads, short_side, reason)


def _device_index(device: str) -> int | None:
    """A GPU's number; None for the CPU."""
    match = re.fullmatch(r"auto|(cpu)|cuda(?::(\d{1,3}))?", device)
    if match is None:
        raise UnknownNameError(f"there is no device {device!r}: use auto, cpu, cuda, or cuda:1 for the second GPU")
    return None if match[1] else int(match[2] or 0)


def _on_cpu(path: Path, engine: str, threads: int | None, short_side: int | None, reason: str) -> OpenedEngine:
    if engine == "torch":
        source = read_model(path, short_side=short_side)
        network = torch_module_from_onnx(path.read_bytes(), source.info)
        return OpenedEngine(TorchEngine(network, source.info, precision=source.info.precision), None, reason)
    return OpenedEngine(OnnxEngine(path, threads, short_side=short_side), None, reason)


def _on_gpu(source: ModelSource, cuda: CudaDevice, engine: str, progress: Progress | None) -> OpenedEngine:
    if engine == "auto":
        return _best(source, cuda, progress)
    reason = f"the engine {engine} was asked for"
    if engine == "torch":
        return OpenedEngine(_torch(source, cuda), cuda, reason)
    toolkit = open_toolkit(BACKENDS[BACKENDS.index(engine)])
    return OpenedEngine(_tensorrt(source, toolkit, cuda, progress), cuda, reason)


def _best(source: ModelSource, cuda: CudaDevice, progress: Progress | None) -> OpenedEngine:
    """The first that is installed and works: TensorRT, TensorRT-RTX, which does not run on every GPU, and PyTorch."""
    failure: HeatstreamError | None = None
    for backend in BACKENDS:
        if importlib.util.find_spec(backend.replace("-", "_")) is None:
            continue
        try:
            toolkit = open_toolkit(backend)
            engine = _tensorrt(source, toolkit, cuda, progress)
            if toolkit.compiles_late:
                engine.ready(source.info.input_size, 1, cuda.stream())
        except (EngineError, MissingExtraError) as error:
            failure = failure or error
            continue
        return OpenedEngine(engine, cuda, f"it is installed, and this machine has a GPU ({cuda.gpu.name})")
    if importlib.util.find_spec("torch") is None:
        raise failure or EngineError(
            f"no engine is installed for {cuda.title}: pip install 'heatstream[gpu]' for TensorRT, 'heatstream[rtx]' "
            "for TensorRT-RTX, or 'heatstream[train]' for PyTorch"
        )
    try:
        network = _torch(source, cuda)
    except HeatstreamError as error:
        raise failure or error from None
    if failure is None:
        reason = f"neither TensorRT nor TensorRT-RTX is installed for {cuda.title}, which would be quicker"
    else:
        reason = f"TensorRT, which would be quicker, cannot be used: {failure}"
        warnings.warn(f"this runs in PyTorch: {reason}", RuntimeWarning, stacklevel=2)
    return OpenedEngine(network, cuda, reason)


def _torch(source: ModelSource, cuda: CudaDevice) -> TorchEngine:
    """In the precision of an engine, by the very graph that TensorRT would be given."""
    torch = require("torch", extra="train", purpose=f"running {source.info.name} in PyTorch")
    if not torch.cuda.is_available():
        raise EngineError(
            f"the PyTorch that is installed ({torch.__version__}) cannot use {cuda.title}: install one with CUDA, or "
            "TensorRT with pip install 'heatstream[gpu]'"
        )
    info = source.shaped(size=None, batch=1, precision=None)
    network = torch_module_from_onnx(source.graph(info), source.info)
    return TorchEngine(network, source.info, device=cuda.name, precision=info.precision, cuda=cuda)


def _tensorrt(source: ModelSource, toolkit: Toolkit, cuda: CudaDevice, progress: Progress | None) -> GpuEngine:
    toolkit.check_gpu(cuda.gpu)
    info = source.info

    def open_sized(size: tuple[int, int]) -> TensorRTEngine:
        job = job_of(source, toolkit, cuda.gpu, size)
        with cuda.current():  # TensorRT builds for, and on, the current device
            found = build_engine(
                source,
                toolkit,
                cuda.gpu,
                size=size,
                batch=job.batch,
                targets=job.targets,
                progress=progress,
                waiting=lambda lock: warnings.warn(
                    f"another process is building this engine (it holds {lock}): waiting for it",
                    RuntimeWarning,
                    stacklevel=2,
                ),
            )
        return TensorRTEngine(load_plan(found.path, toolkit, cuda.gpu), toolkit, cuda)

    if info.any_size:
        return PerSizeEngine(info, f"{toolkit.title}, {cuda.title}", open_sized, largest_batch=_batch(info))
    return open_sized(info.input_size)


def job_of(source: ModelSource, toolkit: Toolkit, gpu: Gpu, size: tuple[int, int]) -> BuildJob:
    """What is built for a model file.

    Args:
        source: the model file.
        toolkit: what builds.
        gpu: it is for.
        size: (height, width) of the network's input, px.
    """
    named = toolkit.backend == "tensorrt-rtx" and gpu.target not in PORTABLE
    return BuildJob(str(source.path.resolve()), size, _batch(source.info), (gpu.target,) if named else ())


def _batch(info: ModelInfo) -> int:
    """How many images the engines of a model file take in one run: faces of a frame, or frames of several sources."""
    if info.batch is not None:
        return 1
    return LANDMARK_BATCH if info.task == "landmarks" else LARGEST_BATCH


def buildable(device: str) -> tuple[Toolkit, Gpu, int] | None:
    """What ``engine="auto"`` would build engines with, for which GPU, and its number; None where it builds none.

    Args:
        device: as of :func:`open_engine`.

    Raises:
        UnknownNameError: there is no such device.
    """
    index = _device_index(device)
    gpu = None if index is None else local_gpu(index)
    if gpu is None or index is None:
        return None
    try:
        CudaDevice(index)
    except (EngineError, MissingExtraError):  # said, or raised, by whoever opens an engine without building one
        return None
    for backend in BACKENDS:
        if importlib.util.find_spec(backend.replace("-", "_")) is None:
            continue
        try:
            toolkit = open_toolkit(backend)
            toolkit.check_gpu(gpu)
        except (EngineError, MissingExtraError):
            continue
        return toolkit, gpu, index
    return None
