"""Where the photos of a training window come from: random similarities, and tiles for mosaics.

The geometry is HigherHRNet's (Cheng et al. 2020, sec. 4.1), which SWAHR trains with: a square of the photo as wide
as its short side times a random scale, around the photo's middle, rotated and shifted, fills the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.models.pose.annotations import ImageAnnotation
from heatstream.models.settings import AugmentSettings

LARGEST_ZOOM = 2.5
"""Input pixels per source pixel beyond which a small person is only blur."""

PERSON_SHARE = (0.4, 0.95)
"""Longer side of a person by whom a window is scaled, as a share of the window's side."""

TRANSLATION_UNIT = 200
"""`AugmentSettings.translation` counts these parts of the window's side."""

SEAM = (0.35, 0.65)
"""Where a mosaic's seams may lie, as a share of the window's side."""

SEAM_STEP_PX = 4
"""Seams lie between whole pixels of the 1/4 maps."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of the window, in whole input px; `right` and `bottom` are the first pixels beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def middle(self) -> NDArray[np.float64]:
        """(2,) x, y of the centre."""
        return np.array((self.left + self.right, self.top + self.bottom)) / 2


@dataclass(frozen=True)
class Similarity:
    """The map from source px to input px, both with pixel centres at +0.5.

    Attributes:
        matrix: (2, 3) float64, to be multiplied with (x, y, 1).
        zoom: input px per source px.
        mirrored: left and right change places.
    """

    matrix: NDArray[np.float64]
    zoom: float
    mirrored: bool

    def apply(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., 2) source points in input px."""
        moved: NDArray[np.float64] = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved


def draw_tiles(size: int, settings: AugmentSettings, rng: np.random.Generator) -> tuple[Tile, ...]:
    """Return the window's tiles: itself, or with the probability of a mosaic four around a random point.

    Args:
        size: the window's side in input px.
        settings: `mosaic` counts.
        rng: the source of randomness.
    """
    if rng.random() >= settings.mosaic:
        return (Tile(0, 0, size, size),)
    x, y = (int(share * size) // SEAM_STEP_PX * SEAM_STEP_PX for share in rng.uniform(*SEAM, 2))
    return Tile(0, 0, x, y), Tile(x, 0, size, y), Tile(0, y, x, size), Tile(x, y, size, size)


def draw_similarity(
    photo: ImageAnnotation, tile: Tile, settings: AugmentSettings, rng: np.random.Generator, *, single_person: bool
) -> Similarity:
    """Return a random view of the photo that fills the tile.

    Args:
        photo: where to look.
        tile: what to fill; the photo's window is as wide as its longer side.
        settings: rotation, scale, translation, flip and zoom_people count.
        rng: the source of randomness.
        single_person: always look at a person, as if zoom_people were 1.
    """
    if len(photo.boxes) and (single_person or rng.random() < settings.zoom_people):
        centre, zoom = _around_a_person(photo, tile.side, rng)
    else:
        centre, zoom = _around_the_middle(photo, tile.side, settings, rng)
    angle = math.radians(rng.uniform(-settings.rotation, settings.rotation))
    mirrored = bool(rng.random() < settings.flip)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    linear = np.array(((cos, -sin), (sin, cos)))
    if mirrored:
        linear[:, 0] *= -1
    return Similarity(np.column_stack((linear, tile.middle - linear @ centre)), zoom, mirrored)


def _around_the_middle(
    photo: ImageAnnotation, side: int, settings: AugmentSettings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Return the centre in source px and the zoom of the paper's window."""
    height, width = photo.size
    window = min(height, width) * rng.uniform(*settings.scale)
    shift = rng.uniform(-1, 1, 2) * settings.translation / TRANSLATION_UNIT * window
    return np.array((width, height)) / 2 + shift, side / window


def _around_a_person(photo: ImageAnnotation, side: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Return the centre in source px and the zoom of a window that shows one person large."""
    x, y, width, height = photo.boxes[rng.integers(len(photo.boxes))]
    low, high = PERSON_SHARE
    share = low * (high / low) ** rng.random()
    zoom = min(LARGEST_ZOOM, side * share / max(width, height, 1.0))
    window = side / zoom
    centre = np.array((x + width / 2, y + height / 2)) + rng.uniform(-0.25, 0.25, 2) * window
    for axis, extent in enumerate((photo.size[1], photo.size[0])):
        if extent > window:  # keep the window inside the photo, up to a little border
            centre[axis] = np.clip(centre[axis], 0.45 * window, extent - 0.45 * window)
        else:
            centre[axis] = extent / 2 + rng.uniform(-0.5, 0.5) * (window - extent)
    return centre, zoom
