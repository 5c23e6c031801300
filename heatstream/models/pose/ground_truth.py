"""The labels that an evaluation compares with, with everything that the evaluators read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heatstream.errors import DatasetError
from heatstream.models.pose.coco import Entry, malformed, number, read_coco, whole_number
from heatstream.skeletons import Skeleton

__all__ = ["GroundTruth", "read_ground_truth"]

AREA_OF_BOX = 0.53
"""A person's area relative to the box where the file gives none: the rule of CrowdPose's evaluation."""


@dataclass(frozen=True)
class GroundTruth:
    """The labels of some images.

    Attributes:
        path: of the file.
        content: COCO JSON with only these images and their annotations, which are complete and all of one category.
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
    labels = read_coco(path, skeleton)
    with malformed(path):
        images = _by_id(labels.images)[: limit or None]
        people = [
            {"image_id": image["id"]} | _person(annotation)
            for original, image in images
            for annotation in labels.people[original]
        ]
    if not any(person["num_keypoints"] and not person["iscrowd"] for person in people):
        raise DatasetError(f"{path} labels no keypoint of anybody in {len(images)} images: there is nothing to score")
    for place, person in enumerate(people, 1):  # evaluators take 0 for "no match"; ids of joined files may collide
        person.update(id=place, category_id=labels.category["id"])
    return GroundTruth(
        path,
        {"images": [image for _, image in images], "annotations": people, "categories": [labels.category]},
        labels.category["id"],
        all("crowdIndex" in image for _, image in images),
    )


def _person(annotation: Entry) -> Entry:
    """A person with everything that the evaluators read."""
    keypoints = annotation["keypoints"]
    box = annotation["bbox"] or [0.0, 0.0, 0.0, 0.0]
    labelled = sum(visibility > 0 for visibility in keypoints[2::3])
    return {
        "keypoints": keypoints,
        "num_keypoints": whole_number(annotation.get("num_keypoints", labelled), "num_keypoints"),
        "bbox": box,
        "area": number(annotation.get("area", AREA_OF_BOX * box[2] * box[3]), "area"),
        "iscrowd": annotation["iscrowd"],
    }


def _by_id(images: tuple[Entry, ...]) -> list[tuple[Any, Entry]]:
    """The images by ascending id; evaluators take whole numbers alone, so other ids are counted instead."""
    if all(type(image["id"]) is int for image in images):
        ordered = sorted(images, key=lambda image: int(image["id"]))
        return [(image["id"], image) for image in ordered]
    return [(image["id"], image | {"id": place}) for place, image in enumerate(images, 1)]
