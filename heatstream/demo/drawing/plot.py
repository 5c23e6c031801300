"""Drawing with OpenCV, which is there anyway: text, boxes, lines, and axes with round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from heatstream.errors import SinkError
from heatstream.files import replacing

__all__ = ["Axes", "Canvas", "Panel"]

SCALE = 2
"""Everything is drawn twice as large and shrunk, since OpenCV places lines and letters on whole pixels."""

Colour = tuple[int, int, int]

# Okabe and Ito's palette, which colour-blind people can tell apart, BGR.
BLUE, ORANGE, GREEN, PURPLE = (178, 114, 0), (0, 94, 213), (115, 158, 0), (167, 121, 204)
PALE, GREY = (200, 220, 180), (110, 110, 110)
INK: Colour = (50, 50, 50)
GRID: Colour = (228, 228, 228)

FONT = cv2.FONT_HERSHEY_DUPLEX
FONT_HEIGHT = 30.0
"""Of the font at scale 1 with its ascenders, px."""


class Canvas:
    """A white picture, measured in px from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._pixels: Any = np.full((height * SCALE, width * SCALE, 3), 255, np.uint8)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 12,
        colour: Colour = INK,
        align: Literal["left", "right", "middle"] = "left",
        bold: bool = False,
    ) -> None:
        """Write words whose baseline begins, ends or has its middle at (x, y); letters are about `size` px high."""
        scale = size * SCALE / FONT_HEIGHT
        thickness = 2 if bold else 1
        plain = words.encode("ascii", "replace").decode()  # OpenCV's letters
        width = cv2.getTextSize(plain, FONT, scale, thickness)[0][0] / SCALE
        x -= {"left": 0.0, "middle": width / 2, "right": width}[align]
        cv2.putText(self._pixels, plain, self._place(x, y), FONT, scale, colour, thickness, cv2.LINE_AA)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fill a rectangle."""
        cv2.rectangle(self._pixels, self._place(left, top), self._place(right, bottom), colour, cv2.FILLED)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 1) -> None:
        """Join points."""
        corners = np.array([self._place(*point) for point in points], np.int32)
        cv2.polylines(self._pixels, [corners], False, colour, round(width * SCALE), cv2.LINE_AA)

    def dot(self, x: float, y: float, colour: Colour, radius: float = 4) -> None:
        """A filled circle."""
        cv2.circle(self._pixels, self._place(x, y), round(radius * SCALE), colour, cv2.FILLED, cv2.LINE_AA)

    def panel(self, left: float, top: float, width: float, height: float) -> Panel:
        """A part of the picture."""
        return Panel(self, left, top, width, height)

    def write(self, path: Path) -> None:
        """Write the picture as PNG.

        Raises:
            SinkError: the file cannot be written.
        """
        shrunk = cv2.resize(self._pixels, (self.width, self.height), interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode(".png", shrunk)
        if not done:
            raise SinkError(f"{path} could not be written as PNG: choose another place")
        with replacing(path) as temporary:
            temporary.write_bytes(data.tobytes())

    @staticmethod
    def _place(x: float, y: float) -> tuple[int, int]:
        return round(x * SCALE), round(y * SCALE)


@dataclass(frozen=True)
class Panel:
    """A part of a picture; px."""

    canvas: Canvas
    left: float
    top: float
    width: float
    height: float

    def title(self, words: str) -> None:
        """Write above the panel."""
        self.canvas.text(self.left, self.top - 10, words, size=12.5, bold=True)

    def axes(self, x: tuple[float, float], y: tuple[float, float], *, x_label: str, y_label: str) -> Axes:
        """Draw a grid over the panel with round numbers left of and below it."""
        axes = Axes(self, x, y)
        for value in round_steps(*x):
            place, _ = axes.place(value, y[0])
            self.canvas.line([(place, self.top), (place, self.top + self.height)], GRID)
            self.canvas.text(place, self.top + self.height + 17, f"{value:g}", size=11, align="middle", colour=GREY)
        for value in round_steps(*y):
            _, place = axes.place(x[0], value)
            self.canvas.line([(self.left, place), (self.left + self.width, place)], GRID)
            self.canvas.text(self.left - 7, place + 4, f"{value:g}", size=11, align="right", colour=GREY)
        middle = self.left + self.width / 2
        self.canvas.text(middle, self.top + self.height + 33, x_label, size=11, align="middle", colour=GREY)
        self.canvas.text(self.left + 6, self.top + 14, y_label, size=11, colour=GREY)
        return axes


@dataclass(frozen=True)
class Axes:
    """From values to places on a panel."""

    panel: Panel
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of values is, px."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return self.panel.left + across * self.panel.width, self.panel.top + (1 - up) * self.panel.height

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float) -> None:
        """Join pairs of values."""
        self.panel.canvas.line([self.place(*point) for point in points], colour, width)

    def dot(self, x: float, y: float, colour: Colour) -> None:
        """Mark a pair of values."""
        self.panel.canvas.dot(*self.place(x, y), colour)


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """About so many round numbers, at equal distances, from low to high."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
