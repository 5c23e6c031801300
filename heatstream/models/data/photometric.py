"""Other light, other cameras: changes of a training window that leave every joint where it is."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Probabilities(Protocol):
    """How likely each change is, 0 to 1; 0 switches it off."""

    @property
    def colour(self) -> float:
        """Of `recolour`."""

    @property
    def grey(self) -> float:
        """Of `grey`."""

    @property
    def blur(self) -> float:
        """Of `blur`."""

    @property
    def cutout(self) -> float:
        """Of `cut_out`."""

    @property
    def jpeg(self) -> float:
        """Of `compress`."""


def alter(image: Image, settings: Probabilities, rng: np.random.Generator) -> Image:
    """Return the (H, W, 3) uint8 RGB image after each change that chance selects; it may be altered in place.

    Args:
        image: one training window.
        settings: how likely each change is.
        rng: the source of randomness.
    """
    changes = (
        (settings.colour, recolour),
        (settings.grey, grey),
        (settings.blur, blur),
        (settings.cutout, cut_out),
        (settings.jpeg, compress),
    )
    for probability, change in changes:
        if rng.random() < probability:
            image = change(image, rng)
    return image


def recolour(image: Image, rng: np.random.Generator) -> Image:
    """Return the image with another gamma, contrast, brightness and colour cast."""
    gamma, contrast, brightness = rng.uniform(0.8, 1.25), rng.uniform(0.75, 1.25), rng.uniform(-0.1, 0.1)
    levels = (np.linspace(0, 1, 256) ** gamma - 0.5) * contrast + 0.5 + brightness
    table = np.clip(levels[:, None] * rng.uniform(0.92, 1.08, 3) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)


def grey(image: Image, rng: np.random.Generator) -> Image:
    """Return the image without colour; `rng` is not used."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def blur(image: Image, rng: np.random.Generator) -> Image:
    """Return the image out of focus, by a Gaussian of 0.5 to 1.6 px."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6)), np.uint8)


def compress(image: Image, rng: np.random.Generator) -> Image:
    """Return the image after JPEG compression of quality 25 to 80."""
    _, encoded = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 81))))
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def cut_out(image: Image, rng: np.random.Generator) -> Image:
    """Cover one to three rectangles, each 6 to 25 % of the window wide and high, with one colour each; in place."""
    size = np.array((image.shape[1], image.shape[0]))
    for _ in range(rng.integers(1, 4)):
        width, height = rng.uniform(0.06, 0.25, 2) * size
        left, top = rng.uniform(0, size, 2) - (width / 2, height / 2)
        rows, columns = (slice(max(0, int(a)), int(a + b)) for a, b in ((top, height), (left, width)))
        image[rows, columns] = rng.integers(0, 256, 3)
    return image
