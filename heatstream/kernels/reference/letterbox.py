"""Letterbox: a camera frame to the network's input."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.geometry import Geometry

__all__ = ["letterbox"]


def letterbox(
    frame: NDArray[np.uint8],
    geometry: Geometry,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Warp a frame into the network's input and normalise it.

    The warp is bilinear without smoothing and the border is black, as in the reference programs.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides.
        geometry: where the frame lands.
        mean: of R, G, B, where 1 is full brightness.
        std: of R, G, B, in the same unit.

    Returns:
        (1, 3, height, width) float32, RGB, ``(value / 255 - mean) / std``; new memory.
    """
    height, width = geometry.input_size
    if any(stride <= 0 for stride in frame.strides) or frame.strides[2] != 1 or frame.strides[1] != 3:
        frame = np.ascontiguousarray(frame)  # OpenCV reads rows of any stride, but packed pixels
    warped = cv2.warpAffine(frame, geometry.warp, (width, height))
    planes = np.empty((1, 3, height, width), np.float32)
    tables = _normalised_levels(tuple(mean), tuple(std))
    for channel, (plane, table) in enumerate(zip(reversed(cv2.split(warped)), tables, strict=True)):  # R, G, B
        cv2.LUT(plane, table, dst=planes[0, channel])
    return planes


@functools.lru_cache(maxsize=16)
def _normalised_levels(mean: tuple[float, float, float], std: tuple[float, float, float]) -> NDArray[np.float32]:
    """(3, 256) float32, what every grey level of R, G, B becomes; read-only."""
    tables: NDArray[np.float32] = ((np.arange(256) / 255 - np.c_[list(mean)]) / np.c_[list(std)]).astype(np.float32)
    tables.flags.writeable = False
    return tables
