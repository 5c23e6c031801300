"""A torch network behind the engine's protocol: networks in training, GPUs without TensorRT, and a yardstick for both.

Its maps are those of the same network exported in FP32; :mod:`onnx_engine` is quicker on a CPU. On a
GPU it takes part in the GPU pipeline: its inputs and outputs are CuPy's arrays, seen by torch without a copy, and what
it allocates on the way stays in a pool of its own, so that a run can be captured into a CUDA graph.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import EngineError, first_line
from heatstream.extras import require
from heatstream.kernels.cuda.maps import Array
from heatstream.model_info import INPUT_CHANNELS, OUTPUTS, ModelInfo, Precision
from heatstream.runtime.engines.base import LARGEST_BATCH, check_images, map_shapes
from heatstream.runtime.gpu.device import CudaDevice

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TorchEngine", "TorchRun"]


class TorchEngine:
    """A torch network on any device; images and maps are float32.

    Args:
        module: gives ``heatmaps=(quarter, half)`` and ``tags``, or has ``landmarks(images)`` where that is the task,
            as the networks of :mod:`heatstream.models` do. It is used itself, not a copy: it moves to the device, to
            channels-last memory and to evaluation mode, and whoever trains it on calls ``module.train()`` first.
        info: how to feed it; the number of images per run is free whatever it says.
        device: as torch names it, for example ``"cpu"`` or ``"cuda"``.
        precision: what the module computes in.
        cuda: the GPU that is `device`, for the GPU pipeline.

    Raises:
        EngineError: the device is not there, or has no room.
        MissingExtraError: torch is not installed.
    """

    def __init__(
        self,
        module: nn.Module,
        info: ModelInfo,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        cuda: CudaDevice | None = None,
    ) -> None:
        self._torch = require("torch", extra="train", purpose="running torch networks")
        self._info = replace(info, batch=None, precision=precision, outputs=dict(OUTPUTS[info.task]))
        self._device = device
        self._cuda = cuda
        network: Any = module  # torch's types do not know that a device and a memory format go together
        try:
            network.to(device, memory_format=self._torch.channels_last)
            if device.startswith("cuda"):  # the weights are there before a stream of ours reads them
                self._torch.cuda.current_stream(device).synchronize()
        except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
            raise EngineError(f"torch cannot use the device {device!r}: {first_line(error)}") from error
        self._module: Any | None = network.eval()

    @property
    def info(self) -> ModelInfo:
        """How the network is fed and read."""
        return self._info

    @property
    def name(self) -> str:
        """The library and the device, for people."""
        if self._device == "cpu":
            threads = self._torch.get_num_threads()
            return f"PyTorch, CPU, {threads} thread{'s' if threads > 1 else ''}"
        return f"PyTorch, {self._device if self._cuda is None else self._cuda.title}, {self._info.precision}"

    @property
    def parallel_runs(self) -> int:
        """Two: one frame in the network while another is read, prepared or decoded."""
        return 2

    @property
    def largest_batch(self) -> int:
        """Any number; more than this gains nothing."""
        return LARGEST_BATCH

    def for_throughput(self) -> TorchEngine:
        """This engine itself: torch has one number of threads for the whole process."""
        return self

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see :meth:`run`. Any number of threads may call it."""
        module, torch = self._module, self._torch
        if module is None:
            raise EngineError(f"the engine of {self._info.name} is closed: make another")
        check_images(images, self._info, self._info.name)
        try:
            with torch.inference_mode(), _FLOAT32.convolutions(torch):
                batch = torch.from_numpy(np.ascontiguousarray(images)).to(self._device)
                maps = _maps(module, self._info, batch.contiguous(memory_format=torch.channels_last))
                arrays = [each.float().contiguous().cpu().numpy() for each in maps]
        except RuntimeError as error:  # out of memory, a lost device
            raise EngineError(f"torch failed on {self._info.name}, {self._device}: {first_line(error)}") from error
        return dict(zip(self._info.outputs, arrays, strict=True))

    def ready(self, size: tuple[int, int], images: int, stream: Any) -> TorchRun:
        """See :meth:`heatstream.runtime.engines.base.GpuEngine.ready`."""
        if self._module is None or self._cuda is None:
            raise EngineError(f"the engine of {self._info.name} is closed, or not for the GPU pipeline: make another")
        return TorchRun(self._module, self._info, self._cuda, size, images, stream, title=self.name)

    def close(self) -> None:
        """Let go of the network, which stays its owner's."""
        self._module = None


