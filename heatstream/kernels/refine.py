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
        bright = np.flatnonzero(heatmap > BRIGHT)
        bright_values, bright_planes = heatmap[bright], planes[:, bright]
        for person in np.flatnonzero(missing[:, joint]):
            if bright.size:
                worth = _worth(bright_values, bright_planes, mean_tags[person])
                place = worth.argmax()
                if worth[place] > BRIGHT:
                    best[person, joint] = bright[place]
                    continue
            best[person, joint] = _worth(heatmap, planes, mean_tags[person]).argmax()
    return best


def _worth(
    values: NDArray[np.float32], planes: NDArray[np.float32], wanted: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n,) values and (T, n) tags to (n,) ``value - round(distance to the wanted tag (T,))``, half to even."""
    distance: NDArray[np.float32] = np.abs(planes[0] - wanted[0])
    if len(planes) > 1:
        np.multiply(distance, distance, out=distance)
        for plane, tag in zip(planes[1:], wanted[1:], strict=True):
            difference = plane - tag
            distance += np.multiply(difference, difference, out=difference)
        np.sqrt(distance, out=distance)
    np.rint(distance, out=distance)
    np.subtract(values, distance, out=distance)
    return distance
