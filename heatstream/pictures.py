"""One picture from a file, or one sentence on why not; for sources, training and evaluation alike."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import HeatstreamError, SourceError
from heatstream.extras import require
from heatstream.frames import size_trouble
from heatstream.picture_header import PictureHeader, read_header
from heatstream.quiet_opencv import quiet

__all__ = ["read_picture"]

MOST_BYTES = 2**30
"""What is read into memory before anything is known of it."""


def read_picture(
    path: Path, *, upright: bool = True, error: type[HeatstreamError] = SourceError
) -> tuple[NDArray[np.uint8], PictureHeader]:
    """(H, W, 3) uint8 BGR and what the file announced; deeper pictures scaled to 8 bits, grey ones repeated.

    Args:
        path: of the file.
        upright: turn it as its EXIF entry says; labels belong to the pixels as they are stored.
        error: what to raise.

    Raises:
        HeatstreamError: that error: the file is missing, empty, no picture, cut off, or larger than
            :data:`heatstream.frames.MOST_PIXELS`.
        MissingExtraError: it is a HEIC picture, and pillow-heif is not installed.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise error(f"{path} is larger than {MOST_BYTES:,} bytes, which no picture is: give another file")
        data = path.read_bytes()
    except (OSError, ValueError) as reason:  # the latter for a name with a NUL in it
        raise error(f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}") from None
    if not data:
        raise error(f"{path} is empty: copy it again")
    header = read_header(data)
    if header is None:
        raise error(f"{path} is not a picture that OpenCV can read: it is of another kind, or damaged")
    if not header.whole:
        raise error(f"{path} is cut off: copy it again")
    if trouble := size_trouble(header.height, header.width):
        raise error(f"{path} {trouble}")
    image = _heic(path, data) if header.kind == "heic" else _decoded(data, upright)
    if image is None:
        deep = header.kind == "tiff" and "; TIFFs of floating-point values are not read: save it with 8 or 16 bits"
        raise error(f"{path} is not a picture that OpenCV can read: it is of another kind, or damaged{deep or ''}")
    return image, header


def _decoded(data: bytes, upright: bool) -> NDArray[np.uint8] | None:
    flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    with quiet():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # for example a damage that the decoder meets late
            image = None
    return None if image is None else np.asarray(image, np.uint8)


def _heic(path: Path, data: bytes) -> NDArray[np.uint8] | None:
    """libheif turns the picture upright itself; the turn is part of the file, not a note beside it."""
    heif = require("pillow_heif", extra="heic", purpose=f"reading {path.name}")
    try:
        picture = heif.open_heif(BytesIO(data), bgr_mode=True)
        pixels = np.asarray(picture, np.uint8)
    except (ValueError, OSError, RuntimeError, SyntaxError, EOFError):
        return None
    return np.ascontiguousarray(pixels[:, :, :3]) if pixels.ndim == 3 and pixels.shape[2] >= 3 else None
