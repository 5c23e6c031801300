"""The picture of a result that a run shows and saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.drawing import MIN_SCORE, Colors, draw, draw_text
from heatstream.results import Result

__all__ = ["Overlay"]


@dataclass(frozen=True)
class Overlay:
    """What a sink calls to get the picture of a result; its frame stays as it is.

    Attributes:
        min_score: see :func:`heatstream.draw`.
        colors: see :func:`heatstream.draw`.
        text: gives a line for the upper left corner; none is written when left out.
    """

    min_score: float = MIN_SCORE
    colors: Colors = "side"
    text: Callable[[], str] | None = None

    def __call__(self, result: Result) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, a new array."""
        picture = draw(result.frame, result, min_score=self.min_score, colors=self.colors)
        if self.text is not None:
            draw_text(picture, self.text())
        return picture
