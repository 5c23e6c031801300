"""Pillow's antialiased bilinear resize, by which H3R's code brings its crops to the network's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["resize_as_pillow"]

WEIGHT_BITS = 22
"""Of the filter's fixed-point weights; both passes round to whole grey levels, as Pillow does."""


def resize_as_pillow(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) to (height, width, 3): first along the rows, then along the columns."""
    across = _pass(picture.transpose(1, 0, 2), size[1])
    return _pass(across.transpose(1, 0, 2), size[0])


def _pass(picture: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """Bring the first axis to a length."""
    rows = picture.reshape(len(picture), -1).astype(np.int32)
    sums: NDArray[np.int32] = (
        _filter(len(rows), length) @ rows
    )  # at most 255 << WEIGHT_BITS and a little, which int32 holds
    sums += 1 << (WEIGHT_BITS - 1)
    sums >>= WEIGHT_BITS
    return sums.astype(np.uint8).reshape(length, *picture.shape[1:])


def _filter(source: int, target: int) -> csr_array:
    """(target, source) fixed-point weights of a triangle as wide as the target's pixels, or the source's if larger."""
    factor = source / target
    support = max(factor, 1.0)
    middle = (np.arange(target)[:, None] + 0.5) * factor
    cells = np.arange(source)[None, :]
    weights = np.clip(1 - np.abs(cells + 0.5 - middle) / support, 0, None)
    weights[(cells < np.floor(middle - support + 0.5)) | (cells >= np.floor(middle + support + 0.5))] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return csr_array(np.floor(weights * (1 << WEIGHT_BITS) + 0.5).astype(np.int32))
