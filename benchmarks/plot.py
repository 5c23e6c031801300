"""Curves over a few numbers as an SVG file, with a logarithmic height."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from heatstream.demo.drawing.plot import COLOURS, new_figure

__all__ = ["curves"]


def curves(title: str, x_label: str, y_label: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> str:
    """One line per name over the same `xs`, which stand at equal distances; values are positive."""
    figure = new_figure(9, 4.5)
    axes = figure.subplots()
    for number, (name, values) in enumerate(lines.items()):
        axes.plot(range(len(xs)), values, "o-", color=COLOURS[number % len(COLOURS)], label=name)
    axes.set_yscale("log")
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xticks=range(len(xs)), xticklabels=[f"{x:g}" for x in xs])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()
