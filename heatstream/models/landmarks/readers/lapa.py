"""LaPa: a text file of 106 points per photo (Liu et al., AAAI 2020)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation, tight_box
from heatstream.models.landmarks.readers.parsing import numbered_lines, numbers
from heatstream.skeletons import LAPA_106

__all__ = ["read_lapa"]


def read_lapa(folder: Path) -> list[LandmarkAnnotation]:
    """Every face of a part of the set; the box is that of the points.

    Args:
        folder: ``train``, ``val`` or ``test``, with ``images`` and ``landmarks`` in it.

    Raises:
        DatasetError: names the file and the line.
    """
    files = sorted((folder / "landmarks").glob("*.txt"))
    if not files:
        raise DatasetError(f"{folder / 'landmarks'} holds no .txt file: give the folder train, val or test of LaPa")
    return [_read(file, folder / "images" / f"{file.stem}.jpg") for file in files]


def _read(file: Path, photo: Path) -> LandmarkAnnotation:
    lines = numbered_lines(file)
    count = str(LAPA_106.num_keypoints)
    if not lines or lines[0][1] != count:
        raise DatasetError(f"{file}, line 1: the number of points is not {count}: correct the file")
    points = []
    for where, line in lines[1:]:
        fields = line.split()
        if len(fields) != 2:
            raise DatasetError(f"{where}: {len(fields)} fields, expected x and y: correct the file")
        points.append(numbers(fields, where))
    if len(points) != LAPA_106.num_keypoints:
        raise DatasetError(f"{lines[-1][0]}: {len(points)} points, expected {count}: download it again")
    stacked = np.array(points)
    return make_annotation(photo, stacked, tight_box(stacked), where=str(file))
