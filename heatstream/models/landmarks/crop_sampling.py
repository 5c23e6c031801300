"""Where a training window of a face lies: the window that is looked at later, turned, scaled, shifted and mirrored.

Two things are mapped, and the official geometry (:mod:`crops`) maps them differently: pixels by
their centres, at +0.5, since a crop is resized as a picture; landmarks by their numbers, since a pixel of a map
stands for its index. The difference is half a source pixel against half an input pixel, and it does not turn with
the face. Training windows keep both, so that an untouched one is exactly the crop of an evaluation, and a mirrored
one the crop of the mirrored photo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.models.settings import LandmarkAugmentSettings

__all__ = ["Window", "draw_window"]


@dataclass(frozen=True)
class Window:
    """A view of a source picture.

    Attributes:
        matrix: (2, 3) float64, from source px to input px, both with pixel centres at +0.5.
        factor: source px per input px.
        mirrored: left and right change places.
    """

    matrix: NDArray[np.float64]
    factor: float
    mirrored: bool

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Landmarks (L, 2) of the source, whole numbers at pixel centres, as input px of the official geometry."""
        centred = (points + 0.5) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.asarray(centred - 0.5 / self.factor, np.float64)


def draw_window(
    rectangle: NDArray[np.float64],
    size: tuple[int, int],
    settings: LandmarkAugmentSettings,
    rng: np.random.Generator,
) -> Window:
    """A random window around the one that is looked at later.

    Args:
        rectangle: (4,) left, top, right, bottom in source px, of `crop_rectangles`.
        size: (height, width) of the network's input, of the rectangle's aspect.
        settings: rotation, scale, translation and flip count.
        rng: the source of randomness.
    """
    angle = math.radians(rng.uniform(-settings.rotation, settings.rotation))
    low, high = settings.scale
    scale = low * (high / low) ** rng.random()
    shift = rng.uniform(-1, 1, 2) * settings.translation
    mirrored = bool(rng.random() < settings.flip)

    sides = (rectangle[2:] - rectangle[:2]) * scale
    centre = (rectangle[:2] + rectangle[2:]) / 2 + shift * sides
    factor = float(sides[1]) / size[0]
    cos, sin = math.cos(angle) / factor, math.sin(angle) / factor
    linear = np.array(((cos, -sin), (sin, cos)))
    if mirrored:
        linear[0] *= -1
    middle = np.array((size[1], size[0])) / 2
    return Window(np.column_stack((linear, middle - linear @ centre)), factor, mirrored)
