"""Memory of the host that a GPU copies from and to at full speed, without the CPU.

It is CuPy's. On GPUs that share their memory with the CPU, such as Jetson's, there is nothing to copy: PyCUDA, where it
is installed, maps the very same bytes into the GPU's address space.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.cuda.maps import Array
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["PinnedBuffer"]


class PinnedBuffer:
    """Page-locked bytes.

    Attributes:
        bytes: (size,) uint8, the host's view.
        mapped: (size,) uint8, the same bytes as the GPU reads them; None where they have to be copied.

    Args:
        cuda: the GPU that copies or reads.
        size: in bytes.
    """

    def __init__(self, cuda: CudaDevice, size: int) -> None:
        self._cuda = cuda
        self.mapped: Array | None = None
        if cuda.integrated and importlib.util.find_spec("pycuda") is not None:
            self._memory: Any = self._map(size)
        else:
            self._memory = cuda.cupy.cuda.alloc_pinned_memory(size)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8, size)

    @property
    def address(self) -> int:
        """Where it lies, for the host."""
        place: int = self.bytes.ctypes.data
        return place

    def close(self) -> None:
        """Give it back; nobody may be copying any more."""
        memory, mapped = self._memory, self.mapped
        self._memory = self.mapped = None
        self.bytes = np.empty(0, np.uint8)
        if mapped is not None:
            with _primary_context(self._cuda):  # PyCUDA frees in the context that is current
                memory.base.free()

    def _map(self, size: int) -> Any:
        cupy = self._cuda.cupy
        with _primary_context(self._cuda) as driver:
            memory = driver.pagelocked_empty(size, np.uint8, mem_flags=driver.host_alloc_flags.DEVICEMAP)
            place = int(memory.base.get_device_pointer())
        owner = cupy.cuda.UnownedMemory(place, size, memory, self._cuda.index)
        self.mapped = cupy.ndarray((size,), np.uint8, cupy.cuda.MemoryPointer(owner, 0))
        return memory


@contextmanager
def _primary_context(cuda: CudaDevice) -> Iterator[Any]:
    """PyCUDA's driver module in the context that CuPy and TensorRT use; PyCUDA keeps one stack of them per thread."""
    driver = importlib.import_module("pycuda.driver")
    driver.init()
    context = driver.Device(cuda.index).retain_primary_context()
    context.push()
    try:
        yield driver
    finally:
        context.pop()
