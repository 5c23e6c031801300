"""COFW: ``COFW_train_color.mat`` and ``COFW_test_color.mat``, which hold the photos too.

Burgos-Artizzu et al., "Robust face landmark estimation under occlusion", ICCV 2013.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.parsing import matrix, read_mat
from heatstream.skeletons import COFW_29

__all__ = ["read_cofw"]

COUNT = COFW_29.num_keypoints


def read_cofw(file: Path, part: Literal["train", "test"]) -> list[LandmarkAnnotation]:
    """Every face; points under something are hidden. Coordinates are taken as they are, as other programs do.

    Raises:
        DatasetError: names the file and the row.
        MissingExtraError: the file is of MATLAB's version 7.3 and h5py is not installed.
    """
    ending = "Tr" if part == "train" else "T"
    names = [f"Is{ending}", f"phis{ending}", f"bboxes{ending}"]
    content = read_mat(file, names)
    photos = np.asarray(content[names[0]]).ravel()
    points, boxes = matrix(content, names[1], 3 * COUNT, file), matrix(content, names[2], 4, file)
    if not len(photos) == len(points) == len(boxes) > 0:
        raise DatasetError(
            f"{file}: {len(photos)} photos, {len(points)} faces and {len(boxes)} boxes do not belong together: give "
            "the file that COFW's owners publish"
        )
    return [
        _example(*row, where=f"{file}, row {number}")
        for number, row in enumerate(zip(photos, points, boxes, strict=True), 1)
    ]


def _example(photo: Any, row: NDArray[np.float64], box: NDArray[np.float64], *, where: str) -> LandmarkAnnotation:
    values = row.reshape(3, COUNT)  # all x, all y, then 1 for points under something
    if not np.isin(values[2], (0, 1)).all():
        raise DatasetError(f"{where}: a flag of what is hidden is neither 0 nor 1: correct the file")
    return make_annotation(
        _bgr(photo, where),
        values[:2].T,
        np.concatenate([box[:2], box[:2] + box[2:] - 1]),
        where=where,
        visibility=np.where(values[2] > 0, 1, 2),
    )


def _is_picture(photo: NDArray[Any]) -> bool:
    return photo.size > 0 and (photo.ndim == 2 or photo.shape[2:] == (3,))


def _bgr(photo: Any, where: str) -> NDArray[np.uint8]:
    """MATLAB's photos are RGB, or grey without a third axis."""
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or not _is_picture(photo):
        raise DatasetError(f"{where}: the photo is no uint8 picture: give the file that COFW's owners publish")
    rgb = np.repeat(photo[..., None], 3, axis=2) if photo.ndim == 2 else photo
    return np.ascontiguousarray(rgb[..., ::-1])
