"""Sub-pixel: from a peak's pixel to a position between pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.settings import Adjust

__all__ = ["refine_positions"]

# H3R (Yu & Tao 2021) decodes from the top-k activations of a map; around a body joint's peak these lie in 7x7 px; with
# Gaussian maps of sigma 2 px, 25 of these 49 px leave an error of 0.05 px where a quarter offset leaves 0.15 px.
H3R_RADIUS = 3
H3R_TOP_K = 25
STEPS_Y, STEPS_X = np.mgrid[-H3R_RADIUS : H3R_RADIUS + 1, -H3R_RADIUS : H3R_RADIUS + 1].reshape(2, -1)  # row by row
OFFSETS = np.stack([STEPS_X, STEPS_Y], axis=1).astype(np.float32)


def refine_positions(
    heatmaps: NDArray[np.float32],
    joints: NDArray[np.integer],
    pixels: NDArray[np.integer],
    adjust: Adjust,
) -> NDArray[np.float32]:
    """Positions of P peaks in map px.

    Args:
        heatmaps: (K, H, W) float32.
        joints: (P,) which map each peak lies in.
        pixels: (P, 2) the peak's pixel, (x, y).
        adjust: see :class:`heatstream.kernels.DecodeSettings`.

    Returns:
        (P, 2) float32, (x, y). With ``"quarter"`` and ``"h3r"`` pixel centres lie at +0.5; with ``"none"`` the
        indices come back as they are, as the official parser does.
    """
    if adjust == "none":
        return pixels.astype(np.float32)
    return (pixels + 0.5 + RULES[adjust](heatmaps, joints, pixels)).astype(np.float32)


def _quarter_offset(
    heatmaps: NDArray[np.float32], joints: NDArray[np.integer], pixels: NDArray[np.integer]
) -> NDArray[np.float32]:
    """A quarter pixel towards the larger neighbour on each axis; equal neighbours count as the smaller index."""
    _, height, width = heatmaps.shape
    x, y = pixels[:, 0], pixels[:, 1]
    right = heatmaps[joints, y, np.minimum(x + 1, width - 1)]
    left = heatmaps[joints, y, np.maximum(x - 1, 0)]
    below = heatmaps[joints, np.minimum(y + 1, height - 1), x]
    above = heatmaps[joints, np.maximum(y - 1, 0), x]
    towards_larger = np.stack([right > left, below > above], axis=1)
    return np.where(towards_larger, 0.25, -0.25).astype(np.float32)


def _expectation(
    heatmaps: NDArray[np.float32], joints: NDArray[np.integer], pixels: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Mean offset of the strongest pixels around the peak, weighted by their heatmap values (H3R, decoding).

    The k largest values of the window are averaged; k is smaller than the window, so that the set of pixels moves
    with the true position and the mean is not drawn to the window's middle. At the map's border the window is as narrow
    on the inner side as on the outer one, and k as much smaller: the missing pixels would draw the mean inwards, by
    1.1 px for a Gaussian of sigma 2 px in the outermost row.
    """
    _, height, width = heatmaps.shape
    x, y = pixels[:, 0], pixels[:, 1]
    places = ((joints * height + y) * width + x)[:, None] + (STEPS_Y * width + STEPS_X)  # (P, 49)
    values = heatmaps.reshape(-1).take(places, mode="clip")
    np.maximum(values, 0, out=values)
    reach_x = np.minimum(np.minimum(x, width - 1 - x), H3R_RADIUS)
    reach_y = np.minimum(np.minimum(y, height - 1 - y), H3R_RADIUS)
    least = np.partition(values, -H3R_TOP_K, axis=1)[:, -H3R_TOP_K]
    rim = ((reach_x < H3R_RADIUS) | (reach_y < H3R_RADIUS)).nonzero()[0]
    if rim.size:
        reach_x, reach_y = reach_x[rim], reach_y[rim]
        values[rim] *= (abs(STEPS_X) <= reach_x[:, None]) & (abs(STEPS_Y) <= reach_y[:, None])
        window = (2 * reach_x + 1) * (2 * reach_y + 1)
        counted = (2 * H3R_TOP_K * window + STEPS_X.size) // (2 * STEPS_X.size)  # of 49, rounded
        least[rim] = np.take_along_axis(np.sort(values[rim], axis=1), -counted[:, None], axis=1)[:, 0]
    weights = np.where(values >= least[:, None], values, 0)  # pixels equal to the k-th count too, whatever their order
    mean: NDArray[np.float32] = weights @ OFFSETS / weights.sum(axis=1)[:, None]
    return mean


RULES: Mapping[Adjust, Callable[..., NDArray[np.float32]]] = {"quarter": _quarter_offset, "h3r": _expectation}
assert {*RULES, "none"} == set(get_args(Adjust)), "every rule has an implementation"
