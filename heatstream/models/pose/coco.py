"""COCO keypoint JSON (CrowdPose's has the same layout): read, checked and completed, for training and for evaluation.

Annotation tools leave out what follows from the rest; it is filled in here. Training sees what is read as
:mod:`heatstream.models.pose.annotations`, evaluation as :mod:`heatstream.models.pose.ground_truth`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from heatstream.errors import DatasetError
from heatstream.skeleton_tables import PLACEHOLDER, plain_name, skeleton_of_category
from heatstream.skeletons import SKELETONS, Skeleton

__all__ = ["CocoKeypoints", "Entry", "file_name", "malformed", "number", "read_coco", "skeleton_of", "whole_number"]

FARTHEST = 1_000_000
"""Px; no photo is as large, and what is drawn or computed of larger numbers overflows."""

Entry = dict[str, Any]
"""A JSON object of the file."""


@dataclass(frozen=True)
class CocoKeypoints:
    """What a file of labels holds.

    Attributes:
        path: of the file.
        images: the images' entries, in the order of the file; each has `id` and `file_name`.
        people: by the image's id, the annotations of the keypoints' category in the order of the file. Each has
            `keypoints`, 3 K finite numbers, all 0 where only a box is known, `iscrowd`, and `bbox`, four finite
            numbers, the box around the labelled joints where the file gives none, or None where nothing is labelled
            either.
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
    images: list[Entry] = []
    people: dict[Any, list[Entry]] = {}
    for place, image in enumerate(content["images"], 1):
        with malformed(path, f"image {place}: "):
            images.append(_checked_image(image))
            people[images[-1]["id"]] = []
    for place, annotation in enumerate(content["annotations"], 1):
        with malformed(path, f"annotation {place}: "):
            if annotation.get("category_id", category["id"]) == category["id"]:
                found = people.get(annotation["image_id"])
                if found is not None:  # a file may hold annotations of images that it leaves out
                    found.append(_completed(annotation, skeleton, path))
    return CocoKeypoints(path, tuple(images), people, {"id": category["id"], "name": category.get("name", "person")})


def skeleton_of(path: Path) -> Skeleton:
    """The layout that a file of labels describes, see :func:`heatstream.skeleton_tables.skeleton_of_category`.

    Args:
        path: COCO keypoint JSON.

    Raises:
        DatasetError: the file is missing or damaged, or has no keypoints.
    """
    content = _read_json(path)
    with malformed(path, "its category: "):
        category = _category(content)
        return skeleton_of_category(category, _count(content, category, path))


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
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path} is not COCO keypoint JSON ({where}{what}): export it again") from error


def _read_json(path: Path) -> Entry:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({(error.strerror or '').lower()}): check the path") from error
    except (ValueError, RecursionError) as error:  # the latter of lists in lists without end
        raise DatasetError(f"{path} is not JSON ({error}): export or download it again") from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{path} is not COCO keypoint JSON (it has no list {key!r}): export it again")
    lists: Entry = {}
    for word, key in (("image", "images"), ("annotation", "annotations"), ("category", "categories")):
        lists[key] = []
        found = content.get(key) or []
        if not isinstance(found, list):
            raise DatasetError(f"{path} is not COCO keypoint JSON ({key!r} is no list): export it again")
        for place, entry in enumerate(found, 1):
            with malformed(path, f"{word} {place}: "):
                lists[key].append(_without_nulls(entry))
    return lists


def _without_nulls(entry: Any) -> Entry:
    """An entry in which null is nothing, and ids that are written as texts are numbers."""
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    present = {key: value for key, value in entry.items() if value is not None}
    for key in ("id", "image_id", "category_id"):
        value = present.get(key)
        if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value, re.ASCII):
            present[key] = int(value)
    return present


def _checked_image(image: Entry) -> Entry:
    """An image's entry, whose file lies in the folder of the images."""
    file_name(image)
    sizes = {key: whole_number(image[key], key) for key in ("height", "width") if key in image}
    if not all(size > 0 for size in sizes.values()):
        raise ValueError(f"its size is {sizes}, which holds no pixels")
    return image | sizes


def file_name(image: Entry) -> str:
    """The name of an image's file, which lies in the folder of the images.

    Raises:
        KeyError: it has none.
        ValueError: it is no name, or leads out of the folder.
    """
    name = image["file_name"]
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"its file_name is {name!r}, not a name")
    if PurePosixPath(name).is_absolute() or ".." in re.split(r"[/\\]", name):
        raise ValueError(f"its file_name {name!r} leads out of the folder of the images")
    return name


