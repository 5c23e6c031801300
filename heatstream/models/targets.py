"""Training targets of bottom-up pose networks: Gaussian heatmaps and the joint indices of the tag loss.

Both follow HigherHRNet (Cheng et al. 2020, sec. 3.3), which SWAHR trains with: a joint sits in the whole pixel it
falls in (coordinates are cut, not rounded), people overlap by maximum, not by sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Size = int | tuple[int, int]
"""A map's side for square maps, or (height, width)."""


def gaussian_heatmaps(people: NDArray[np.floating], size: Size, sigma: float | None) -> NDArray[np.float32]:
    """Return one heatmap per joint with a Gaussian of height about 1 at every labelled joint.

    Args:
        people: (P, K, 3) float, x and y in map pixels and the visibility (0 unlabelled), or (P, K, 4) with a
            standard deviation per joint in the last column.
        size: the maps' side, or (height, width), in map pixels.
        sigma: standard deviation in map pixels; None takes it from the fourth column of `people`.

    Returns:
        (K, height, width) float32 in 0..1. Where 6 * sigma is not even, the blob has no centre pixel and its
        highest values stay below 1, as in the reference.
    """
    height, width = _height_width(size)
    maps = np.zeros((people.shape[1], height, width), np.float32)
    shared = None if sigma is None else gaussian_kernel(sigma)
    for person in people:
        for joint, point in enumerate(person):
            if not _lands_inside(point, height, width):
                continue
            own_sigma = float(point[3]) if sigma is None else sigma
            kernel = gaussian_kernel(own_sigma) if shared is None else shared
            _draw_maximum(maps[joint], kernel, int(point[0]), int(point[1]), own_sigma)
    return maps


def joint_indices(people: NDArray[np.floating], size: Size, max_people: int, tag_per_joint: bool) -> NDArray[np.int32]:
    """Return where the tag loss reads each person's tags.

    Args:
        people: (P, K, 3 or more) float, x, y in map pixels and the visibility (0 unlabelled).
        size: the maps' side, or (height, width), in map pixels.
        max_people: capacity of the result; people beyond it are left out.
        tag_per_joint: True when every joint has its own tag map, False when all share one.

    Returns:
        (max_people, K, 2) int32 rows of [flat index, 1]: the index is y * width + x, plus joint * height * width
        with one tag map per joint. A person's labelled joints inside the map come first, in joint order; the
        rest of the rows are 0.
    """
    height, width = _height_width(size)
    indices = np.zeros((max_people, people.shape[1], 2), np.int32)
    for row, person in zip(indices, people, strict=False):
        filled = 0
        for joint, point in enumerate(person):
            if _lands_inside(point, height, width):
                offset = joint * height * width if tag_per_joint else 0
                row[filled] = offset + int(point[1]) * width + int(point[0]), 1
                filled += 1
    return indices


def gaussian_kernel(sigma: float) -> NDArray[np.float64]:
    """Return the square patch (n, n), n = ceil(6 * sigma + 3), of a Gaussian centred at 3 * sigma + 1 px."""
    offsets = np.arange(0, 6 * sigma + 3, dtype=np.float64) - (3 * sigma + 1)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    kernel: NDArray[np.float64] = np.exp(-squared / (2 * sigma**2))
    return kernel


def _draw_maximum(heatmap: NDArray[np.float32], kernel: NDArray[np.float64], x: int, y: int, sigma: float) -> None:
    """Merge `kernel` around pixel (x, y) into `heatmap` by maximum, in place, cut at the border."""
    # Round half to even, as numpy does: it decides where the even-sided kernel of sigma 0.5 or 1.5 lies.
    left, top = round(x - 3 * sigma - 1), round(y - 3 * sigma - 1)
    right, bottom = round(x + 3 * sigma + 2), round(y + 3 * sigma + 2)
    rows = slice(max(0, top), min(bottom, heatmap.shape[0]))
    columns = slice(max(0, left), min(right, heatmap.shape[1]))
    patch = kernel[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    region = heatmap[rows, columns]
    np.maximum(region, patch, out=region, casting="same_kind")


def _lands_inside(point: NDArray[np.floating], height: int, width: int) -> bool:
    """Say whether a labelled joint falls in the map; -0.9 is cut to pixel 0 and counts, as in the reference."""
    return bool(point[2] > 0 and -1 < point[0] < width and -1 < point[1] < height)


def _height_width(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
