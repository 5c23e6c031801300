"""The GPU as the decode sees it: memory that is asked for once, and kernels that are compiled once.

:class:`CupyDevice` is the product's. Whatever offers the same four calls can take its place; the tests bring one whose
memory is NumPy's and whose kernels run on the CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from heatstream.extras import require
from heatstream.kernels.cuda.compiler import compile_cubin
from heatstream.kernels.cuda.maps import Array, Kernel
from heatstream.kernels.cuda.occupancy import kernel_resources

__all__ = ["CupyDevice", "Device"]


class Device(Protocol):
    """One GPU. Only :meth:`clear` may be called while a graph is captured."""

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """A contiguous array in device memory, not initialised."""

    def upload(self, array: NDArray[Any]) -> Array:
        """A copy of a host array in device memory."""

    def kernels(self, source: str, macros: Mapping[str, int]) -> Mapping[str, Kernel]:
        """The kernels of ``source.cu`` by name, compiled with these macros."""

    def clear(self, array: Array, stream: Any) -> None:
        """Set all bytes of a contiguous array to 0, on a stream, and return at once."""


class CupyDevice:
    """CuPy's current device.

    Raises:
        MissingExtraError: CuPy is not installed.
    """

    def __init__(self) -> None:
        self._cupy = require("cupy", extra="gpu", purpose="running the CUDA kernels")

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return self._cupy.empty(shape, dtype)

    def upload(self, array: NDArray[Any]) -> Array:
        return self._cupy.asarray(array)

    def kernels(self, source: str, macros: Mapping[str, int]) -> Mapping[str, Kernel]:
        return _load(self._cupy.cuda.Device().id, source, tuple(sorted(macros.items())))

    def clear(self, array: Array, stream: Any) -> None:
        array.data.memset_async(0, array.nbytes, stream)


@functools.cache
def _load(device: int, source: str, macros: tuple[tuple[str, int], ...]) -> Mapping[str, Kernel]:
    """Once per device and configuration: a driver loads a module into one device's memory."""
    cupy = require("cupy", extra="gpu", purpose="running the CUDA kernels")
    with cupy.cuda.Device(device) as current:
        cubin = compile_cubin(source, architecture=int(current.compute_capability), defines=dict(macros))
        module = cupy.cuda.function.Module()
        module.load(cubin.code)
        return {kernel.name: module.get_function(kernel.name) for kernel in kernel_resources(cubin)}
