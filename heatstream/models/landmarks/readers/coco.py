"""COCO people one by one: in their labelled boxes to train, in a detector's boxes to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.json_lines import lines_told
from heatstream.models.landmarks.readers.parsing import entries, read_json
from heatstream.models.pose.annotations import read_photos
from heatstream.models.pose.coco import file_name
from heatstream.skeletons import COCO_17, Skeleton

__all__ = ["PersonBox", "box_corners", "read_coco", "read_person_boxes"]

PERSON = 1
"""COCO's category of people."""


@dataclass(frozen=True, eq=False)
class PersonBox:
    """A person that a detector found.

    Attributes:
        picture: the photo's file.
        image_id: of the photo.
        box: (4,) float64, x and y of the first and of the last pixel.
        score: the detector's, 0..1.
    """

    picture: Path
    image_id: int
    box: NDArray[np.float64]
    score: float


def read_coco(annotations: Path, images: Path, skeleton: Skeleton = COCO_17) -> list[LandmarkAnnotation]:
    """Every person with labelled joints, crowds left out.

    Args:
        annotations: COCO keypoint JSON.
        images: folder of the photos.
        skeleton: of the file.

    Raises:
        DatasetError: names the file, and the photo where it is one person's fault.
    """
    with lines_told(annotations, [("annotation", "annotations"), ("image", "images")]):
        photos = read_photos(annotations, images, skeleton)
    examples = []
    for photo in photos:
        where = f"{annotations}, {photo.path.name}"
        for person, box in zip(photo.people, photo.boxes, strict=True):
            if (box[2:] <= 0).any():
                raise DatasetError(f"{where}: the box {box.tolist()} is empty: correct the file")
            points, visibility = person[:, :2], person[:, 2].astype(np.int8)
            examples.append(make_annotation(photo.path, points, box_corners(box), where=where, visibility=visibility))
    return examples


def read_person_boxes(
    detections: Path, annotations: Path, images: Path, *, least_score: float = 0.0
) -> list[PersonBox]:
    """The people that a detector found, in the order of its file.

    Args:
        detections: COCO result JSON: `image_id`, `category_id`, `bbox` (x, y, width, height) and `score`.
        annotations: COCO JSON that names the photos.
        images: folder of the photos.
        least_score: boxes below are left out, and so are empty ones.

    Raises:
        DatasetError: names the file and the entry.
    """
    names: dict[int, str] = {}
    photos = read_json(annotations, dict).get("images")
    if not isinstance(photos, list):
        raise DatasetError(f"{annotations} has no list 'images': give the COCO JSON of the photos")
    for number, entry in enumerate(photos, 1):
        with entries(f"{annotations}, image {number}"):
            names[int(entry["id"])] = file_name(entry)
    found = read_json(detections, list)
    with lines_told(detections, [("entry", None)]):
        boxes = [
            _person(entry, names, annotations, images, f"{detections}, entry {number}")
            for number, entry in enumerate(found, 1)
        ]
    return [box for box in boxes if box is not None and box.score >= least_score]


def _person(entry: Any, names: dict[int, str], annotations: Path, images: Path, where: str) -> PersonBox | None:
    """None if the box is of another category, or empty."""
    with entries(where):
        if not isinstance(entry, dict):
            raise ValueError("it is no object")
        score, image_id = float(entry["score"]), int(entry["image_id"])
        box = np.array(entry["bbox"], np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise ValueError(f"the box {entry['bbox']} is not x, y, width, height")
        if (box[2:] < 0).any():
            raise ValueError(f"the box {entry['bbox']} has a negative side")
        if not 0 <= score <= 1:
            raise ValueError(f"the score {score:g} is not 0 to 1")
        person = entry["category_id"] == PERSON
    if image_id not in names:
        raise DatasetError(f"{where}: {annotations} has no photo {image_id}: give the JSON of the same photos")
    if not person or not (box[2:] > 0).all():
        return None
    return PersonBox(images / names[image_id], image_id, box_corners(box), score)


def box_corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """From COCO's x, y, width, height to x and y of the first and the last pixel."""
    return np.concatenate([box[:2], box[:2] + np.maximum(box[2:], 2) - 1])
