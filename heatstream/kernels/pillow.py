"""Pillow's antialiased bilinear resize, by which H3R's code brings its crops to the network's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["resize_as_pillow"]

WEIGHT_BITS = 22
"""Of the filter's fixed-point weights; both passes round to whole grey levels, as Pillow does."""


def resize_as_pillow(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.int64]:
    """(H, W, 3) to (height, width, 3) whole grey levels: first along the rows, then along the columns."""
    across = _pass(picture.astype(np.int64), _filter(picture.shape[1], size[1]), axis=1)
    return _pass(across, _filter(picture.shape[0], size[0]), axis=0)


def _pass(picture: NDArray[np.int64], weights: NDArray[np.int64], *, axis: int) -> NDArray[np.int64]:
    # The sums are whole numbers below 2**53, so that the quick product of floats is exact.
    moved = np.moveaxis(picture, axis, 0).astype(np.float64)
    sums = np.tensordot(weights.astype(np.float64), moved, axes=1) + (1 << (WEIGHT_BITS - 1))
    return np.moveaxis(np.clip(sums.astype(np.int64) >> WEIGHT_BITS, 0, 255), 0, axis)


def _filter(source: int, target: int) -> NDArray[np.int64]:
    """(target, source) fixed-point weights of a triangle as wide as the target's pixels, or the source's if larger."""
    factor = source / target
    support = max(factor, 1.0)
    middle = (np.arange(target)[:, None] + 0.5) * factor
    cells = np.arange(source)[None, :]
    weights = np.clip(1 - np.abs(cells + 0.5 - middle) / support, 0, None)
    weights[(cells < np.floor(middle - support + 0.5)) | (cells >= np.floor(middle + support + 0.5))] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    fixed: NDArray[np.int64] = np.floor(weights * (1 << WEIGHT_BITS) + 0.5).astype(np.int64)
    return fixed