def number(value: Any, name: str) -> float:
    """A finite number, which some tools write as a text.

    Raises:
        ValueError: it is none.
    """
    found = float(value) if isinstance(value, int | float | str) else float("nan")
    if not math.isfinite(found):
        raise ValueError(f"its {name} is {value!r}, not a finite number")
    return found


def whole_number(value: Any, name: str) -> int:
    """Likewise, without a fraction."""
    found = number(value, name)
    if found != int(found):
        raise ValueError(f"its {name} is {value!r}, not a whole number")
    return int(found)


def _category(content: Entry) -> Entry:
    """The category with keypoints; where none names its keypoints, that of the first annotation with keypoints."""
    categories = content["categories"]
    for category in categories:
        if category.get("keypoints"):
            named: Entry = {"id": 1} | category
            return named
    used = next((each.get("category_id", 1) for each in content["annotations"] if each.get("keypoints")), 1)
    by_id: Entry = next((dict(category) for category in categories if category.get("id") == used), {"id": used})
    return by_id


def _count(content: Entry, category: Entry, path: Path) -> int:
    """How many keypoints people have, by the category's names or else the first annotation."""
    first = next((each["keypoints"] for each in content["annotations"] if each.get("keypoints")), ())
    count = len(category.get("keypoints", ())) or len(first) // 3
    if not count:
        raise DatasetError(f"{path} has no keypoints: give the JSON of keypoints, not that of boxes or captions")
    return count


def _check_skeleton(content: Entry, category: Entry, path: Path, skeleton: Skeleton) -> None:
    """Compare how many keypoints there are, and their order.

    Raises:
        DatasetError: they are of another skeleton.
    """
    names = category.get("keypoints", ())
    count = _count(content, category, path)
    expected = f"{skeleton.name} has {skeleton.num_keypoints}"
    if count != skeleton.num_keypoints:
        fitting = [name for name, other in SKELETONS.items() if other.num_keypoints == count]
        hint = f"{' or '.join(fitting)} would fit" if fitting else "leave model.skeleton out to take the file's own"
        raise DatasetError(f"{path} has {count} keypoints, {expected}: {hint}")
    if names and (other := _differing(names, skeleton)):
        raise DatasetError(
            f"{path} has another skeleton than {skeleton.name}: its keypoints are {', '.join(other)}; "
            f"{skeleton.name} has {', '.join(skeleton.keypoints)}"
        )


def _differing(names: Sequence[Any], skeleton: Skeleton) -> list[str]:
    """The file's names where they tell of other keypoints, or of another order; empty where they do not."""
    plain = [plain_name(name) for name in names]
    if all(PLACEHOLDER.fullmatch(name) for name in plain) or plain == [plain_name(name) for name in skeleton.keypoints]:
        return []
    return [str(name) for name in names]


def _completed(annotation: Entry, skeleton: Skeleton, path: Path) -> Entry:
    """The annotation with keypoints and a box, see :class:`CocoKeypoints`."""
    values = annotation.get("keypoints") or [0] * (3 * skeleton.num_keypoints)
    name = f"annotation {annotation.get('id', 'without id')} of image {annotation['image_id']}"
    if len(values) != 3 * skeleton.num_keypoints:
        expected = f"not 3 x {skeleton.num_keypoints}"
        raise DatasetError(f"{path}: {name} has {len(values)} keypoint values, {expected}: correct the file")
    keypoints = np.asarray(values, np.float64)
    if keypoints.ndim != 1:
        raise ValueError("its keypoints are lists in a list")
    keypoints = keypoints.reshape(-1, 3)
    box = annotation.get("bbox") or None
    if box is None:
        labelled = keypoints[keypoints[:, 2] > 0, :2]
        if len(labelled):
            low, high = labelled.min(axis=0), labelled.max(axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
    elif np.shape(box) != (4,):
        raise ValueError(f"its bbox {box} is not x, y, width, height")
    places = np.concatenate([keypoints.ravel(), np.asarray([] if box is None else box, np.float64)])
    if not (np.abs(places) <= FARTHEST).all():
        raise DatasetError(
            f"{path}: a keypoint or the box of {name} is not a finite number of px up to {FARTHEST:,}: correct it"
        )
    return {
        **annotation,
        "keypoints": keypoints.ravel().tolist(),
        "bbox": None if box is None else [float(value) for value in box],
        "iscrowd": whole_number(annotation.get("iscrowd", 0), "iscrowd"),
    }
