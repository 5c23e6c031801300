"""Small annotated sets, made up for a test: photos of noise, and people where the test wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from heatstream.models.pose.annotations import ImageAnnotation
from heatstream.models.pose.dataset import TrainingSet
from heatstream.models.settings import AugmentSettings, SetSettings
from heatstream.skeletons import COCO_17, Skeleton

PLAIN = AugmentSettings(rotation=0, scale=(1, 1), translation=0, flip=0)
"""No chance at all: the photo's middle square fills the window."""


def person(joints: dict[int, tuple[float, float, float]], *, skeleton: Skeleton = COCO_17) -> Any:
    """(K, 3) with these joints and no others."""
    points = np.zeros((skeleton.num_keypoints, 3))
    for joint, point in joints.items():
        points[joint] = point
    return points


def annotation(points: Any, *, image_id: int = 1, **more: Any) -> dict[str, Any]:
    """One of the JSON, with a box around everything unless another is given."""
    labelled = int((points[:, 2] > 0).sum())
    entry = {"id": 1, "image_id": image_id, "iscrowd": 0, "num_keypoints": labelled, "bbox": [0, 0, 10, 10]}
    return {**entry, "keypoints": points.ravel().tolist(), **more}


def write_set(
    folder: Path,
    annotations: Sequence[dict[str, Any]],
    *,
    photos: int = 1,
    size: tuple[int, int] = (48, 64),
    **more: Any,
) -> tuple[Path, Path]:
    """Write `photos` pictures of noise numbered from 1 and their JSON; return the JSON's and the folder's path.

    `more` goes into every image entry.
    """
    images = folder / "photos"
    images.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(1, photos + 1):
        picture = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        cv2.imwrite(str(images / f"{number}.png"), picture)
        entries.append({"id": number, "file_name": f"{number}.png", "height": size[0], "width": size[1], **more})
    labels = folder / "labels.json"
    labels.write_text(json.dumps({"images": entries, "annotations": list(annotations)}))
    return labels, images


def made_photo(
    people: Any, *, path: Path = Path("made.png"), size: tuple[int, int] = (64, 64), **changes: Any
) -> ImageAnnotation:
    """A photo whose people's boxes surround their labelled joints."""
    people = np.asarray(people, np.float64)
    boxes = np.zeros((len(people), 4))
    for box, points in zip(boxes, people, strict=True):
        seen = points[points[:, 2] > 0, :2]
        box[:] = *seen.min(axis=0), *np.ptp(seen, axis=0)
    fields: dict[str, Any] = {
        "path": path,
        "size": size,
        "people": people,
        "boxes": boxes,
        "ignored_boxes": np.zeros((0, 4)),
        "ignored_mask": None,
        "boxes_only": False,
        "known_joints": np.ones(people.shape[1], np.bool_),
    }
    return ImageAnnotation(**{**fields, **changes})


def random_set(
    folder: Path, *, augment: AugmentSettings = PLAIN, photos: int = 6, seed: int = 0, size: int = 64
) -> TrainingSet:
    """A training set of noise with two random people each, its photos on the disk."""
    rng = np.random.default_rng(11)
    write_set(folder, [], photos=photos)
    made = []
    for number in range(1, photos + 1):
        people = np.dstack((rng.uniform(0, 64, (2, 17)), rng.uniform(0, 48, (2, 17)), rng.integers(0, 3, (2, 17))))
        made.append(made_photo(people, path=folder / "photos" / f"{number}.png", size=(48, 64)))
    settings = SetSettings("labels.json", "photos")
    return TrainingSet([(settings, made)], size=size, augment=augment, skeleton=COCO_17, seed=seed)
