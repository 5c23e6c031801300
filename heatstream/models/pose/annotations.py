"""What training needs to know of every photo of a file of labels.

Photographs are not opened here: `frames` decodes them, and checks that they are what the JSON says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.extras import require
from heatstream.frames import size_trouble
from heatstream.models.pose.coco import Entry, malformed, number, read_coco
from heatstream.skeletons import Skeleton

DOUBT = 0.1
"""How far around a joint that a network was not sure of nothing is learned, of the longer side of the person's box."""


@dataclass(frozen=True)
class ImageAnnotation:
    """What the JSON says about one photo of P labelled people with K joints.

    Attributes:
        path: the image file.
        size: its (height, width) in px.
        people: (P, K, 3) float64, x, y in source px and visibility 0 (unlabelled), 1 (hidden) or 2.
        boxes: (P, 4) float64, their x, y, width, height in source px.
        ignored_boxes: (R, 4) float64, people and crowds without usable labels of whom only the box is known, and
            surroundings of joints that a network has labelled and was not sure of.
        ignored_mask: the others, as one run-length mask of pycocotools in the photo's size; None without any.
        boxes_only: people outside `boxes` may be unlabelled, so nothing is learned outside them.
        known_joints: (K,) bool, False for joints that this photo's set never labels.
    """

    path: Path
    size: tuple[int, int]
    people: NDArray[np.float64]
    boxes: NDArray[np.float64]
    ignored_boxes: NDArray[np.float64]
    ignored_mask: dict[str, Any] | None
    boxes_only: bool
    known_joints: NDArray[np.bool_]


def read_photos(annotations: Path, images: Path, skeleton: Skeleton) -> list[ImageAnnotation]:
    """Read one set.

    Crowds and annotations without labelled joints become ignored regions, exact ones where they have a
    `segmentation`. Annotations of another category than that of the keypoints are passed over, and a person without
    a `bbox` gets the one around the labelled joints. Photos without any annotation are left out, as in the reference,
    and so are those in which nothing could be learned because only labelled boxes count and there is none.

    Args:
        annotations: COCO keypoint JSON. An image with `"ignore_unknown": 1` has unlabelled people outside the boxes;
            a person with `keypoint_scores` and `ignore_below` was labelled by a network.
        images: folder of the photos.
        skeleton: the joints that are trained; the file's must be as many.

    Raises:
        DatasetError: the JSON or the folder is missing or damaged, or the keypoints are of another skeleton.
        MissingExtraError: a `segmentation` has to be read and pycocotools is not installed.
    """
    labels = read_coco(annotations, skeleton)
    if not os.path.isdir(images):
        raise DatasetError(f"{images} is no folder, but {annotations} needs its photos there: correct `images`")
    entries = [entry for entry in labels.images if labels.people[entry["id"]]]
    people = [annotation for entry in entries for annotation in labels.people[entry["id"]]]
    known = np.zeros(skeleton.num_keypoints, np.bool_)
    for annotation in people:
        known |= np.array(annotation["keypoints"][2::3]) > 0
    photos = []
    for entry in entries:
        with malformed(annotations, f"{entry['file_name']}: "):
            photos.append(_photo(entry, labels.people[entry["id"]], images, known))
    photos = [photo for photo in photos if len(photo.people) or not photo.boxes_only]
    if not any(len(photo.people) for photo in photos):
        raise DatasetError(f"{annotations} labels no keypoint of anybody: there is nothing to train on")
    return photos


