"""Charts with matplotlib: a figure that no window shows, the colours of all charts, and how a chart becomes a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.extras import require
from heatstream.files import write_whole

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "INK", "ORANGE", "PURPLE", "new_figure", "pixels", "write_png"]

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette, which colour-blind people can tell apart."""

INK, GREY = "#323232", "#6e6e6e"

DPI = 100


def new_figure(width: float, height: float) -> Any:
    """An empty `matplotlib.figure.Figure` of so many inches, 100 px each, whose parts make room for each other.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", extra="plot", purpose="drawing charts").Figure(
        figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white"
    )
    require("matplotlib.backends.backend_agg", extra="plot", purpose="drawing charts").FigureCanvasAgg(figure)
    return figure


def pixels(figure: Any) -> NDArray[np.uint8]:
    """The chart as a picture, (H, W, 3) uint8 BGR."""
    figure.canvas.draw()
    return np.ascontiguousarray(np.asarray(figure.canvas.buffer_rgba())[..., 2::-1])


def write_png(figure: Any, path: Path) -> None:
    """Write the chart.

    Raises:
        SinkError: the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(path, content.getvalue())