class TorchRun:
    """A torch network with memory and a stream of its own; made by :meth:`TorchEngine.ready`.

    Attributes:
        images: (N, 3, height, width) float32 in device memory.
        outputs: the maps by name, (N, K, height / stride, width / stride) float32 in device memory.

    Args:
        module: the network, on the device.
        info: how it is fed and read.
        cuda: the GPU.
        size: (height, width) of the images, px.
        images: how many there are in every run.
        stream: CuPy's.
        title: library and device, for messages.

    Raises:
        EngineError: torch cannot use the memory, or has none left.
    """

    def __init__(
        self,
        module: Any,
        info: ModelInfo,
        cuda: CudaDevice,
        size: tuple[int, int],
        images: int,
        stream: Any,
        *,
        title: str,
    ) -> None:
        torch, cupy = require("torch", extra="train", purpose="running torch networks"), cuda.cupy
        self._torch = torch
        self._module = module
        self._info = info
        self._stream = stream
        self._title = f"torch failed on {info.name}, {title}"
        self.images: Array = cupy.empty((images, INPUT_CHANNELS, *size), np.float32)
        self.outputs: dict[str, Array] = {
            name: cupy.empty(shape, np.float32) for name, shape in map_shapes(info, size, images).items()
        }
        try:
            self._input = torch.from_dlpack(self.images)
            self._targets = [torch.from_dlpack(maps) for maps in self.outputs.values()]
            self._pool = torch.cuda.MemPool() if self._input.is_cuda else None
        except RuntimeError as error:
            raise EngineError(f"{self._title}: {first_line(error)}") from error

    def enqueue(self) -> None:
        """Put a run on the stream; see :meth:`heatstream.runtime.engines.base.GpuRun.enqueue`."""
        torch = self._torch
        try:
            with torch.inference_mode(), self._placed(), _FLOAT32.convolutions(torch):
                maps = _maps(self._module, self._info, self._input.contiguous(memory_format=torch.channels_last))
                for target, values in zip(self._targets, maps, strict=True):
                    target.copy_(values)
        except RuntimeError as error:
            raise EngineError(f"{self._title}: {first_line(error)}") from error

    def refusal(self) -> str:
        """Nothing is known against capturing a run into a graph."""
        return ""

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """On our stream, in our memory: what a captured graph uses must be nobody else's when it is replayed."""
        if self._pool is None:
            yield
            return
        cuda = self._torch.cuda
        stream = cuda.ExternalStream(self._stream.ptr, device=self._input.device)
        with cuda.stream(stream), cuda.use_mem_pool(self._pool):
            yield


class _Float32:
    """Float32 that means float32: cuDNN computes convolutions in TF32 unless told otherwise, with 10 bits of mantissa.

    The switch is the process's, so whoever comes first turns it and the last one turns it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._switch: tuple[Any, str, Any]
        self._before: Any

    @contextmanager
    def convolutions(self, torch: Any) -> Iterator[None]:
        """Inside, nothing of cuDNN computes in TF32."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._switch = _tf32_switch(torch)
                owner, name, off = self._switch
                self._before = getattr(owner, name)
                setattr(owner, name, off)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    owner, name, _ = self._switch
                    setattr(owner, name, self._before)


_FLOAT32 = _Float32()


def _tf32_switch(torch: Any) -> tuple[Any, str, Any]:
    """Whose attribute it is, and what turns it off: torch refuses to mix its two interfaces."""
    cudnn = torch.backends.cudnn
    try:
        cudnn.allow_tf32  # noqa: B018 (it raises where the newer interface was used)
    except RuntimeError:
        return cudnn.conv, "fp32_precision", "ieee"
    return cudnn, "allow_tf32", False


def _maps(module: Any, info: ModelInfo, images: Any) -> tuple[Any, ...]:
    """The outputs in the order of a model file."""
    if info.task == "landmarks":
        return (module.landmarks(images),)
    out = module(images)
    return (*out.heatmaps, out.tags)
