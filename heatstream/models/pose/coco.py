"""COCO keypoint JSON (CrowdPose's has the same layout): read, checked and completed, for training and for evaluation.

Annotation tools leave out what follows from the rest; it is filled in here. Training sees what is read as
:mod:`heatstream.models.pose.annotations`, evaluation as :mod:`heatstream.models.pose.ground_truth`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heatstream.errors import DatasetError
from heatstream.skeletons import SKELETONS, Skeleton

__all__ = ["CocoKeypoints", "Entry", "malformed", "read_coco"]

Entry = dict[str, Any]
"""A JSON object of the file."""

SPELLINGS = {"top_head": "head_top"}
"""Keypoints that CrowdPose's files call differently from :mod:`heatstream.skeletons`."""


@dataclass(frozen=True)
class CocoKeypoints:
    """What a file of labels holds.

    Attributes:
        path: of the file.
        images: the images' entries, in the order of the file; each has `id` and `file_name`.
        people: by the image's id, the annotations of the keypoints' category in the order of the file. Each has
            `keypoints`, 3 K finite numbers, all 0 where only a box is known, and `bbox`, four finite numbers, the box
            around the labelled joints where the file gives none, or None where nothing is labelled either.
        category: `id` and `name` of the category whose keypoints these are.
    """

    path: Path
    images: tuple[Entry, ...]
    people: Mapping[Any, list[Entry]]
    category: Entry


def read_coco(path: Path, skeleton: Skeleton) -> CocoKeypoints:
    """Read a file of labels.

    Args:
        path: COCO keypoint JSON.
        skeleton: the layout that the keypoints must have.

    Raises:
        DatasetError: the file is missing or damaged, or its keypoints are of another skeleton.
    """
    content = _read_json(path)
    with malformed(path):
        category = _category(content)
        _check_skeleton(content, category, path, skeleton)
    people: dict[Any, list[Entry]] = {}
    for number, image in enumerate(content["images"], 1):
        with malformed(path, f"image {number}: "):
            str(image["file_name"])
            people[image["id"]] = []
    for number, annotation in enumerate(content["annotations"], 1):
        with malformed(path, f"annotation {number}: "):
            if annotation.get("category_id", category["id"]) == category["id"]:
                found = people.get(annotation["image_id"])
                if found is not None:  # a file may hold annotations of images that it leaves out
                    found.append(_completed(annotation, skeleton, path))
    return CocoKeypoints(
        path, tuple(content["images"]), people, {"id": category["id"], "name": category.get("name", "person")}
    )


@contextmanager
def malformed(path: Path, where: str = "") -> Iterator[None]:
    """Turn what reading a damaged entry raises into one sentence.

    Args:
        path: of the file.
        where: the entry, such as "image 3: ".

    Raises:
        DatasetError: says what is wrong with the entry.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path} is not COCO keypoint JSON ({where}{what}): export it again") from error


def _read_json(path: Path) -> Entry:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({(error.strerror or '').lower()}): check the path") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error}): export or download it again") from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{path} is not COCO keypoint JSON (it has no list {key!r}): export it again")
    return dict(content)


def _category(content: Entry) -> Entry:
    """The category with keypoints; where none names its keypoints, that of the first annotation with keypoints."""
    categories = content.get("categories") or ()
    for category in categories:
        if category.get("keypoints"):
            return dict(category)
    used = next((each.get("category_id", 1) for each in content["annotations"] if each.get("keypoints")), 1)
    return next((dict(category) for category in categories if category["id"] == used), {"id": used})


def _check_skeleton(content: Entry, category: Entry, path: Path, skeleton: Skeleton) -> None:
    """Compare how many keypoints there are, by the category's names or else the first annotation, and their order.

    Raises:
        DatasetError: they are of another skeleton.
    """
    names = category.get("keypoints", ())
    first = next((each["keypoints"] for each in content["annotations"] if each.get("keypoints")), ())
    count = len(names) or len(first) // 3
    if not count:
        raise DatasetError(f"{path} has no keypoints: give the JSON of keypoints, not that of boxes or captions")
    expected = f"{skeleton.name} has {skeleton.num_keypoints}"
    if count != skeleton.num_keypoints:
        fitting = [name for name, other in SKELETONS.items() if other.num_keypoints == count]
        hint = f"{' or '.join(fitting)} would fit" if fitting else "no known skeleton has as many"
        raise DatasetError(f"{path} has {count} keypoints, {expected}: {hint}")
    if misplaced := _misplaced(names, skeleton):
        raise DatasetError(f"{path} has {misplaced}, unlike {skeleton.name}: bring its keypoints into that order")


def _misplaced(names: Iterable[str], skeleton: Skeleton) -> str:
    """Say which of a file's keypoints has another place in the skeleton; empty where all that it knows are in place."""
    for index, name in enumerate(SPELLINGS.get(name, name) for name in names):
        if name in skeleton.keypoints and skeleton.keypoints.index(name) != index:
            return f"{name} as keypoint {index}"
    return ""


def _completed(annotation: Entry, skeleton: Skeleton, path: Path) -> Entry:
    """The annotation with keypoints and a box, see :class:`CocoKeypoints`."""
    values = annotation.get("keypoints") or [0] * (3 * skeleton.num_keypoints)
    name = f"annotation {annotation.get('id', 'without id')} of image {annotation['image_id']}"
    if len(values) != 3 * skeleton.num_keypoints:
        expected = f"not 3 x {skeleton.num_keypoints}"
        raise DatasetError(f"{path}: {name} has {len(values)} keypoint values, {expected}: correct the file")
    keypoints = np.asarray(values, np.float64).reshape(-1, 3)
    box = annotation.get("bbox")
    if box is None:
        labelled = keypoints[keypoints[:, 2] > 0, :2]
        if len(labelled):
            low, high = labelled.min(axis=0), labelled.max(axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
    elif np.shape(box) != (4,):
        raise ValueError(f"its bbox {box} is not x, y, width, height")
    if not (np.isfinite(keypoints).all() and (box is None or np.isfinite(np.asarray(box, np.float64)).all())):
        raise DatasetError(f"{path}: a keypoint or the box of {name} is not a finite number: correct it")
    return {**annotation, "keypoints": keypoints.ravel().tolist(), "bbox": box}
