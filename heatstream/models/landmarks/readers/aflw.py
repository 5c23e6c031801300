"""AFLW with 19 points, as it is commonly distributed: ``AFLWinfo_release.mat`` (Zhu et al., CVPR 2016), or tables.

Köstinger et al., "Annotated Facial Landmarks in the Wild", ICCV workshops 2011.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.parsing import matrix, numbered_lines, numbers, read_mat
from heatstream.skeletons import AFLW_19

__all__ = ["read_aflw", "read_aflw_csv"]

COUNT = AFLW_19.num_keypoints
TRAINING_FACES = 20_000
"""The first of the file's own random order are for training."""

SQUARE_PX = 200.0
"""Side of the square around a face of scale 1 in the tables."""


OTHER_LISTS = {4 + 2 * 98: "WFLW", 4 + 2 * 68: "300-W", 4 + 2 * 29: "COFW"}
"""Fields of a line -> whose faces these are; HRNet's lists of them lack the length that errors are divided by."""


def read_aflw(
    file: Path, images: Path, part: Literal["train", "test"], *, training_faces: int = TRAINING_FACES
) -> list[LandmarkAnnotation]:
    """The faces of a part, in the file's random order; points under something are hidden.

    Errors are divided by the side of the square of the box's area. Faces of the test with all points in view belong
    to the subset "frontal". Coordinates are taken as they are, as other programs do.

    Args:
        file: holds `nameList`, `data` (all x, then all y), `bbox` (left, right, top, bottom), `mask_new` and `ra`.
        images: the folder ``flickr``, which the names are relative to.
        part: of the usual division.
        training_faces: how many of the order are for training.

    Raises:
        DatasetError: names the file and the row.
    """
    content = read_mat(file, ["nameList", "data", "bbox", "mask_new", "ra"])
    names = np.asarray(content["nameList"]).ravel()
    points, boxes, masks = (
        matrix(content, name, columns, file)
        for name, columns in (("data", 2 * COUNT), ("bbox", 4), ("mask_new", COUNT))
    )
    total = len(points)
    if not total == len(names) == len(boxes) == len(masks):
        raise DatasetError(f"{file}: nameList, data, bbox and mask_new are not of as many faces: download it again")
    order = np.asarray(content["ra"]).ravel()
    if order.dtype.kind not in "buif" or not np.array_equal(np.sort(order), np.arange(total) + 1):
        raise DatasetError(f"{file}, variable 'ra': it is not an order of {total} faces: download the file again")
    order = order.astype(np.int64) - 1
    chosen = order[:training_faces] if part == "train" else order[training_faces:]
    if not len(chosen):
        raise DatasetError(f"{file} holds {total} faces, none of which is for the {part}: download it again")
    return [
        _example(names[row], points[row], boxes[row], masks[row], images, part, where=f"{file}, row {row + 1}")
        for row in chosen
    ]


def read_aflw_csv(file: Path, images: Path) -> list[LandmarkAnnotation]:
    """The faces of a table, of which other programs' authors made one for each part.

    Args:
        file: ``face_landmarks_aflw_test.csv`` or ``..._train.csv``: a line of titles, then the photo's name, the side
            of the face's square over 200 px, the length that errors are divided by, the square's centre, 19 points.
        images: what the names are relative to.

    Raises:
        DatasetError: names the file and the line.
    """
    examples = []
    for where, line in numbered_lines(file)[1:]:
        name, *fields = (field.strip() for field in line.split(","))
        if other := OTHER_LISTS.get(len(fields) + 1):
            raise DatasetError(
                f"{where}: this is HRNet's list of {other}, which is not read: give that set's own files"
            )
        if len(fields) != 4 + 2 * COUNT:
            raise DatasetError(f"{where}: {len(fields) + 1} fields, expected {5 + 2 * COUNT}: correct the file")
        (scale, length, *center), points = np.split(numbers(fields, where), [4])
        half = SQUARE_PX * scale / 2
        # Boxes name their last pixel, which belongs to them.
        box = np.array([*(np.array(center) - half), *(np.array(center) + half - 1)])
        examples.append(
            make_annotation(images / name, points.reshape(COUNT, 2), box, where=where, length=float(length))
        )
    if not examples:
        raise DatasetError(f"{file} lists no face: download it again")
    return examples


def _example(
    name: Any,
    row: NDArray[np.float64],
    box: NDArray[np.float64],
    mask: NDArray[np.float64],
    images: Path,
    part: str,
    *,
    where: str,
) -> LandmarkAnnotation:
    if not np.isin(mask, (0, 1)).all():
        raise DatasetError(f"{where}: a mask is neither 0 nor 1: correct the file")
    left, right, top, bottom = box
    in_view = mask > 0
    while isinstance(name, np.ndarray) and name.size == 1:  # a text in a cell in a cell
        name = name.item()
    if not isinstance(name, str):
        raise DatasetError(f"{where}: the photo has no name: download the file again")
    return make_annotation(
        images / name,
        row.reshape(2, COUNT).T,
        np.array([left, top, right, bottom]),
        where=where,
        visibility=np.where(in_view, 2, 1),
        subsets=("frontal",) if part == "test" and in_view.all() else (),
        length=float(np.sqrt(max((right - left) * (bottom - top), 0))),
    )
