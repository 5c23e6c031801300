"""Landmarks on the GPU: launches the kernel of ``landmarks.cu``, the reference of :mod:`landmarks`.

:func:`landmarks_on_gpu` is what :func:`heatstream.kernels.decode_landmarks` calls for CuPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heatstream.errors import InputError
from heatstream.extras import require
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.maps import Array, Kernel, check_array
from heatstream.kernels.reference.landmarks import check_landmarks

__all__ = ["decode_landmarks", "landmark_macros", "landmarks_on_gpu"]

WARPS = 4  # landmarks of a block, as in the source


def landmark_macros(maps: Array) -> dict[str, int]:
    """What ``landmarks.cu`` is compiled for."""
    return {"HALF_MAPS": int(maps.dtype == np.float16)}


def decode_landmarks(
    kernels: Mapping[str, Kernel],
    maps: Array,
    positions: Array,
    *,
    topk: int = 9,
    stride: float = 4.0,
    to_source: Array | None = None,
    peaks: Array | None = None,
    stream: Any,
) -> None:
    """Every landmark's position, and how high its map is there.

    Args:
        kernels: of ``landmarks.cu``, compiled for these maps.
        maps: (N, L, H, W) float16 or float32; contiguous, or class 1 of a contiguous (N, 2, L, H, W).
        positions: (N, L, 2) float32, written.
        topk: see the reference.
        stride: see the reference.
        to_source: (N, 2, 3) float32 or None, see the reference.
        peaks: (N, L) float32, written: the largest value of each map, NaN of a map that is not finite. Or None.
        stream: where to launch; does not wait.

    Raises:
        InputError: an array has another shape, type or layout.
    """
    check_landmarks(maps, topk, to_source)
    images, landmarks, height, width = maps.shape
    if not maps[0].flags.c_contiguous:
        raise InputError(f"the maps of one image must be contiguous, got strides {maps.strides} of {maps.shape}")
    check_array("positions", positions, (images, landmarks, 2), np.float32)
    if to_source is not None:
        check_array("to_source", to_source, (images, 2, 3), np.float32)
    if peaks is not None:
        check_array("peaks", peaks, (images, landmarks), np.float32)
    args = (
        maps,
        np.int64(maps.strides[0] // maps.dtype.itemsize),
        np.int32(landmarks),
        np.int32(height),
        np.int32(width),
        np.int32(topk),
        np.float32(stride),
        to_source,
        positions,
        peaks,
    )
    kernels["decode_landmarks"]((-(-landmarks // WARPS), images), (WARPS * 32,), args, stream=stream)


def landmarks_on_gpu(maps: Array, topk: int, stride: float, to_source: Any) -> Array:
    """What :func:`heatstream.kernels.decode_landmarks` does for CuPy arrays, which it has checked.

    Works on the current stream of the array's device and does not wait. Memory comes from CuPy's pool.

    Args:
        maps: (N, L, H, W), CuPy's.
        topk: see the reference.
        stride: see the reference.
        to_source: (N, 2, 3), NumPy's or CuPy's, or None.

    Returns:
        (N, L, 2) float32, CuPy's.
    """
    cupy = require("cupy", extra="gpu", purpose="decoding CuPy arrays")
    with maps.device:
        positions = cupy.empty((*maps.shape[:2], 2), np.float32)
        if not positions.size:
            return positions
        if not maps[0].flags.c_contiguous:
            maps = cupy.ascontiguousarray(maps)
        transforms = None if to_source is None else cupy.ascontiguousarray(cupy.asarray(to_source), np.float32)
        kernels = CupyDevice().kernels("landmarks", landmark_macros(maps))
        current = cupy.cuda.get_current_stream()
        decode_landmarks(kernels, maps, positions, topk=topk, stride=stride, to_source=transforms, stream=current)
    return positions
