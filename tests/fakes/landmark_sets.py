"""Small files in every dataset's own format, made by hand: photos of noise and points on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (48, 64)


def photo(path: Path, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Write a photo and give its pixels."""
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return pixels


def grid(count: int) -> NDArray[np.float64]:
    """(count, 2) points that all differ, inside a photo."""
    index = np.arange(count)
    return np.stack([4.25 + 3 * (index % 16), 5.5 + 4 * (index // 16)], axis=1)


def text(values: Any) -> str:
    return " ".join(f"{value:g}" for value in np.ravel(values))


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path
