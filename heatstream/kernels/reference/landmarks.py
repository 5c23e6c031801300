"""Landmarks: from a map per landmark to its position, by H3R's decoder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["MAX_TOP_K", "check_landmarks", "decode_landmarks"]

MAX_TOP_K = 32


def decode_landmarks(
    maps: NDArray[np.floating],
    topk: int = 9,
    stride: float = 4.0,
    *,
    to_source: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """The expected pixel under a softmax of each map's strongest activations (H3R, Yu & Tao 2021, section 3).

    Pixels are indices, without half a pixel: the first column of a map is x = 0 of the network's input, as H3R's
    training targets have it.

    Args:
        maps: (N, L, H, W) float16 or float32, unnormalised scores; of a head with two classes those of class 1.
        topk: how many activations take part, 1 to 32; equal ones in row-major order.
        stride: input px per map px.
        to_source: (N, 2, 3) transforms from input px to px of the image that each was cropped from.

    Returns:
        (N, L, 2) float32, (x, y) in input px, or source px with ``to_source``. A map that holds a NaN or an infinity
        gives NaN.

    Raises:
        InputError: the arrays' shapes disagree, or a map has fewer than ``topk`` pixels.
    """
    check_landmarks(maps, topk, to_source)
    images, landmarks, height, width = maps.shape
    scores = np.asarray(maps, np.float32).reshape(-1, height * width)
    finite = np.asarray(np.isfinite(scores).all(axis=1))
    scores = np.where(finite[:, None], scores, 0)

    pixels = _strongest(scores, topk)  # (N * L, topk)
    values = np.take_along_axis(scores, pixels, axis=1)
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    weights *= np.float32(stride) / weights.sum(axis=1, keepdims=True)
    position = np.stack([(weights * (pixels % width)).sum(axis=1), (weights * (pixels // width)).sum(axis=1)], axis=1)
    position[~finite] = np.nan
    position = position.reshape(images, landmarks, 2)
    if to_source is not None:
        position = position @ to_source[:, :, :2].transpose(0, 2, 1) + to_source[:, None, :, 2]
    return position.astype(np.float32)


def check_landmarks(maps: NDArray[np.floating], topk: int, to_source: NDArray[np.floating] | None) -> None:
    """Refuse what the decoder cannot read; arrays of any library.

    Raises:
        InputError: the arrays' shapes disagree, or a map has fewer than ``topk`` pixels.
    """
    if maps.ndim != 4 or maps.dtype not in (np.float16, np.float32):
        raise InputError(f"landmark maps must be (N, L, H, W) float16 or float32, got {maps.shape} {maps.dtype}")
    pixels = maps.shape[2] * maps.shape[3]
    if not 1 <= topk <= min(MAX_TOP_K, pixels):
        raise InputError(f"topk must be 1 to {MAX_TOP_K} and at most the map's {pixels} px, got {topk}")
    if to_source is not None and to_source.shape != (len(maps), 2, 3):
        raise InputError(f"to_source must be ({len(maps)}, 2, 3), one transform per image, got {to_source.shape}")


def _strongest(scores: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """(rows, count) indices of each row's largest values, ascending; of equal ones the first."""
    least = np.partition(scores, -count, axis=1)[:, -count, None]
    larger, equal = scores > least, scores == least
    wanted = count - larger.sum(axis=1, keepdims=True)
    chosen = larger | (equal & (np.cumsum(equal, axis=1) <= wanted))
    return np.nonzero(chosen)[1].reshape(len(scores), count)
