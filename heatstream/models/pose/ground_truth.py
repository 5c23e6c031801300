"""The labels that an evaluation compares with: COCO or CrowdPose keypoint JSON, checked and completed.

Annotation tools leave out what the evaluators need; what follows from the rest is filled in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heatstream.errors import DatasetError
from heatstream.skeletons import Skeleton

__all__ = ["GroundTruth", "misplaced", "read_ground_truth"]

AREA_OF_BOX = 0.53
"""A person's area relative to the box where the file gives none: the rule of CrowdPose's evaluation."""

SPELLINGS = {"top_head": "head_top"}
"""Keypoints that CrowdPose's files call differently from :mod:`heatstream.skeletons`."""


@dataclass(frozen=True)
class GroundTruth:
    """The labels of some images.

    Attributes:
        path: of the file.
        content: COCO JSON with these images and their annotations alone, the latter complete, all of one category.
        category: id of the category whose keypoints these are.
        crowded: every image has a crowd index, as CrowdPose's do.
    """

    path: Path
    content: dict[str, Any]
    category: int
    crowded: bool

    @property
    def images(self) -> list[dict[str, Any]]:
        """The images' entries, by ascending id."""
        return list(self.content["images"])


def read_ground_truth(path: Path, skeleton: Skeleton, *, limit: int = 0) -> GroundTruth:
    """Read a file of labels.

    Args:
        path: COCO keypoint JSON.
        skeleton: the layout that the keypoints must have.
        limit: only the images with the lowest ids, so many; all when 0.

    Raises:
        DatasetError: the file is missing, damaged or of another skeleton, or labels nobody in these images.
    """
    content = _read_json(path)
    try:
        category = _category(content, skeleton, path)
        images = sorted(content["images"], key=lambda image: image["id"])[: limit or None]
        wanted = {image["id"] for image in images}
        people = [
            _completed(annotation, skeleton, path)
            for annotation in content["annotations"]
            if annotation["image_id"] in wanted and annotation.get("category_id", category["id"]) == category["id"]
        ]
        names = [image["file_name"] for image in images]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path} is not COCO keypoint JSON ({what}): export it again") from error
    if not any(person["num_keypoints"] and not person["iscrowd"] for person in people):
        raise DatasetError(f"{path} labels no keypoints of anybody in {len(names)} images: there is nothing to score")
    for number, person in enumerate(people, 1):  # evaluators take 0 for "no match"; ids of joined files may collide
        person.update(id=number, category_id=category["id"])
    return GroundTruth(
        path,
        {"images": images, "annotations": people, "categories": [category]},
        category["id"],
        all("crowdIndex" in image for image in images),
    )


def misplaced(names: Iterable[str], skeleton: Skeleton) -> str:
    """Say which of a file's keypoints has another place in the skeleton; empty where all that it knows are in place."""
    for index, name in enumerate(SPELLINGS.get(name, name) for name in names):
        if name in skeleton.keypoints and skeleton.keypoints.index(name) != index:
            return f"{name} as keypoint {index}"
    return ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"there are no annotations at {path}: check the path") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error}): export or download it again") from None


def _category(content: Mapping[str, Any], skeleton: Skeleton, path: Path) -> dict[str, Any]:
    """The category with keypoints, which must be those of the skeleton in its order."""
    categories = content.get("categories") or [{"id": 1, "name": "person"}]
    category = next((each for each in categories if each.get("keypoints")), categories[0])
    names = category.get("keypoints", ())
    if names and len(names) != skeleton.num_keypoints:
        raise _other_skeleton(path, f"{len(names)} keypoints", skeleton)
    if found := misplaced(names, skeleton):
        raise _other_skeleton(path, found, skeleton)
    return {"id": category["id"], "name": category.get("name", "person")}


def _completed(annotation: Mapping[str, Any], skeleton: Skeleton, path: Path) -> dict[str, Any]:
    """A person with everything that the evaluators read."""
    values = annotation.get("keypoints") or [0] * (3 * skeleton.num_keypoints)  # a box alone: nothing is labelled
    if len(values) != 3 * skeleton.num_keypoints:
        raise _other_skeleton(path, f"{len(values)} keypoint values for a person", skeleton)
    keypoints = np.asarray(values, np.float64).reshape(-1, 3)
    if not np.isfinite(keypoints).all():
        image = annotation["image_id"]
        raise DatasetError(f"{path}: a keypoint in the image with the id {image} is not a finite number: correct it")
    labelled = keypoints[keypoints[:, 2] > 0, :2]
    box = annotation.get("bbox")
    if box is None:
        low, high = (labelled.min(axis=0), labelled.max(axis=0)) if len(labelled) else (np.zeros(2), np.zeros(2))
        box = [*low.tolist(), *(high - low).tolist()]
    return {
        "image_id": annotation["image_id"],
        "keypoints": [float(value) for value in values],
        "num_keypoints": annotation.get("num_keypoints", len(labelled)),
        "bbox": box,
        "area": annotation.get("area", AREA_OF_BOX * box[2] * box[3]),
        "iscrowd": annotation.get("iscrowd", 0),
    }


def _other_skeleton(path: Path, found: str, skeleton: Skeleton) -> DatasetError:
    return DatasetError(
        f"{path} is not of the model's skeleton: it has {found}, {skeleton.name} has {skeleton.num_keypoints} "
        f"from {skeleton.keypoints[0]} to {skeleton.keypoints[-1]}; give the annotations of that skeleton"
    )
