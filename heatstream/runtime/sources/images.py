"""Pictures: one, or a folder of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.picture_header import PictureHeader, jpeg_end, read_header
from heatstream.pictures import read_picture
from heatstream.runtime.sources.base import Frame

__all__ = [
    "PICTURE_SUFFIXES",
    "Pictures",
    "image_ids",
    "is_picture",
    "list_pictures",
    "natural_order",
    "open_folder",
    "open_pictures",
]

PICTURE_SUFFIXES = frozenset(
    {
        *(".avif", ".bmp", ".heic", ".heif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
        *(".tif", ".tiff", ".webp"),
    }
)
NUMBERED = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d{1,19})", re.ASCII)
NAMED = 3  # sub-folders that a warning names


def open_pictures(paths: Sequence[Path], name: str) -> Pictures:
    """Pictures one after the other.

    Raises:
        SourceError: there is but one, and it cannot be read.
    """
    return Pictures(paths, first=read_picture(paths[0]) if len(paths) == 1 else None, name=name)


def open_folder(folder: Path) -> Pictures:
    """The pictures of a folder, sub-folders left out and named, in natural order: 2.jpg before 10.jpg.

    Raises:
        SourceError: the folder cannot be read or holds no picture.
    """
    try:
        paths = list_pictures(folder)
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}") from None
    named = ", ".join(inner[:NAMED]) + (f" and {len(inner) - NAMED} more" if len(inner) > NAMED else "")
    if not paths:
        hint = f"; its sub-folders ({named}) are not looked into" if inner else ""
        raise SourceError(
            f"{folder} holds no pictures (.jpg, .png, .webp and the like){hint}: give a folder that does, or a file"
        )
    told = (f"the sub-folders of {folder} ({named}) are not looked into: give each by itself",) if inner else ()
    return Pictures(paths, first=None, name=str(folder), told=told)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder in natural order, by their suffix; hidden files left out.

    Raises:
        OSError: the folder cannot be read.
    """
    return natural_order(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted by folder and name, runs of digits as numbers."""
    return sorted(paths, key=lambda path: (str(path.parent), _natural(path.name)))


def is_picture(path: Path, start: bytes) -> bool:
    """Whether a file whose name does not say so is a picture, by its first bytes.

    JPEGs of one size in a row, as cameras record them, are a film.

    Raises:
        OSError: it cannot be read.
    """
    header = read_header(start)
    if header is None or header.kind == "gif":  # which plays
        return False
    return header.kind != "jpeg" or not _is_film(path.read_bytes())


def _is_film(data: bytes) -> bool:
    end = jpeg_end(data)
    if end is None or end == len(data):
        return False
    first, second = read_header(data), read_header(data[end:])
    return (
        first is not None
        and second is not None
        and second.kind == "jpeg"
        and (first.height, first.width) == (second.height, second.width)
    )


class Pictures:
    """Pictures one after the other. Of several, those that cannot be read are left out and named.

    Args:
        paths: at least one.
        first: what :func:`read_picture` gave for the first one, if it was read already.
        name: for people.
        told: what there is to say of them beforehand, one sentence each.
    """

    live = False
    fps: float | None = None

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        first: tuple[NDArray[np.uint8], PictureHeader] | None,
        name: str,
        told: tuple[str, ...] = (),
    ) -> None:
        self._paths = tuple(paths)
        self._image_ids = image_ids([path.name for path in paths])
        self._first = first
        self._warnings = list(told)
        self.name = name
        self.frame_count: int | None = len(paths)
        self.size: tuple[int, int] | None = None if first is None else (first[0].shape[0], first[0].shape[1])

    @property
    def files(self) -> tuple[Path, ...]:
        """All the pictures."""
        return self._paths

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there was to say so far, and one sentence for each picture that could not be read."""
        return tuple(self._warnings)

    def __iter__(self) -> Iterator[Frame]:
        lost = 0
        for index, path in enumerate(self._paths):
            found, self._first = self._first, None
            try:
                image, header = read_picture(path) if found is None else found
            except SourceError as error:
                self._warnings.append(f"left out: {error}")
                lost += 1
                continue
            if header.several:
                self._warnings.append(f"{path} holds several pages or frames: only the first is looked at")
            yield Frame(image, index, 0.0, path.name, self._image_ids[index])
        if lost == len(self._paths):
            raise SourceError(f"none of the {lost} pictures in {self.name} could be read")

    def close(self) -> None:
        """Nothing is held open."""


def image_ids(names: Sequence[str]) -> list[int]:
    """The COCO image ids of pictures by their names, all different.

    Names that are numbers, as COCO's are (``000000000139.jpg``, ``COCO_val2014_000000000139.jpg``), give these. Where
    one is not, or two give the same, all get their index: some ids of the set among others of ours could not be told
    apart.
    """
    found = [NUMBERED.fullmatch(Path(name).stem) for name in names]
    numbers = {int(match[1]) for match in found if match is not None}
    told_apart = len(numbers) == len(names) and max(numbers) < 2**63  # evaluators keep them in 64 bits
    return [int(match[1]) for match in found if match] if told_apart else list(range(len(names)))


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which runs of digits count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name.lower())]
