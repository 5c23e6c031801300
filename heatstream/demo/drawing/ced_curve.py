"""The cumulative error distribution as a picture: what share of faces has an error of at most x.

Drawn with OpenCV, which is there anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["draw_ced"]

SIZE = (480, 640)
MARGINS = (24, 24, 56, 64)
"""Top, right, bottom and left of the axes, px."""

COLORS = (
    *((178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204)),
    *((0, 159, 230), (233, 180, 86), (0, 0, 0)),
)
"""Okabe and Ito's palette, BGR."""

GREY, BLACK = (220, 220, 220), (0, 0, 0)
TICKS = 5


def draw_ced(curves: Mapping[str, NDArray[np.floating]], *, limit: float = 0.10) -> NDArray[np.uint8]:
    """Draw one curve per name.

    Args:
        curves: the errors of :func:`heatstream.models.landmarks.metrics.nme` by name, (N,) fractions.
        limit: the largest error shown, a fraction.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: there is nothing to draw.
    """
    if not curves or any(np.size(errors) == 0 for errors in curves.values()) or not limit > 0:
        raise InputError("a curve needs at least one error and a positive limit")
    canvas = np.full((*SIZE, 3), 255, np.uint8)
    _axes(canvas, limit)
    for number, (name, errors) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        cv2.polylines(canvas, [_steps(np.asarray(errors, np.float64), limit)], False, color, 2, cv2.LINE_AA)
        row = SIZE[0] - MARGINS[2] - 16 - 22 * (len(curves) - 1 - number)
        cv2.line(canvas, (SIZE[1] - 290, row - 5), (SIZE[1] - 260, row - 5), color, 2, cv2.LINE_AA)
        _write(canvas, name, (SIZE[1] - 252, row))
    return canvas


def _steps(errors: NDArray[np.float64], limit: float) -> NDArray[np.int32]:
    """The corners of the staircase, (P, 2) px."""
    below = np.sort(errors[errors <= limit])
    across = np.concatenate([[0], np.repeat(below, 2), [limit]])
    up = np.repeat(np.arange(len(below) + 1) / len(errors), 2)
    return np.array([_place(x / limit, y) for x, y in zip(across, up, strict=True)], np.int32)


def _place(x: float, y: float) -> tuple[int, int]:
    """From shares of the axes to px."""
    top, right, bottom, left = MARGINS
    width, height = SIZE[1] - left - right, SIZE[0] - top - bottom
    return round(left + x * width), round(SIZE[0] - bottom - y * height)


def _axes(canvas: NDArray[np.uint8], limit: float) -> None:
    for tick in range(TICKS + 1):
        share = tick / TICKS
        cv2.line(canvas, _place(share, 0), _place(share, 1), GREY, 1)
        cv2.line(canvas, _place(0, share), _place(1, share), GREY, 1)
        column, row = _place(share, 0)
        _write(canvas, f"{100 * limit * share:.3g}", (column - 10, row + 20))
        column, row = _place(0, share)
        _write(canvas, f"{100 * share:.0f}", (column - 36, row + 5))
    cv2.rectangle(canvas, _place(0, 1), _place(1, 0), BLACK, 1)
    _write(canvas, "normalised mean error, %", (SIZE[1] // 2 - 90, SIZE[0] - 14))
    _write(canvas, "faces, %", (6, 16))


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, BLACK, 1, cv2.LINE_AA)
