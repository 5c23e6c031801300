"""Peaks: non-maximum suppression and the strongest detections of every joint."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

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


def find_peaks(heatmaps: NDArray[np.float32], *, threshold: float, nms_kernel: int, capacity: int) -> Candidates:
    """Local maxima above a threshold, the strongest ``capacity`` of every joint.

    A pixel is a detection if nothing in the square of side ``nms_kernel`` around it is larger; on a plateau every
    pixel is one, as with the max-pooling of associative embedding (Newell et al. 2017). Equal scores are ordered
    by row, then by column.

    Args:
        heatmaps: (K, H, W) float32, finite.
        threshold: a detection's value must exceed this.
        nms_kernel: odd side of the square, in map px.
        capacity: how many detections are kept per joint.
    """
    num_joints, height, width = heatmaps.shape
    square = np.ones((nms_kernel, nms_kernel), np.uint8)
    # Outside the map counts as minus infinity, which is OpenCV's default border of a dilation.
    highest = np.empty_like(heatmaps)
    for heatmap, target in zip(heatmaps, highest, strict=True):
        cv2.dilate(heatmap, square, dst=target)
    found = np.flatnonzero((heatmaps == highest) & (heatmaps > threshold))

    scores = heatmaps.reshape(-1)[found]
    joints = found // (height * width)
    order = np.lexsort((-scores, joints))  # stable: equal scores stay in row-major order
    found, scores, joints = found[order], scores[order], joints[order]
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
    result.pixels[slots] = np.stack([found[kept] % width, found[kept] // width % height], axis=1)
    return result
