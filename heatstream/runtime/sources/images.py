"""Pictures: one, or a folder of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.base import Frame

__all__ = ["PICTURE_SUFFIXES", "Pictures", "list_pictures", "open_folder", "open_picture", "read_picture"]

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG", b"IEND"


def open_picture(path: Path) -> Pictures:
    """One picture as a source.

    Raises:
        SourceError: it cannot be read.
    """
    return Pictures((path,), first=read_picture(path), name=str(path))


def open_folder(folder: Path) -> Pictures:
    """The pictures of a folder, sub-folders left out, in natural order: 2.jpg before 10.jpg.

    Raises:
        SourceError: the folder cannot be read or holds no picture.
    """
    try:
        paths = list_pictures(folder)
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from None
    if not paths:
        raise SourceError(
            f"{folder} holds no pictures (.jpg, .png, .webp and the like): give a folder that does, or a file"
        )
    return Pictures(tuple(paths), first=None, name=str(folder))


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder in natural order, by their suffix; hidden files left out.

    Raises:
        OSError: the folder cannot be read.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return sorted(paths, key=lambda path: _natural(path.name))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, upright as its EXIF entry says; deeper ones scaled to 8 bits, grey ones repeated.

    Raises:
        SourceError: it is missing, empty, no picture, or cut off.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if not data:
        raise SourceError(f"{path} is empty: copy it again")
    if _is_cut_off(data):
        raise SourceError(f"{path} is cut off: copy it again")
    with opencv.quiet():
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:  # for example more pixels than OpenCV's limit
            image = None
    if image is None:
        raise SourceError(f"{path} is not a picture that OpenCV can read: it is of another kind, or damaged")
    return np.asarray(image, np.uint8)


class Pictures:
    """Pictures one after the other. Of several, those that cannot be read are left out and named.

    Args:
        paths: at least one.
        first: the first one's pixels if it was read already.
        name: for people.
    """

    live = False
    fps: float | None = None

    def __init__(self, paths: tuple[Path, ...], *, first: NDArray[np.uint8] | None, name: str) -> None:
        self._paths = paths
        self._first = first
        self._warnings: list[str] = []
        self.name = name
        self.frame_count: int | None = len(paths)
        self.size: tuple[int, int] | None = None if first is None else (first.shape[0], first.shape[1])

    @property
    def files(self) -> tuple[Path, ...]:
        """All the pictures."""
        return self._paths

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each picture that could not be read so far."""
        return tuple(self._warnings)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._paths):
            image, self._first = self._first, None
            if image is None:
                try:
                    image = read_picture(path)
                except SourceError as error:
                    self._warnings.append(f"left out: {error}")
                    continue
            yield Frame(image, index, 0.0, path.name)
        if len(self._warnings) == len(self._paths):
            raise SourceError(f"none of the {len(self._paths)} pictures in {self.name} could be read")

    def close(self) -> None:
        """Nothing is held open."""


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; libjpeg would paint the missing rest grey and call it a picture."""
    if data.startswith(JPEG_START):
        return data.rfind(JPEG_END) < data.rfind(JPEG_SCAN)  # inside a scan the end mark cannot occur
    return data.startswith(PNG_START) and PNG_END not in data


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which runs of digits count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower())]
