"""A clip of a real person that needs no camera and no download: a photograph, panned and zoomed.

The photograph, ``astronaut.jpg`` beside this file, is NASA's portrait of the astronaut Eileen Collins, in the
public domain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heatstream.pictures import read_picture

__all__ = ["CLIP_FPS", "CLIP_FRAMES", "CLIP_SIZE", "astronaut_clip"]

CLIP_SIZE = (512, 512)
"""(height, width) in px."""

CLIP_FPS = 30.0
CLIP_FRAMES = 120

# Of the photograph's width: how much is in view, from the widest to the closest.
_WIDEST, _CLOSEST = 1.0, 0.85


def astronaut_clip() -> Iterator[NDArray[np.uint8]]:
    """Frames of :data:`CLIP_SIZE`, uint8 BGR, that move once around and come back to where they began."""
    photograph = _photograph()
    return (_view(photograph, number / CLIP_FRAMES) for number in range(CLIP_FRAMES))


def _photograph() -> NDArray[np.uint8]:
    picture, _ = read_picture(Path(str(files("heatstream"))) / "demo" / "astronaut.jpg")
    return picture


def _view(photograph: NDArray[np.uint8], phase: float) -> NDArray[np.uint8]:
    """What is seen at a phase (0..1) of the movement."""
    import cv2

    height, width = CLIP_SIZE
    turn = 2 * math.pi * phase
    share = (_WIDEST + _CLOSEST) / 2 + (_WIDEST - _CLOSEST) / 2 * math.cos(turn)
    seen_width = photograph.shape[1] * share
    seen_height = seen_width * height / width
    left = (photograph.shape[1] - seen_width) * (0.5 - 0.5 * math.sin(turn))
    top = (photograph.shape[0] - seen_height) * 0.05 * (1 - math.cos(2 * turn))
    scale = seen_width / width
    # From the frame's pixel centres to the photograph's, both counted from 0 as OpenCV does.
    to_photograph = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]], np.float64)
    view = cv2.warpAffine(
        photograph,
        to_photograph,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(view, np.uint8)
