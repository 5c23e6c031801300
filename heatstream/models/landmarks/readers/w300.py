"""300-W and the sets it is made of (HELEN, LFPW, AFW, IBUG): a ``.pts`` file beside every photo.

Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV workshops 2013.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation, tight_box
from heatstream.models.landmarks.readers.parsing import numbered_lines, numbers
from heatstream.skeletons import W300_68

__all__ = ["has_usual_test", "read_300w", "read_pts"]

Part = Literal["train", "test", "all"]

FOLDERS: dict[str, tuple[str, ...]] = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "test": ("helen/testset", "lfpw/testset", "ibug"),
}
"""The usual division (Ren et al., CVPR 2014)."""

CHALLENGING = "ibug"
"""The folder that is this subset of the test; the others are the common one."""

PHOTOS = (".jpg", ".png", ".jpeg", ".bmp")

COUNT = W300_68.num_keypoints


def read_300w(root: Path, part: Part = "all") -> list[LandmarkAnnotation]:
    """Faces with 68 points, in the order of their files' names; the box is that of the points.

    Args:
        root: the folder that holds ``afw``, ``helen``, ``ibug`` and ``lfpw``; for "all", any folder.
        part: "train" or "test" of the usual division, or every ``.pts`` file there is, at any depth. Faces of the
            test belong to the subset "common" or "challenging", those of "all" to that of their folder in the root.

    Raises:
        DatasetError: names the file and the line.
    """
    folders = [root] if part == "all" else [_inside(root, folder) for folder in FOLDERS[part]]
    examples = []
    for folder in folders:
        files = sorted(folder.rglob("*.pts"))
        if not files:
            raise DatasetError(f"{folder} holds no .pts file: unpack the set there or correct the folder")
        for file in files:
            points = read_pts(file)
            examples.append(
                make_annotation(
                    _photo(file), points, tight_box(points), where=str(file), subsets=_subsets(file, folder, part)
                )
            )
    return examples


def has_usual_test(root: Path) -> bool:
    """Whether a folder holds the three folders of the usual division's test."""
    return all(_inside(root, folder).is_dir() for folder in FOLDERS["test"])


def read_pts(file: Path) -> NDArray[np.float64]:
    """The (68, 2) points of a ``.pts`` file; in the file the first pixel is 1, here it is 0.

    Raises:
        DatasetError: names the file and the line.
    """
    lines = numbered_lines(file)
    opening = next((index for index, (_, line) in enumerate(lines) if line == "{"), None)
    if opening is None:
        last = lines[-1][0] if lines else f"{file}, line 1"
        raise DatasetError(f"{last}: the file ends without a line '{{' before its points: download it again")
    for where, line in lines[:opening]:
        key, _, value = line.partition(":")
        if key.strip() == "n_points" and value.strip() != str(COUNT):
            raise DatasetError(f"{where}: n_points is {value.strip()}, expected {COUNT}: give a file of 68 points")
    points: list[NDArray[np.float64]] = []
    for number, (where, line) in enumerate(lines[opening + 1 :], opening + 1):
        if line == "}":
            if len(points) != COUNT:
                raise DatasetError(f"{where}: {len(points)} points before '}}', expected {COUNT}: download it again")
            if number + 1 < len(lines):
                raise DatasetError(f"{lines[number + 1][0]}: text after the points: correct the file")
            return np.array(points) - 1
        fields = line.split()
        if len(fields) != 2:
            raise DatasetError(f"{where}: {len(fields)} fields, expected x and y: correct the file")
        points.append(numbers(fields, where))
    raise DatasetError(f"{lines[-1][0]}: the points end without '}}': the file is cut short, download it again")


def _photo(file: Path) -> Path:
    for ending in PHOTOS:
        for photo in (file.with_suffix(ending), file.with_suffix(ending.upper())):
            if photo.is_file():
                return photo
    raise DatasetError(f"{file} has no photo of its name beside it: unpack the set again")


def _subsets(file: Path, folder: Path, part: Part) -> tuple[str, ...]:
    if part == "train":
        return ()
    if part == "test":
        return ("challenging" if folder.name.lower() == CHALLENGING else "common",)
    return file.relative_to(folder).parts[:-1][:1]


def _inside(root: Path, folder: str) -> Path:
    """A folder in the root, whatever the case of its letters."""
    place = root
    for name in folder.split("/"):
        inside = place.iterdir() if place.is_dir() else ()
        place = next((each for each in sorted(inside) if each.name.lower() == name), place / name)
    return place
