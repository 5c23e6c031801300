"""The cumulative error distribution as a chart: what share of faces has an error of at most x."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from heatstream.demo.drawing.plot import COLOURS, new_figure, pixels
from heatstream.errors import InputError

__all__ = ["draw_ced"]


def draw_ced(curves: Mapping[str, NDArray[np.floating]], *, limit: float = 0.10) -> NDArray[np.uint8]:
    """Draw one curve per name.

    Args:
        curves: the errors of :func:`heatstream.models.landmarks.metrics.nme` by name, (N,) fractions.
        limit: the largest error shown, a fraction.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: there is nothing to draw.
        MissingExtraError: matplotlib is not installed.
    """
    if not curves or any(np.size(errors) == 0 for errors in curves.values()) or not limit > 0:
        raise InputError("a curve needs at least one error and a positive limit")
    figure = new_figure(6.4, 4.8)
    axes = figure.subplots()
    for number, (name, errors) in enumerate(curves.items()):
        below = 100 * np.sort(np.asarray(errors, np.float64)[np.asarray(errors) <= limit])
        shares = 100 * np.arange(len(below) + 1) / len(errors)
        across, up = np.concatenate([[0], below, [100 * limit]]), np.append(shares, shares[-1])
        axes.step(across, up, where="post", label=name, color=COLOURS[number % len(COLOURS)], linewidth=2)
    axes.set(xlim=(0, 100 * limit), ylim=(0, 100), xlabel="normalised mean error, %", ylabel="faces, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return pixels(figure)
