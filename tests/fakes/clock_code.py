"""Pictures that say when they were made: 24 bits of a clock and 8 that check them, as 8 x 4 black and white fields.

On one machine ``time.monotonic()`` is the same clock in every process, so that a test can tell of each frame it gets
when a server in another process made it: whether it is old, came twice, or never was one.
"""

from __future__ import annotations

import time
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["code_picture", "made_at"]

COLUMNS, ROWS = 8, 4


def code_picture(height: int, width: int, milliseconds: int | None = None) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: a picture of this moment."""
    moment = (int(time.monotonic() * 1000) if milliseconds is None else milliseconds) & 0xFFFFFF
    bits = moment << 8 | (zlib.crc32(moment.to_bytes(3, "big")) & 0xFF)
    fields = np.array([bits >> shift & 1 for shift in range(31, -1, -1)], np.uint8).reshape(ROWS, COLUMNS)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    grey = np.where(fields[rows][:, columns], 235, 16).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def made_at(image: NDArray[np.uint8]) -> float | None:
    """When a picture was made, in seconds of ``time.monotonic()``; None if it is no such picture."""
    height, width = image.shape[:2]
    rows = ((np.arange(ROWS) + 0.5) * height / ROWS).astype(int)
    columns = ((np.arange(COLUMNS) + 0.5) * width / COLUMNS).astype(int)
    value = 0
    for bit in (image[rows][:, columns].mean(axis=2) > 128).ravel():
        value = value << 1 | int(bit)
    moment, check = value >> 8, value & 0xFF
    if check != zlib.crc32(moment.to_bytes(3, "big")) & 0xFF:
        return None
    now = int(time.monotonic() * 1000)
    return (now - ((now - moment) & 0xFFFFFF)) / 1000
