"""A clock that a camera can read: four markers in the corners, between them the time as black and white fields."""

from __future__ import annotations

import binascii
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CYCLE_SECONDS", "draw_pattern", "read_pattern"]

HEIGHT, WIDTH = 720, 1280
MARKER = 150  # px of a side
MARGIN = 40
COLUMNS, ROWS = 8, 5
BITS = 24  # of the milliseconds; the other 16 check them
CYCLE_SECONDS = 2**BITS / 1000
FIELD = 80
LEFT, TOP = (WIDTH - COLUMNS * FIELD) // 2, (HEIGHT - ROWS * FIELD) // 2
WHITE, BLACK = 255, 0
LEAST_CONTRAST = 30
CLEAR = 0.2
"""Of the contrast: a field that is nearer to grey was filmed while it changed."""

DICTIONARY = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
CORNERS = np.array(
    [
        (MARGIN, MARGIN),
        (WIDTH - MARGIN - MARKER, MARGIN),
        (WIDTH - MARGIN - MARKER, HEIGHT - MARGIN - MARKER),
        (MARGIN, HEIGHT - MARGIN - MARKER),
    ]
)
"""(x, y) px of each marker's upper left corner."""


def draw_pattern(seconds: float) -> NDArray[np.uint8]:
    """(720, 1280) uint8, grey: the picture of a moment, in seconds since any beginning; drawn within a millisecond."""
    moment = int(seconds * 1000) % 2**BITS
    value = moment << 16 | binascii.crc_hqx(moment.to_bytes(3, "big"), 0xFFFF)
    shifts = np.arange(COLUMNS * ROWS)[::-1]
    fields = np.array([value >> int(shift) & 1 for shift in shifts], np.uint8).reshape(ROWS, COLUMNS)
    picture: NDArray[np.uint8] = _markers().copy()
    picture[TOP : TOP + ROWS * FIELD, LEFT : LEFT + COLUMNS * FIELD] = np.kron(
        np.where(fields, WHITE, BLACK).astype(np.uint8), np.ones((FIELD, FIELD), np.uint8)
    )
    return picture


@cache
def _markers() -> NDArray[np.uint8]:
    picture = np.full((HEIGHT, WIDTH), WHITE, np.uint8)
    for number, (x, y) in enumerate(CORNERS):
        picture[y : y + MARKER, x : x + MARKER] = cv2.aruco.generateImageMarker(DICTIONARY, number, MARKER)
    return picture


def read_pattern(picture: NDArray[np.uint8]) -> float | None:
    """Which moment a picture shows.

    Args:
        picture: (H, W, 3) uint8, BGR, in which the pattern may lie anywhere, turned and seen from the side.

    Returns:
        Seconds, modulo :data:`CYCLE_SECONDS`; None where the pattern is not seen whole and sharp, or was changing.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    found, ids, _ = cv2.aruco.ArucoDetector(DICTIONARY).detectMarkers(grey)
    if not found:
        return None
    places = {int(number): corners.reshape(4, 2) for number, corners in zip(ids.ravel(), found, strict=True)}
    if not all(number in places for number in range(4)):
        return None
    square = np.array([(0, 0), (MARKER, 0), (MARKER, MARKER), (0, MARKER)])
    ours = np.concatenate([corner + square for corner in CORNERS]).astype(np.float32)
    theirs = np.concatenate([places[number] for number in range(4)]).astype(np.float32)
    try:
        matrix, _ = cv2.findHomography(theirs, ours)
        flat = np.asarray(cv2.warpPerspective(grey, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA), np.uint8)
    except cv2.error:  # corners in one line
        return None
    return _decoded(flat[TOP : TOP + ROWS * FIELD, LEFT : LEFT + COLUMNS * FIELD])


def _decoded(fields: NDArray[np.uint8]) -> float | None:
    """The time of the fields, seen from straight ahead."""
    edge = FIELD // 4
    blocks = fields.reshape(ROWS, FIELD, COLUMNS, FIELD)[:, edge:-edge, :, edge:-edge]
    brightness = blocks.mean(axis=(1, 3)).ravel()
    low, high = float(brightness.min()), float(brightness.max())
    if high - low < LEAST_CONTRAST:
        return None
    share = (brightness - low) / (high - low)
    if (np.abs(share - 0.5) < CLEAR).any():
        return None
    value = 0
    for bit in share > 0.5:
        value = value << 1 | int(bit)
    moment, check = value >> 16, value & 0xFFFF
    return moment / 1000 if binascii.crc_hqx(moment.to_bytes(3, "big"), 0xFFFF) == check else None
