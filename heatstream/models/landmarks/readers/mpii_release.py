"""MPII as its owners publish it: ``mpii_human_pose_v1_u12_1.mat`` (Andriluka et al., CVPR 2014)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.mpii import COUNT, HEAD_FACTOR, person_box
from heatstream.models.landmarks.readers.parsing import entries, photo_name, read_mat

__all__ = ["read_mpii_release"]


def read_mpii_release(file: Path, images: Path) -> list[LandmarkAnnotation]:
    """Every person of the training photos whose joints, scale and place are labelled; the others have no labels.

    In the file the first pixel is 1, here it is 0. An example's length is that of PCKh.

    Args:
        file: holds the structure `RELEASE`.
        images: folder of the photos.

    Raises:
        DatasetError: names the file, the photo's number and the person's.
    """
    release = read_mat(file, ["RELEASE"], structures=True)["RELEASE"]
    with entries(f"{file}, variable 'RELEASE'"):
        photos, training = _list(release["annolist"]), np.atleast_1d(release["img_train"])
        if len(photos) != len(training):
            raise ValueError(f"{len(photos)} photos and {len(training)} entries of 'img_train'")
    examples = []
    for number, photo in enumerate(photos, 1):
        if training[number - 1]:
            where = f"{file}, image {number}"
            with entries(where):
                path, people = images / photo_name(photo["image"], "name"), _list(photo["annorect"])
            for index, person in enumerate(people, 1):
                found = _example(path, person, f"{where}, person {index}")
                examples += [] if found is None else [found]
    if not examples:
        raise DatasetError(f"{file} labels no person: give the file that MPII's owners publish")
    return examples


def _example(path: Path, person: Any, where: str) -> LandmarkAnnotation | None:
    with entries(where):
        if not all(_is_there(person.get(key)) for key in ("annopoints", "scale", "objpos")):
            return None
        points, visibility = np.zeros((COUNT, 2)), np.zeros(COUNT, np.int8)
        for point in _list(person["annopoints"]["point"]):
            joint = int(point["id"])
            if not 0 <= joint < COUNT:
                raise ValueError(f"a joint has the id {joint}, expected 0 to {COUNT - 1}")
            points[joint] = float(point["x"]), float(point["y"])
            visibility[joint] = 2
        center = np.array([person["objpos"]["x"], person["objpos"]["y"]], np.float64)
        scale = float(person["scale"])
        head = HEAD_FACTOR * float(np.hypot(person["x2"] - person["x1"], person["y2"] - person["y1"]))
    box = person_box(center, scale)
    return make_annotation(path, points - 1, box, where=where, visibility=visibility, length=head)


def _is_there(value: Any) -> bool:
    """What is left empty in MATLAB comes as an empty array."""
    return value is not None and not (isinstance(value, np.ndarray) and value.size == 0)


def _list(value: dict[str, Any] | NDArray[Any] | list[Any]) -> list[Any]:
    """Of one structure, which comes without its array, or of several."""
    return [value] if isinstance(value, dict) else list(value)
