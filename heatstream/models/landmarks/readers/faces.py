"""Faces in our own JSON: one object with `num_points` and `images`, each with `image`, `points` and `bbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.json_lines import lines_told
from heatstream.models.landmarks.readers.parsing import entries, photo_name, read_json
from heatstream.skeletons import W300_68, Skeleton

__all__ = ["read_faces"]


def read_faces(
    annotations: Path, skeleton: Skeleton = W300_68, *, images: Path | None = None
) -> list[LandmarkAnnotation]:
    """Every face; a face's `source`, where it has one, is the subset it belongs to.

    Args:
        annotations: the JSON. `bbox` is x, y, width, height around the points.
        skeleton: of the file.
        images: folder that the photos are relative to; that of the JSON when left out.

    Raises:
        DatasetError: names the file and the entry.
    """
    content = read_json(annotations, dict)
    count = skeleton.num_keypoints
    if content.get("num_points") != count:
        raise DatasetError(
            f"{annotations} has {content.get('num_points')} points per face, {skeleton.name} {count}: give another file"
        )
    folder = annotations.parent if images is None else images
    with entries(str(annotations)):
        faces = content["images"]
        if not isinstance(faces, list):
            raise ValueError("'images' is no list")
    with lines_told(annotations, [("entry", "images")]):
        examples = [
            _example(entry, folder, count, f"{annotations}, entry {number}") for number, entry in enumerate(faces, 1)
        ]
    if not examples:
        raise DatasetError(f"{annotations} lists no face: give another file")
    return examples


def _example(entry: Any, folder: Path, count: int, where: str) -> LandmarkAnnotation:
    with entries(where):
        photo = folder / photo_name(entry, "image")
        points, bbox = np.array(entry["points"], np.float64), np.array(entry["bbox"], np.float64)
        subsets = (str(entry["source"]),) if entry.get("source") else ()
        if points.shape != (count, 2) or bbox.shape != (4,):
            raise ValueError(f"points {points.shape} and box {bbox.shape}, expected ({count}, 2) and (4,)")
    box = np.concatenate([bbox[:2], bbox[:2] + bbox[2:]])
    return make_annotation(photo, points, box, where=where, subsets=subsets)
