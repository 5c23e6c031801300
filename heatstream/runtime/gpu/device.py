"""The GPU of a pipeline, opened once, and every way in which it can fail as one line.

CuPy, PyTorch and TensorRT work in the device's primary context, and so does PyCUDA where ``pycuda.autoprimaryctx`` was
imported: what one of them allocates, all of them may read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from heatstream.engine_builder.trt.gpus import Gpu, local_gpu
from heatstream.errors import EngineError, MissingExtraError
from heatstream.extras import gpu_extra, require
from heatstream.kernels.cuda.maps import Array
from heatstream.kernels.cuda.nvrtc import nvrtc

__all__ = ["CudaDevice"]

# Codes of cudaError_t and CUresult, which have the same numbers where they mean the same.
OUT_OF_MEMORY = {2}
OLD_DRIVER = {35, 222, 803, 804}  # too old for this CUDA, or for machine code that it compiled
LOST = {46, 100, 101, 201, 214, 226, 999, *range(700, 722)}  # gone, busy, or stopped by a kernel that failed


class CudaDevice:
    """One GPU.

    Attributes:
        cupy: the module.
        index: the device's number, from 0.
        gpu: its name and compute capability.
        shares_memory: whether the CPU's memory is the GPU's too, at the same addresses, as on Jetson boards.

    Args:
        index: the device's number, from 0.

    Raises:
        EngineError: there is no such GPU, or its driver is too old.
        MissingExtraError: CuPy or NVRTC is not installed.
    """

    def __init__(self, index: int = 0) -> None:
        gpu = local_gpu(index)
        if gpu is None:
            raise EngineError(_no_gpu(index))
        self.index = index
        self.gpu: Gpu = gpu
        try:
            self.cupy = require("cupy", extra=gpu_extra(), purpose=f"running on {self.title}")
        except MissingExtraError:
            raise
        except ImportError as error:
            reason = _line(error.__cause__ or error)
            raise EngineError(f"CuPy is installed but does not load ({reason}): install it again") from error
        with self.errors("opening the device"), self.current():
            self.cupy.cuda.runtime.getDeviceCount()
            properties = self.cupy.cuda.runtime.getDeviceProperties(index)
            self.shares_memory = bool(properties.get("integrated") and properties.get("unifiedAddressing"))
        nvrtc()
        nvtx = getattr(self.cupy.cuda, "nvtx", None)
        self._nvtx = nvtx if getattr(nvtx, "available", False) else None

    @property
    def name(self) -> str:
        """As a person asks for it: ``"cuda:0"``."""
        return f"cuda:{self.index}"

    @property
    def title(self) -> str:
        """For people: ``"cuda:0 (Orin)"``."""
        return f"{self.name} ({self.gpu.name})"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it this thread's device."""
        with self.cupy.cuda.Device(self.index):
            yield

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """What CuPy and torch raise inside becomes ours.

        Args:
            doing: what fails, as a message begins.

        Raises:
            EngineError: the device failed.
        """
        # CuPy's CUDARuntimeError, CUDADriverError and NVRTCError are RuntimeErrors; some checks raise a plain one.
        try:
            yield
        except (RuntimeError, self.cupy.cuda.memory.OutOfMemoryError) as error:
            raise EngineError(f"{doing} failed on {self.title}: {explain(error)}") from error

    def range(self, name: str) -> AbstractContextManager[object]:
        """A named stretch in the timeline of NVIDIA's profilers; nothing where CuPy has no NVTX."""
        return nullcontext() if self._nvtx is None else _nvtx_range(self._nvtx, name)

    def copy_to_device(self, target: Array, source: int, size: int, stream: Any) -> None:
        """Put a copy of page-locked memory on a stream; may be captured, which CuPy's own methods refuse.

        Args:
            target: its first `size` bytes are written.
            source: address of the page-locked memory.
            size: in bytes.
            stream: CuPy's.
        """
        runtime = self.cupy.cuda.runtime
        runtime.memcpyAsync(target.data.ptr, source, size, runtime.memcpyHostToDevice, stream.ptr)

    def copy_to_host(self, target: int, source: Array, stream: Any) -> None:
        """Put a copy of an array into page-locked memory on a stream; see :meth:`copy_to_device`.

        Args:
            target: address of the page-locked memory.
            source: contiguous.
            stream: CuPy's.
        """
        runtime = self.cupy.cuda.runtime
        runtime.memcpyAsync(target, source.data.ptr, source.nbytes, runtime.memcpyDeviceToHost, stream.ptr)

    def stream(self) -> Any:
        """A new stream that does not wait for the default one."""
        with self.current():
            return self.cupy.cuda.Stream(non_blocking=True)


def explain(error: BaseException) -> str:
    """Why CUDA failed, and what to do."""
    status = getattr(error, "status", None)
    if isinstance(error, MemoryError) or status in OUT_OF_MEMORY:
        return "it has no memory left: end other programs that use it, or take a model of a smaller input size"
    if status in OLD_DRIVER:
        return f"its driver is too old ({_line(error)}): update NVIDIA's driver, or install a CuPy for an older CUDA"
    if status in LOST:
        return (
            f"the device was lost, or a kernel failed on it ({_line(error)}): start the program again; "
            "`heatstream doctor` tells whether the GPU is still there"
        )
    return f"{_line(error)}; `heatstream doctor` tells what works on this machine"


def _no_gpu(index: int) -> str:
    first = local_gpu(0)
    if first is not None:
        return f"this machine has no cuda:{index}: choose another GPU, such as cuda:0 ({first.name})"
    return (
        f"cuda:{index} was asked for, and there is no NVIDIA GPU here, or no driver for it: `heatstream doctor` tells "
        "which; device cpu works anywhere"
    )


@contextmanager
def _nvtx_range(nvtx: Any, name: str) -> Iterator[None]:
    nvtx.RangePush(name)
    try:
        yield
    finally:
        nvtx.RangePop()


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
