"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_missing"]

# Pixels above these are looked at first. They are few, and a pixel below cannot be worth more than that, so that
# a better one among them is the best of all.
BRIGHT = (np.float32(0.2), np.float32(0.02))
FEW = 2
"""For so many people every pixel is looked at right away: to find the bright ones would cost as much."""


def find_missing(
    heatmaps: NDArray[np.float32],
    tags: NDArray[np.float32],
    missing: NDArray[np.bool_],
    mean_tags: NDArray[np.float32],
) -> NDArray[np.intp]:
    """For each person and missing joint the pixel with the largest ``heatmap - round(tag distance)``.

    This is the refinement of the official parser (HigherHRNet, Cheng et al. 2020), which looks at every pixel for
    every person; most searches here end among the bright ones.

    Args:
        heatmaps: (K, H, W) float32, finite.
        tags: (K, H, W, T) float32, finite.
        missing: (P, K) bool, where to look.
        mean_tags: (P, T) float32, the mean tag of each person's detections.

    Returns:
        (P, K) flat pixel indices; the first in row-major order where several are equally good; 0 where
        nothing was missing.
    """
    best = np.zeros(missing.shape, np.intp)
    for joint in np.flatnonzero(missing.any(axis=0)):
        heatmap = heatmaps[joint].reshape(-1)
        planes = tags[joint].reshape(heatmap.size, -1).T  # (T, pixels)
        people = missing[:, joint].nonzero()[0]
        for least in BRIGHT if people.size > FEW else ():
            bright = (heatmap > least).nonzero()[0]
            if bright.size:
                worth = _worth(heatmap.take(bright), planes.take(bright, axis=1), mean_tags[people])
                best[people, joint] = bright.take(worth.argmax(axis=1))
                people = people[worth.max(axis=1) <= least]
            if not people.size:
                break
        for person in people:  # one at a time, since a whole map fills the cache
            best[person, joint] = _worth(heatmap, planes, mean_tags[person : person + 1]).argmax()
    return best


def _worth(
    values: NDArray[np.float32], planes: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(P, n) float32, ``value - round(distance to the wanted tag)``; rounding is half to even.

    Args:
        values: (n,) heatmap values.
        planes: (T, n) tags.
        wanted: (P, T) tags.
    """
    distance: NDArray[np.float32] = np.subtract(planes[0], wanted[:, :1])
    np.abs(distance, out=distance)
    if len(planes) > 1:
        np.multiply(distance, distance, out=distance)
        for plane, tag in zip(planes[1:], wanted.T[1:], strict=True):
            difference = plane - tag[:, None]
            distance += np.multiply(difference, difference, out=difference)
        np.sqrt(distance, out=distance)
    np.rint(distance, out=distance)
    return np.subtract(values, distance, out=distance)
