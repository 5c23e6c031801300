"""Reading COCO keypoint JSON (CrowdPose's has the same layout) into what training needs to know of every photo.

Photographs are not opened here: `frames` decodes them, and checks that they are what the JSON says.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.extras import require
from heatstream.models.pose.ground_truth import misplaced
from heatstream.skeletons import SKELETONS, Skeleton


@dataclass(frozen=True)
class ImageAnnotation:
    """What the JSON says about one photo of P labelled people with K joints.

    Attributes:
        path: the image file.
        size: its (height, width) in px.
        people: (P, K, 3) float64, x, y in source px and visibility 0 (unlabelled), 1 (hidden) or 2.
        boxes: (P, 4) float64, their x, y, width, height in source px.
        ignored_boxes: (R, 4) float64, people and crowds without usable labels of whom only the box is known.
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
        annotations: COCO keypoint JSON. An image with `"ignore_unknown": 1` has unlabelled people outside the boxes.
        images: folder of the photos.
        skeleton: the joints that are trained; the file's must be as many.

    Raises:
        DatasetError: the JSON or the folder is missing or damaged, or the keypoints are of another skeleton.
        MissingExtraError: a `segmentation` has to be read and pycocotools is not installed.
    """
    content = _read_json(annotations)
    if not images.is_dir():
        raise DatasetError(f"{images} is no folder, but {annotations} needs its photos there: correct `images`")
    by_image: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    where, photos = "", []
    try:
        _check_skeleton(content, annotations, skeleton)
        wanted = _category(content).get("id")  # all annotations where no category has keypoints
        for number, annotation in enumerate(content["annotations"], 1):
            where = f"annotation {number}: "
            if wanted is None or annotation.get("category_id", wanted) == wanted:
                by_image[annotation["image_id"]].append(_completed(annotation, skeleton.num_keypoints))
        pairs = []
        for number, entry in enumerate(content["images"], 1):
            where = f"image {number}: "
            if found := by_image[entry["id"]]:
                pairs.append((entry, found))
        where = ""
        known = _known_joints(pairs, annotations, skeleton.num_keypoints)
        for entry, found in pairs:
            where = f"{entry.get('file_name', entry['id'])}: "
            photos.append(_photo(entry, found, images, known, annotations))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{annotations} is not COCO keypoint JSON ({where}{what}): export it again") from error
    photos = [photo for photo in photos if len(photo.people) or not photo.boxes_only]
    if not any(len(photo.people) for photo in photos):
        raise DatasetError(f"{annotations} labels no joint of any person: there is nothing to train on")
    return photos


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} could not be read ({error.strerror}): correct `annotations`") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error}): export or download it again") from error
    missing = [key for key in ("images", "annotations") if not isinstance(content, dict) or key not in content]
    if missing:
        raise DatasetError(f"{path} has no {missing[0]!r}: give COCO keypoint JSON")
    return dict(content)


def _check_skeleton(content: dict[str, Any], path: Path, skeleton: Skeleton) -> None:
    """Compare numbers of keypoints, by the category's names or else the first annotation, and the names' order."""
    named = _category(content).get("keypoints", ())
    counts = [len(named)] if named else []
    people = [each for each in content["annotations"] or () if isinstance(each, dict)]
    counts = counts or [len(each["keypoints"]) // 3 for each in people if each.get("keypoints")][:1]
    if not counts:
        raise DatasetError(f"{path} has no keypoints: give the JSON of keypoints, not that of boxes or captions")
    if counts[0] != skeleton.num_keypoints:
        fitting = [name for name, other in SKELETONS.items() if other.num_keypoints == counts[0]]
        hint = f"set the skeleton to {' or '.join(fitting)}" if fitting else "no known skeleton has as many"
        expected = f"{skeleton.num_keypoints} of {skeleton.name} were expected"
        raise DatasetError(f"{path} labels {counts[0]} keypoints, {expected}: {hint}")
    if found := misplaced(named, skeleton):
        raise DatasetError(f"{path} has {found}, unlike {skeleton.name}: bring its keypoints into that order")


def _category(content: dict[str, Any]) -> dict[str, Any]:
    """The category with keypoints; empty where none is told."""
    return next((dict(each) for each in content.get("categories") or () if each.get("keypoints")), {})


def _completed(annotation: dict[str, Any], joints: int) -> dict[str, Any]:
    """The annotation with keypoints, none of them labelled if it has none, and a box, None if nothing tells it."""
    keypoints = annotation.get("keypoints") or [0] * (3 * joints)
    box = annotation.get("bbox")
    if box is None:
        points = [(x, y) for x, y, v in zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=False) if v > 0]
        if points:
            low, high = np.min(points, axis=0), np.max(points, axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
    return {**annotation, "keypoints": keypoints, "bbox": box}


def _known_joints(
    pairs: list[tuple[dict[str, Any], list[dict[str, Any]]]], path: Path, joints: int
) -> NDArray[np.bool_]:
    """Return (K,) bool, True for joints labelled anywhere in the set, having checked every annotation's length."""
    known = np.zeros(joints, np.bool_)
    for _, found in pairs:
        for annotation in found:
            length = len(annotation["keypoints"])
            if length != 3 * joints:
                number = annotation.get("id")
                raise DatasetError(
                    f"{path}: annotation {number} has {length} keypoint values, not 3 x {joints}: correct the file"
                )
            known |= np.array(annotation["keypoints"][2::3]) > 0
    return known


def _photo(
    entry: dict[str, Any], found: list[dict[str, Any]], images: Path, known: NDArray[np.bool_], source: Path
) -> ImageAnnotation:
    size = int(entry["height"]), int(entry["width"])
    labelled = [a for a in found if _is_labelled(a)]
    others = [a for a in found if not _is_labelled(a)]
    exact = [a["segmentation"] for a in others if a.get("segmentation")]
    people = np.array([a["keypoints"] for a in labelled], np.float64).reshape(len(labelled), len(known), 3)
    boxes = np.array([a["bbox"] for a in labelled], np.float64).reshape(-1, 4)
    unmasked = [a["bbox"] for a in others if not a.get("segmentation") and a["bbox"] is not None]
    ignored_boxes = np.array(unmasked, np.float64).reshape(-1, 4)
    if not all(np.isfinite(values).all() for values in (people, boxes, ignored_boxes)):
        raise DatasetError(f"{source}: a keypoint or box of {entry['file_name']} is not a finite number: correct it")
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


def _is_labelled(annotation: dict[str, Any]) -> bool:
    return not annotation.get("iscrowd", 0) and any(v > 0 for v in annotation["keypoints"][2::3])


def _union(segmentations: list[Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return one run-length mask that covers every polygon and run-length mask."""
    coco = require("pycocotools.mask", extra="train", purpose="reading segmentations")
    parts: list[dict[str, Any]] = []
    for segmentation in segmentations:
        if not isinstance(segmentation, list):
            counts = segmentation["counts"]
            counts = _run_lengths(counts) if isinstance(counts, str) else counts
            # pycocotools never returns from merging masks that do not cover the same pixels.
            whole = all(type(count) is int and count >= 0 for count in counts) and sum(counts) == size[0] * size[1]
            if tuple(segmentation["size"]) != size or not whole:
                raise ValueError("the run lengths of a segmentation do not cover its photo")
            segmentation = {"size": list(size), "counts": counts}
        try:
            found = coco.frPyObjects(segmentation, *size)
        except Exception as error:  # that is what pycocotools raises, without a kind
            raise ValueError(f"a segmentation is wrong: {error}") from error
        parts += found if isinstance(found, list) else [found]
    return dict(coco.merge(parts))


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
