"""Letterbox on the GPU: launches the kernel of ``letterbox.cu``, the reference of :mod:`letterbox`.

:func:`letterbox_on_gpu` is what :func:`heatstream.kernels.letterbox` calls for CuPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.extras import require
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.maps import Array, Kernel, address, check_array
from heatstream.kernels.geometry import Geometry

__all__ = [
    "COLUMNS",
    "DESCRIPTOR_BYTES",
    "PIXELS",
    "ROWS",
    "check_input",
    "describe",
    "letterbox",
    "letterbox_macros",
    "letterbox_on_gpu",
    "normalisation",
    "packed_pixels",
]

COLUMNS, ROWS = 32, 8  # threads of a block, as in the source
PIXELS = 2  # of a thread

_DESCRIPTOR = np.dtype(
    [
        ("pixels", "u8"),
        ("row_bytes", "i8"),
        ("height", "i4"),
        ("width", "i4"),
        ("scale", "f4"),
        ("shift_x", "f4"),
        ("shift_y", "f4"),
    ],
    align=True,
)
DESCRIPTOR_BYTES = _DESCRIPTOR.itemsize
_NORMALISATION = np.dtype([("scale", "f4", 3), ("shift", "f4", 3)], align=True)


def describe(frames: Sequence[Array], geometries: Sequence[Geometry]) -> NDArray[np.uint8]:
    """What the kernel must know of a batch of frames, for the caller to copy to the device.

    Args:
        frames: in device memory; (H, W, 3) uint8 BGR with packed pixels and rows of any stride. They must stay alive
            and in place until the kernel has run.
        geometries: where each lands.

    Returns:
        (B, DESCRIPTOR_BYTES) uint8, in the host's memory.

    Raises:
        InputError: a frame has another shape, type or layout.
    """
    descriptors = np.zeros(len(frames), _DESCRIPTOR)
    for descriptor, frame, geometry in zip(descriptors, frames, geometries, strict=True):
        _check_bgr(frame)
        descriptor["pixels"], descriptor["row_bytes"] = address(frame), frame.strides[0]
        descriptor["height"], descriptor["width"] = frame.shape[:2]
        # As the reference's warp inverts it: a last bit of difference can move a grey level.
        inverse = cv2.invertAffineTransform(geometry.warp)
        descriptor["scale"], descriptor["shift_x"], descriptor["shift_y"] = inverse[0, 0], inverse[0, 2], inverse[1, 2]
    return descriptors.view(np.uint8).reshape(len(frames), DESCRIPTOR_BYTES)


def letterbox_macros(out: Array) -> dict[str, int]:
    """What ``letterbox.cu`` is compiled for."""
    return {"HALF_OUTPUT": int(out.dtype == np.float16)}


def letterbox(
    kernels: Mapping[str, Kernel],
    descriptors: Array,
    out: Array,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    stream: Any,
) -> None:
    """Warp a batch of frames into the network's input and normalise them.

    Args:
        kernels: of ``letterbox.cu``, compiled for this output.
        descriptors: (B, DESCRIPTOR_BYTES) uint8 of :func:`describe`, in device memory; the geometries' input size is
            that of the output.
        out: (B, 3, height, width) float16 or float32, RGB, written.
        mean: of R, G, B, where 1 is full brightness.
        std: of R, G, B, in the same unit.
        stream: where to launch; does not wait.

    Raises:
        InputError: an array has another shape, type or layout.
    """
    images, height, width = check_input(out)
    check_array("descriptors", descriptors, (images, DESCRIPTOR_BYTES), np.uint8)
    grid = (-(-width // (COLUMNS * PIXELS)), -(-height // ROWS), images)
    args = (descriptors, normalisation(mean, std), out, np.int32(height), np.int32(width))
    kernels["letterbox"](grid, (COLUMNS, ROWS), args, stream=stream)


def check_input(out: Array) -> tuple[int, int, int]:
    """(B, height, width) of the network's input, (B, 3, height, width) float16 or float32, as the kernels write it.

    Raises:
        InputError: it has another shape, type or layout.
    """
    if out.ndim != 4 or out.shape[1] != 3 or out.dtype not in (np.float16, np.float32):
        raise InputError(f"the network's input must be (B, 3, H, W) float16 or float32, got {out.shape} {out.dtype}")
    check_array("out", out, out.shape, out.dtype)
    if address(out) % (PIXELS * out.dtype.itemsize):
        raise InputError("out must begin at an address that two of its pixels can be written to at once")
    return out.shape[0], out.shape[2], out.shape[3]


def normalisation(mean: Sequence[float], std: Sequence[float]) -> NDArray[np.void]:
    """The kernels' argument by which grey levels are normalised, from mean and standard deviation of R, G, B."""
    argument = np.zeros((), _NORMALISATION)
    argument["scale"] = 1 / (255 * np.asarray(std, np.float64))
    argument["shift"] = -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    return argument


def letterbox_on_gpu(frame: Array, geometry: Geometry, mean: Sequence[float], std: Sequence[float]) -> Array:
    """What :func:`heatstream.kernels.letterbox` does for a CuPy array.

    Works on the current stream of the array's device and does not wait. Memory comes from CuPy's pool.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides; CuPy's.
        geometry: where it lands.
        mean: of R, G, B, where 1 is full brightness.
        std: as mean.

    Returns:
        (1, 3, height, width) float32, CuPy's.

    Raises:
        InputError: the frame has another shape or type.
    """
    cupy = require("cupy", extra="gpu", purpose="bringing CuPy arrays to the network's size")
    with frame.device:
        frame = packed_pixels(cupy, frame)
        out = cupy.empty((1, 3, *geometry.input_size), np.float32)
        descriptors = cupy.asarray(describe([frame], [geometry]))
        kernels = CupyDevice().kernels("letterbox", letterbox_macros(out))
        letterbox(kernels, descriptors, out, mean, std, stream=cupy.cuda.get_current_stream())
    return out


def packed_pixels(cupy: Any, frame: Array) -> Array:
    """A frame on the GPU as the kernels read it: itself if its pixels follow each other in its rows, else a copy."""
    packed = frame.ndim == 3 and tuple(frame.strides[1:]) == (3, 1)
    return frame if packed else cupy.ascontiguousarray(frame)


def _check_bgr(frame: Array) -> None:
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR and hold pixels, got {frame.shape} {frame.dtype}")
    if tuple(frame.strides[1:]) != (3, 1):
        raise InputError(f"a frame's pixels must follow each other in its rows, got strides {frame.strides}")
