"""Several sources in one picture: a grid of their latest frames."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.results import Result

__all__ = ["Mosaic"]


class Mosaic:
    """Draws a result into a grid that keeps the latest picture of every source.

    Args:
        draw: gives the picture of one result.
        sources: how many there are.
    """

    def __init__(self, draw: Callable[[Result], NDArray[np.uint8]], sources: int) -> None:
        self._draw = draw
        self._columns = math.ceil(math.sqrt(sources))
        self._rows = math.ceil(sources / self._columns)
        self._grid: NDArray[np.uint8] | None = None  # of the first frame's size, about

    def __call__(self, result: Result) -> NDArray[np.uint8]:
        """The whole grid, of about the size of the first frame; each picture fits into its place, aspect kept."""
        picture = self._draw(result)
        height, width = picture.shape[:2]
        if self._grid is None:
            rows, columns = height // self._rows * self._rows, width // self._columns * self._columns
            self._grid = np.zeros((max(rows, self._rows), max(columns, self._columns), 3), np.uint8)
        row, column = divmod(result.source or 0, self._columns)
        tall, wide = self._grid.shape[0] // self._rows, self._grid.shape[1] // self._columns
        place = self._grid[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
        scale = min(tall / height, wide / width)
        size = max(1, int(width * scale)), max(1, int(height * scale))
        top, left = (tall - size[1]) // 2, (wide - size[0]) // 2
        place[:] = 0
        place[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        shown: NDArray[np.uint8] = self._grid.copy()
        return shown
