"""Memory of the host that a GPU copies from and to at full speed, without the CPU.

It is CuPy's. On GPUs that share their memory with the CPU, such as Jetson's, there is nothing to copy: under unified
addressing, which all of them have, page-locked memory has one address for the CPU and for kernels.
"""

from __future__ import annotations

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
        cupy = cuda.cupy
        self._memory: Any = cupy.cuda.alloc_pinned_memory(size)
        self.bytes: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8, size)
        self.mapped: Array | None = None
        if cuda.shares_memory:
            owner = cupy.cuda.UnownedMemory(self.address, size, self._memory, cuda.index)
            self.mapped = cupy.ndarray((size,), np.uint8, cupy.cuda.MemoryPointer(owner, 0))

    @property
    def address(self) -> int:
        """Where it lies, for the host."""
        place: int = self.bytes.ctypes.data
        return place

    def close(self) -> None:
        """Give it back; nobody may be copying any more."""
        self._memory = self.mapped = None
        self.bytes = np.empty(0, np.uint8)
