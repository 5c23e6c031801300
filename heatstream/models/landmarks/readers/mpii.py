"""MPII in the JSON that single-person programs share, and the head boxes that its measure needs.

Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art Analysis", CVPR 2014.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers.example import LandmarkAnnotation, make_annotation
from heatstream.models.landmarks.readers.json_lines import lines_told
from heatstream.models.landmarks.readers.parsing import entries, photo_name, read_json, read_mat
from heatstream.skeletons import MPII_16

__all__ = ["person_box", "read_mpii", "read_mpii_heads"]

COUNT = MPII_16.num_keypoints

SCALE_PX = 200.0
"""Height of a person of scale 1."""

LOWERED_PX = 15.0
"""By how much the centre is moved down at scale 1, so that feet stay in the crop; as these programs do."""

HEAD_FACTOR = 0.6
"""Of the head box's diagonal: the length that PCKh divides by."""


def read_mpii(annotations: Path, images: Path, heads: Path | None = None) -> list[LandmarkAnnotation]:
    """Every person with labelled joints to learn or measure, in the order of the file.

    In the file the first pixel is 1, here it is 0.

    Args:
        annotations: ``train.json``, ``valid.json`` or ``trainval.json``: `image`, `center`, `scale`, `joints`,
            `joints_vis`.
        images: folder of the photos.
        heads: ``gt_valid.mat`` to the JSON; gives every example its length.

    Raises:
        DatasetError: names the file and the entry.
    """
    content = read_json(annotations, list)
    lengths = [None] * len(content) if heads is None else [float(v) for v in read_mpii_heads(heads)]
    if len(lengths) != len(content):
        raise DatasetError(f"{heads} holds {len(lengths)} people, {annotations} {len(content)}: give the matching file")
    with lines_told(annotations, [("entry", None)]):
        examples = [
            _example(entry, images, length, f"{annotations}, entry {number}")
            for number, (entry, length) in enumerate(zip(content, lengths, strict=True), 1)
        ]
    if not examples:
        raise DatasetError(f"{annotations} lists no person: give another file")
    return examples


def person_box(center: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """(4,) x and y of the first and of the last pixel of a person's square; the centre (2,) as in the files."""
    center = center - 1 + (0, LOWERED_PX * scale)
    half = SCALE_PX * scale / 2
    return np.concatenate([center - half, center + half - 1])


def _example(entry: Any, images: Path, length: float | None, where: str) -> LandmarkAnnotation:
    with entries(where):
        photo = images / photo_name(entry, "image")
        joints = np.array(entry["joints"], np.float64)
        flags = np.array(entry["joints_vis"], np.float64)
        center, scale = np.array(entry["center"], np.float64), float(entry["scale"])
        if joints.shape != (COUNT, 2) or flags.shape != (COUNT,) or center.shape != (2,):
            raise ValueError(f"{joints.shape} joints and {flags.shape} flags, expected {COUNT} of each")
        if not np.isin(flags, (0, 1)).all():
            raise ValueError("a joint's flag is neither 0 nor 1")
    box = person_box(center, scale)
    visibility = np.where(flags > 0, 2, 0)
    return make_annotation(photo, joints - 1, box, where=where, visibility=visibility, length=length)


def read_mpii_heads(file: Path) -> NDArray[np.float64]:
    """The (N,) lengths in px that PCKh divides by, from ``gt_valid.mat``.

    Raises:
        DatasetError: the file cannot be read, or a head has no size; names the person.
    """
    boxes = np.asarray(read_mat(file, ["headboxes_src"])["headboxes_src"])
    if boxes.ndim == 2:  # MATLAB drops the last axis where it is 1
        boxes = boxes[..., None]
    if boxes.ndim != 3 or boxes.shape[:2] != (2, 2) or boxes.dtype.kind not in "uif":
        raise DatasetError(
            f"{file}: headboxes_src is {boxes.shape} {boxes.dtype}, expected (2, 2, N) numbers: download the file again"
        )
    boxes = boxes.astype(np.float64)
    lengths: NDArray[np.float64] = HEAD_FACTOR * np.linalg.norm(boxes[1] - boxes[0], axis=0)
    if not (lengths > 0).all():
        raise DatasetError(f"{file}, person {int(np.argmin(lengths > 0)) + 1}: the head has no size: correct the file")
    return lengths
