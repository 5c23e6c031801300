"""Training targets of bottom-up pose networks: Gaussian heatmaps and the joint indices of the tag loss.

Both follow HigherHRNet (Cheng et al. 2020, sec. 3.3), which SWAHR trains with: a joint sits in the whole pixel it
falls in (coordinates are cut, not rounded), people overlap by maximum, not by sum. :func:`draw_heatmaps` draws a
batch where the network lives; workers and pictures take :func:`gaussian_heatmaps`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream.models.torch_import import Tensor, torch

__all__ = ["draw_heatmaps", "gaussian_heatmaps", "joint_indices"]


def draw_heatmaps(people: Tensor, sigmas: Tensor | float, size: tuple[int, int]) -> Tensor:
    """Return the heatmaps of a batch, drawn on the device of `people`: every joint's patch at once.

    The blobs are computed in float64 and rounded once, so that every device draws the reference's values.

    Args:
        people: (B, P, K, 3) float, x and y in map pixels and the visibility (0 unlabelled).
        sigmas: standard deviation in map pixels, one for all or (B, P, K) float.
        size: (height, width) of the maps in map pixels.

    Returns:
        (B, K, height, width) float32 in 0..1, channels last in memory, as the networks' outputs are. Where
        6 * sigma is not even, a blob has no centre pixel and its highest values stay below 1, as in the reference.
        Waits for the device: how many joints there are decides the shapes.
    """
    height, width = size
    batch, _, joints, _ = people.shape
    x, y, visibility = people.double().unbind(-1)
    drawn = (visibility > 0) & (x > -1) & (x < width) & (y > -1) & (y < height)  # see _lands_inside
    image, _, joint = (where := drawn.nonzero(as_tuple=True))
    maps = people.new_zeros(batch * height * width * joints, dtype=torch.float32)
    if len(image):
        column, row = x[where].trunc(), y[where].trunc()
        sigma = sigmas[where].double() if isinstance(sigmas, Tensor) else column.new_full((1,), sigmas)
        kernels, reach = _gaussian_kernels(sigma), 3 * sigma
        columns, column_fits = _patch_span(column, reach, kernels.shape[-1], width)
        rows, row_fits = _patch_span(row, reach, kernels.shape[-1], height)
        fits = row_fits[:, :, None] & column_fits[:, None, :]
        pixel = (image[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
        index = (pixel * joints + joint[:, None, None]).masked_fill_(~fits, 0)
        patches = kernels.float().expand_as(fits).masked_fill(~fits, 0.0)  # a 0 at pixel 0 changes nothing
        maps.scatter_reduce_(0, index.flatten(), patches.flatten(), "amax")
    return maps.view(batch, height, width, joints).permute(0, 3, 1, 2)


def gaussian_heatmaps(people: NDArray[np.floating], size: tuple[int, int], sigma: float | None) -> NDArray[np.float32]:
    """Return one image's heatmaps: :func:`draw_heatmaps` for NumPy arrays.

    Args:
        people: (P, K, 3) float, x and y in map pixels and the visibility (0 unlabelled), or (P, K, 4) with a
            standard deviation per joint in the last column.
        size: (height, width) of the maps in map pixels.
        sigma: standard deviation in map pixels; None takes it from the fourth column of `people`.

    Returns:
        (K, height, width) float32 in 0..1.
    """
    points = torch.from_numpy(np.array(people, np.float64))[None]
    maps = draw_heatmaps(points[..., :3], points[..., 3] if sigma is None else float(sigma), size)
    return np.ascontiguousarray(maps[0].numpy())


def joint_indices(
    people: NDArray[np.floating], size: tuple[int, int], max_people: int, tag_per_joint: bool
) -> NDArray[np.int32]:
    """Return where the tag loss reads each person's tags.

    Args:
        people: (P, K, 3 or more) float, x, y in map pixels and the visibility (0 unlabelled).
        size: (height, width) of the maps in map pixels.
        max_people: capacity of the result; people beyond it are left out.
        tag_per_joint: True when every joint has its own tag map, False when all share one.

    Returns:
        (max_people, K, 2) int32 rows of [flat index, 1]: the index is y * width + x, plus joint * height * width
        with one tag map per joint. A person's labelled joints inside the map come first, in joint order; the
        rest of the rows are 0.
    """
    height, width = size
    indices = np.zeros((max_people, people.shape[1], 2), np.int32)
    for row, person in zip(indices, people, strict=False):
        filled = 0
        for joint, point in enumerate(person):
            if _lands_inside(point, height, width):
                offset = joint * height * width if tag_per_joint else 0
                row[filled] = offset + int(point[1]) * width + int(point[0]), 1
                filled += 1
    return indices


def _gaussian_kernels(sigmas: Tensor) -> Tensor:
    """Return (N, n, n) patches of Gaussians centred at 3 * sigma + 1 px; N float64 sigmas, n for the widest."""
    side = int(torch.ceil(6 * sigmas.max() + 3))
    offsets = torch.arange(side, dtype=sigmas.dtype, device=sigmas.device) - (3 * sigmas[:, None] + 1)
    squared = offsets[:, :, None].square() + offsets[:, None, :].square()
    return torch.exp(-squared / (2 * sigmas.square())[:, None, None])


def _patch_span(centre: Tensor, reach: Tensor, side: int, length: int) -> tuple[Tensor, Tensor]:
    """Return the pixels (N, side) that patches around `centre` (N) cover along one axis, and which of them count.

    A pixel counts inside the map (0..length) and inside the patch, whose own width may be less than `side`.
    """
    # Round half to even: it decides where the even-sided patch of sigma 0.5 or 1.5 lies.
    first, end = torch.round(centre - reach - 1), torch.round(centre + reach + 2)
    pixels = first[:, None] + torch.arange(side, device=centre.device)
    counts = (pixels >= 0) & (pixels < end[:, None].clamp_max(length))
    return pixels.long(), counts


def _lands_inside(point: NDArray[np.floating], height: int, width: int) -> bool:
    """Say whether a labelled joint falls in the map; -0.9 is cut to pixel 0 and counts, as in the reference."""
    return bool(point[2] > 0 and -1 < point[0] < width and -1 < point[1] < height)
