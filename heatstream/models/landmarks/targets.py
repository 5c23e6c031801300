"""Training targets of H3R: a coordinate's fraction as the probability of the neighbouring cell.

Yu & Tao, "Heatmap Regression via Randomized Rounding", TPAMI 2021, the quantization system. Cell i of a map
stands for the coordinate i * stride. Plain rounding loses the fraction f of a coordinate i + f for good; here the
map's one active cell is i + 1 with probability f and i otherwise, in x and y independently, so that over many
draws the mean of the active cells is the coordinate itself. :func:`soft_rounding` puts the four probabilities
into one map instead and needs no chance.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from heatstream.models.torch_import import Tensor, torch

Array = TypeVar("Array", NDArray[np.floating], Tensor)
"""NumPy or torch, the same in and out."""


def randomized_rounding(
    coordinates: Array, size: tuple[int, int], generator: np.random.Generator | torch.Generator, *, stride: float = 1.0
) -> Array:
    """Return one map per coordinate with a single 1, drawn so that its expected cell is the coordinate.

    Args:
        coordinates: (..., 2) float, x and y in units of which `stride` make one cell; NumPy or torch, any device.
        size: (height, width) of the maps in cells.
        generator: source of the chance, of either library; every call draws anew.
        stride: coordinate units per cell, such as 4 for input pixels and maps at 1/4.

    Returns:
        (..., height, width) float32, of the same library and device. A coordinate between the last cell and the
        map's edge falls in the last cell; NaN and anything outside the map leaves its map empty.
    """
    points = _as_tensor(coordinates)
    if isinstance(generator, torch.Generator):
        chance = torch.rand(points.shape, generator=generator, device=generator.device, dtype=torch.float64)
    else:
        chance = torch.from_numpy(generator.random(points.shape))
    cells = points / stride
    whole = cells.floor()
    rounded = whole + (chance.to(points.device) < cells - whole)
    return _like(coordinates, _tents(cells, rounded, size))


def soft_rounding(coordinates: Array, size: tuple[int, int], *, stride: float = 1.0) -> Array:
    """Return the expectation of :func:`randomized_rounding`: four cells that hold their probabilities.

    Args and result are those of :func:`randomized_rounding`; every map that is not empty sums to 1, and the mean
    of its cells, weighted by their values, is the coordinate.
    """
    cells = _as_tensor(coordinates) / stride
    return _like(coordinates, _tents(cells, cells, size))


def _tents(cells: Tensor, peaks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (..., height, width) maps of max(0, 1 - |x - px|) * max(0, 1 - |y - py|), empty where `cells` lie outside.

    At a whole-numbered peak that is a single 1; between cells, the share of each neighbour.
    """
    height, width = size
    ends = cells.new_tensor((width, height))
    inside = ((cells >= 0) & (cells < ends)).all(dim=-1, keepdim=True)  # NaN compares false
    peaks = torch.where(inside, torch.minimum(peaks, ends - 1), -1.0)  # no cell is nearer than 1 to -1
    across = 1 - (torch.arange(width, device=cells.device) - peaks[..., 0, None]).abs()
    down = 1 - (torch.arange(height, device=cells.device) - peaks[..., 1, None]).abs()
    return down.clamp_min(0).float()[..., :, None] * across.clamp_min(0).float()[..., None, :]


def _as_tensor(coordinates: NDArray[np.floating] | Tensor) -> Tensor:
    if isinstance(coordinates, Tensor):
        return coordinates.double()
    return torch.from_numpy(np.array(coordinates, np.float64))  # a copy: torch takes no views that are turned round


def _like(original: Array, maps: Tensor) -> Array:
    return maps if isinstance(original, Tensor) else maps.numpy()
