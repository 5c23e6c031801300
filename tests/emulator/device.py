"""A device for the decode whose memory is NumPy's and whose kernels run on the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heatstream.kernels import DecodeSettings
from heatstream.kernels.cuda.compiler import SOURCES
from heatstream.kernels.cuda.maps import DeviceMaps, Kernel
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from tests.emulator.build import launch, load

__all__ = ["EmulatedDevice", "decode"]

UNWRITTEN = 0x55  # what every byte holds that nobody has written


class EmulatedDevice:
    """Threads and blocks run in the given order; see :func:`tests.emulator.build.launch`."""

    def __init__(self, order: str | int = "forward") -> None:
        self.order = order

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = UNWRITTEN
        return array

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy()

    def kernels(self, source: str, macros: Mapping[str, int]) -> dict[str, Kernel]:
        def callable_of(kernel: Any) -> Kernel:
            def call(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, stream: Any) -> None:
                launch(kernel, grid, block, 0, args, order=self.order)

            return call

        compiled = load(SOURCES / f"{source}.cu", defines={**macros, "__grid_constant__": ""})
        return {name: callable_of(kernel) for name, kernel in compiled.items()}

    def clear(self, array: NDArray[Any], stream: Any) -> None:
        array.view(np.uint8)[...] = 0


def decode(
    maps: DeviceMaps,
    settings: DecodeSettings,
    *,
    capacity: int | None = None,
    to_source: NDArray[np.float64] | None = None,
    order: str | int = "forward",
) -> NDArray[np.void]:
    """The whole chain on maps in host memory.

    Args:
        maps: the maps.
        settings: how to decode.
        capacity: room for people in the result; for everybody when left out.
        to_source: (B, 2, 3); results stay in map px when left out.
        order: of threads and blocks.

    Returns:
        (B,) of :func:`heatstream.kernels.reference.pack.packed_dtype`.
    """
    device = EmulatedDevice(order)
    capacity = maps.num_joints * settings.max_people if capacity is None else capacity
    to_source = np.tile(np.eye(2, 3), (maps.images, 1, 1)) if to_source is None else to_source
    chain = PoseDecoder.prepare(maps, settings, capacity=capacity, device=device)
    packed = device.empty(chain.packed_shape, np.int32)
    chain.launch(maps, to_source, packed, stream=None)
    return packed.view(chain.packed_dtype)[:, 0]