def _photo(entry: Entry, found: list[Entry], images: Path, known: NDArray[np.bool_]) -> ImageAnnotation:
    size = int(entry["height"]), int(entry["width"])
    doubtful = [box for a in found for box in _doubtful(a)]
    labelled = [a for a in found if _is_labelled(a)]
    others = [a for a in found if not _is_labelled(a)]
    exact = [a["segmentation"] for a in others if a.get("segmentation")]
    people = np.array([a["keypoints"] for a in labelled], np.float64).reshape(len(labelled), len(known), 3)
    boxes = np.array([a["bbox"] for a in labelled], np.float64).reshape(-1, 4)
    unmasked = [a["bbox"] for a in others if not a.get("segmentation") and a["bbox"] is not None]
    ignored_boxes = np.array([*unmasked, *doubtful], np.float64).reshape(-1, 4)
    return ImageAnnotation(
        path=images / entry["file_name"],
        size=size,
        people=people,
        boxes=boxes,
        ignored_boxes=ignored_boxes,
        ignored_mask=_union(exact, size) if exact else None,
        boxes_only=bool(entry.get("ignore_unknown", 0)),
        known_joints=known,
    )


def _doubtful(annotation: Entry) -> list[list[float]]:
    """Boxes around the joints that a network has labelled and was not sure of; they are labels no more then.

    Such an annotation says how sure it was, `keypoint_scores`, and from which score on it counts, `ignore_below`.
    """
    limit, scores = annotation.get("ignore_below"), annotation.get("keypoint_scores")
    if limit is None or scores is None:
        return []
    keypoints = annotation["keypoints"]
    if len(scores) != len(keypoints) // 3:
        raise ValueError(f"annotation {annotation.get('id')} has {len(scores)} keypoint_scores")
    reach = DOUBT * max(annotation["bbox"][2:])
    boxes = []
    for joint, score in enumerate(scores):
        x, y, visibility = keypoints[3 * joint : 3 * joint + 3]
        if visibility > 0 and number(score, "keypoint_scores") < number(limit, "ignore_below"):
            boxes.append([x - reach, y - reach, 2 * reach, 2 * reach])
            keypoints[3 * joint + 2] = 0
    return boxes


def _is_labelled(annotation: Entry) -> bool:
    return not annotation.get("iscrowd", 0) and any(v > 0 for v in annotation["keypoints"][2::3])


def _union(segmentations: list[Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return one run-length mask that covers every polygon and run-length mask."""
    coco = require("pycocotools.mask", extra="train", purpose="reading segmentations")
    if trouble := size_trouble(*size):
        raise ValueError(f"it {trouble}")
    pieces = [each for found in segmentations for each in (found if isinstance(found, list) else [found])]
    parts: list[dict[str, Any]] = []
    for piece in pieces:
        checked = _checked_runs(piece, size) if isinstance(piece, dict) else [_checked_polygon(piece, size)]
        try:
            found = coco.frPyObjects(checked, *size)
        except Exception as error:  # that is what pycocotools raises, without a kind
            raise ValueError(f"a segmentation is wrong: {error}") from error
        parts += found if isinstance(found, list) else [found]
    return dict(coco.merge(parts))


def _checked_runs(mask: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A run-length mask of the photo: pycocotools never returns from merging masks that do not cover the same px."""
    counts = _run_lengths(mask["counts"]) if isinstance(mask["counts"], str) else mask["counts"]
    whole = all(type(count) is int and count >= 0 for count in counts) and sum(counts) == size[0] * size[1]
    if tuple(mask["size"]) != size or not whole:
        raise ValueError("the run lengths of a segmentation do not cover its photo")
    return {"size": list(size), "counts": counts}


def _checked_polygon(polygon: Any, size: tuple[int, int]) -> list[float]:
    """A polygon in the photo or near it: pycocotools walks along its sides and crashes where they lead far."""
    corners = np.asarray(polygon, np.float64)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not (np.abs(corners) <= 2 * max(size)).all():
        raise ValueError("a polygon of a segmentation is not x and y of three corners or more, in or near its photo")
    return list(corners.tolist())


def _run_lengths(text: str) -> list[int]:
    """The numbers of a compressed run-length mask: groups of 5 bits from '0' on, each less the last but one's value."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - ord("0")
        value |= (bits & 0b11111) << shift
        shift += 5
        if bits & 0b100000:  # more groups of this number follow
            continue
        if bits & 0b10000:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
