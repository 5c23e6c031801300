"""Crops on the GPU: launches the kernel of ``crops.cu``, the reference of :func:`crop_rotated`.

:func:`crops_on_gpu` is what :func:`heatstream.kernels.crop_rotated` calls for CuPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heatstream.extras import require
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.letterbox import (
    COLUMNS,
    DESCRIPTOR_BYTES,
    PIXELS,
    ROWS,
    check_input,
    describe,
    normalisation,
    packed_pixels,
)
from heatstream.kernels.cuda.maps import Array, Kernel, check_array
from heatstream.kernels.geometry import Geometry

__all__ = ["crop_macros", "crop_rotated", "crops_on_gpu"]


def crop_macros(out: Array) -> dict[str, int]:
    """What ``crops.cu`` is compiled for."""
    return {"HALF_OUTPUT": int(out.dtype == np.float16)}


def crop_rotated(
    kernels: Mapping[str, Kernel],
    descriptor: Array,
    transforms: Array,
    count: Array,
    out: Array,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    stream: Any,
) -> None:
    """Cut crops from one frame into the network's input and normalise them.

    Args:
        kernels: of ``crops.cu``, compiled for this output.
        descriptor: (1, DESCRIPTOR_BYTES) uint8 of :func:`heatstream.kernels.cuda.letterbox.describe`, in device memory.
            The letterbox's of the same frame may be used: its geometry is not looked at.
        transforms: (capacity, 2, 3) float32 in device memory, see the reference.
        count: (1,) int32 in device memory: how many of the transforms are meant, at most the capacity.
        out: (capacity, 3, height, width) float16 or float32, RGB; the first ``count`` images are written.
        mean: see the reference.
        std: see the reference.
        stream: where to launch; does not wait.

    Raises:
        InputError: an array has another shape, type or layout.
    """
    capacity, height, width = check_input(out)
    check_array("descriptor", descriptor, (1, DESCRIPTOR_BYTES), np.uint8)
    check_array("transforms", transforms, (capacity, 2, 3), np.float32)
    check_array("count", count, (1,), np.int32)
    grid = (-(-width // (COLUMNS * PIXELS)), -(-height // ROWS), capacity)
    args = (descriptor, transforms, count, normalisation(mean, std), out, np.int32(height), np.int32(width))
    kernels["crops"](grid, (COLUMNS, ROWS), args, stream=stream)


def crops_on_gpu(
    frame: Array, transforms: Any, input_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> Array:
    """What :func:`heatstream.kernels.crop_rotated` does for a CuPy array.

    Works on the current stream of the array's device and does not wait. Memory comes from CuPy's pool.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides; CuPy's.
        transforms: (N, 2, 3), NumPy's or CuPy's; one that is not finite gives a black crop.
        input_size: (height, width) in px.
        mean: see the reference.
        std: see the reference.

    Returns:
        (N, 3, height, width) float32, CuPy's.

    Raises:
        InputError: the frame has another shape or type.
    """
    cupy = require("cupy", extra="gpu", purpose="cutting crops from CuPy arrays")
    with frame.device:
        frame = packed_pixels(cupy, frame)
        out = cupy.empty((len(transforms), 3, *input_size), np.float32)
        descriptor = cupy.asarray(describe([frame], [Geometry.fit(frame.shape[:2], input_size)]))
        if not len(transforms):
            return out
        transforms = cupy.ascontiguousarray(cupy.asarray(transforms), np.float32)
        count = cupy.asarray(np.array([len(transforms)], np.int32))
        kernels = CupyDevice().kernels("crops", crop_macros(out))
        current = cupy.cuda.get_current_stream()
        crop_rotated(kernels, descriptor, transforms, count, out, mean, std, stream=current)
    return out
