"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_missing"]

# Pixels above this are looked at first. They are few, and a pixel below cannot be worth more than this, so that
# a better one among them is the best of all.
BRIGHT = np.float32(0.02)


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
        people = np.flatnonzero(missing[:, joint])
        bright = np.flatnonzero(heatmap > BRIGHT)
        if bright.size:
            place, worth = _best(heatmap[bright], planes[:, bright], mean_tags[people])
            best[people, joint] = bright[place]
            people = people[worth <= BRIGHT]
        for person in people:  # one at a time, since a whole map fills the cache
            best[person, joint] = _best(heatmap, planes, mean_tags[person : person + 1])[0][0]
    return best


def _best(
    values: NDArray[np.float32], planes: NDArray[np.float32], wanted: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Where ``value - round(distance to the wanted tag)`` is largest, and how large; rounding is half to even.

    Args:
        values: (n,) heatmap values.
        planes: (T, n) tags.
        wanted: (P, T) tags.

    Returns:
        (P,) indices and (P,) float32.
    """
    distance: NDArray[np.float32] = np.abs(planes[0] - wanted[:, :1])  # (P, n)
    if len(planes) > 1:
        np.multiply(distance, distance, out=distance)
        for plane, tag in zip(planes[1:], wanted.T[1:], strict=True):
            difference = plane - tag[:, None]
            distance += np.multiply(difference, difference, out=difference)
        np.sqrt(distance, out=distance)
    np.rint(distance, out=distance)
    np.subtract(values, distance, out=distance)
    place = distance.argmax(axis=1)
    return place, distance[np.arange(len(place)), place]
