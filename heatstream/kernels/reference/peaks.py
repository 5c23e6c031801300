"""Peaks: non-maximum suppression and the strongest detections of every joint."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.settings import Plateaus

__all__ = ["Candidates", "find_peaks"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The detections of one image: C at most per joint, strongest first; unused entries are zero.

    Attributes:
        counts: (K,) int32, how many there are.
        scores: (K, C) float32, heatmap values.
        pixels: (K, C, 2) int32, (x, y) in map px, the pixel's index.
        overflow: how many more local maxima were above the threshold and were left out.
    """

    counts: NDArray[np.int32]
    scores: NDArray[np.float32]
    pixels: NDArray[np.int32]
    overflow: int


def find_peaks(
    heatmaps: NDArray[np.float32], *, threshold: float, nms_kernel: int, capacity: int, plateaus: Plateaus = "first"
) -> Candidates:
    """Local maxima above a threshold, the strongest ``capacity`` of every joint.

    A pixel is a detection if nothing in the square of side ``nms_kernel`` around it is larger, and nothing equal in
    there comes before it in reading order; with ``plateaus="all"`` equals do not matter, as with the max-pooling of
    associative embedding (Newell et al. 2017). Equal scores are ordered by row, then by column.

    Args:
        heatmaps: (K, H, W) float32, finite.
        threshold: a detection's value must exceed this.
        nms_kernel: odd side of the square, in map px.
        capacity: how many detections are kept per joint.
        plateaus: see :class:`heatstream.kernels.DecodeSettings`.
    """
    num_joints, _, width = heatmaps.shape
    square = np.ones((nms_kernel, nms_kernel), np.uint8)
    places = [_local_maxima(heatmap, threshold, square) for heatmap in heatmaps]
    joints = np.repeat(np.arange(num_joints), [len(of_joint) for of_joint in places])
    found = np.concatenate(places)
    scores = heatmaps[joints, found // width, found % width]
    order = np.lexsort((-scores, joints))  # stable: equal scores stay in row-major order
    found, scores, joints = found[order], scores[order], joints[order]
    if plateaus == "first":
        tied = (scores[1:] == scores[:-1]) & (joints[1:] == joints[:-1])
        if tied.any():
            first = _first_of_equals(heatmaps, joints, found, scores, nms_kernel // 2)
            found, scores, joints = found[first], scores[first], joints[first]
    counts = np.bincount(joints, minlength=num_joints)
    ranks = np.arange(len(found)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = ranks < capacity

    result = Candidates(
        counts=np.minimum(counts, capacity).astype(np.int32),
        scores=np.zeros((num_joints, capacity), np.float32),
        pixels=np.zeros((num_joints, capacity, 2), np.int32),
        overflow=int(len(found) - kept.sum()),
    )
    slots = joints[kept], ranks[kept]
    result.scores[slots] = scores[kept]
    result.pixels[slots] = np.stack([found[kept] % width, found[kept] // width], axis=1)
    return result


def _first_of_equals(
    heatmaps: NDArray[np.float32],
    joints: NDArray[np.intp],
    found: NDArray[np.intp],
    scores: NDArray[np.float32],
    reach: int,
) -> NDArray[np.bool_]:
    """Whether no pixel of a detection's square that comes before it in reading order has its value."""
    width = heatmaps.shape[2]
    rows, columns = found // width, found % width
    first = np.ones(len(found), np.bool_)
    for down in range(-reach, 1):
        for along in range(-reach, reach + 1 if down else 0):
            y, x = rows + down, columns + along
            inside = (y >= 0) & (x >= 0) & (x < width)
            equal = heatmaps[joints, np.where(inside, y, 0), np.where(inside, x, 0)] == scores
            first &= ~(inside & equal)
    return first


def _local_maxima(heatmap: NDArray[np.float32], threshold: float, square: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Flat indices of one map's detections, ascending."""
    width, reach = heatmap.shape[1], len(square) // 2
    values = heatmap.reshape(-1)
    above = (values > threshold).nonzero()[0]
    if not above.size:
        return above
    # Only the rows that hold any, and those around them, are looked at. Beyond them counts as minus infinity, which is
    # OpenCV's default border of a dilation.
    top = max(int(above[0]) // width - reach, 0)
    highest = cv2.dilate(heatmap[top : int(above[-1]) // width + reach + 1], square)
    kept: NDArray[np.intp] = above[values[above] == highest.reshape(-1)[above - top * width]]
    return kept
