"""Average precision of bodies in boxes: COCO's keypoint evaluation of a network that looks at one person at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.kernels.reference.crops import crop_rectangles
from heatstream.models.landmarks.readers.coco import PersonBox, box_corners
from heatstream.models.pose.evaluation import Evaluation, measure
from heatstream.results import Poses
from heatstream.skeletons import Skeleton

__all__ = ["evaluate_in_boxes"]

SAME_OKS = 0.9
"""Poses of one image that are nearer to each other are one person's; as programs for COCO's boxes have it."""

FindInBoxes = Callable[[NDArray[np.uint8], NDArray[np.float64]], tuple[NDArray[np.floating], NDArray[np.floating]]]
"""From a frame (H, W, 3) uint8 BGR and boxes (N, 4) to landmarks (N, K, 2) in source px and scores (N,) 0..1."""


def evaluate_in_boxes(
    find: FindInBoxes,
    annotations: Path,
    images: Path,
    boxes: Sequence[PersonBox] | None,
    *,
    skeleton: str,
    aspect: float = 0.75,
    limit: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Find the keypoints in every box and compare them with the labels.

    A pose's score is the box's times that of its landmarks; of poses that lie on one another (OKS above 0.9) the best
    is kept.

    Args:
        find: finds the landmarks in the boxes of one frame; called from `workers` threads.
        annotations: COCO keypoint JSON.
        images: folder that its file names are relative to.
        boxes: a detector's; the labelled boxes of people with keypoints when None.
        skeleton: of what is found, and of the annotations.
        aspect: width per height of the network's input: what is cut out of the image has it, and the size of that is
            what the published programs measure two poses' distance by.
        limit: only the images with the lowest ids, so many; all when 0.
        workers: how many images to work on at once.
        progress: called after each image with how many are done and how many there are.

    Raises:
        DatasetError: annotations or images are missing, damaged or do not belong together.
        InputError: the skeleton has no OKS, or `workers` is not positive.
        MissingExtraError: faster-coco-eval is not installed.
    """
    layout = skeletons.get(skeleton)
    detected: defaultdict[int, list[PersonBox]] = defaultdict(list)
    for box in boxes or ():
        detected[box.image_id].append(box)

    def find_people(frame: NDArray[np.uint8], image_id: int, labelled: list[dict[str, Any]]) -> Poses:
        if boxes is None:
            places = _boxes_of(labelled)
            certainty = np.ones(len(places))
        else:
            here = detected.get(image_id, ())
            places = np.array([box.box for box in here]).reshape(-1, 4)
            certainty = np.array([box.score for box in here])
        if not len(places):
            return Poses.empty(skeleton)
        keypoints, scores = find(frame, places)
        return _best(
            np.asarray(keypoints, np.float64), certainty * scores, crop_rectangles(places, aspect=aspect), layout
        )

    return measure(find_people, annotations, images, skeleton=skeleton, limit=limit, workers=workers, progress=progress)


def _boxes_of(people: list[dict[str, Any]]) -> NDArray[np.float64]:
    """(N, 4) the boxes of those whose keypoints are labelled."""
    boxes = [person["bbox"] for person in people if person["num_keypoints"] and not person["iscrowd"]]
    corners = [box_corners(np.array(box, np.float64)) for box in boxes if box[2] > 0 and box[3] > 0]
    return np.array(corners).reshape(-1, 4)


def _best(
    keypoints: NDArray[np.float64], scores: NDArray[np.float64], crops: NDArray[np.float64], skeleton: Skeleton
) -> Poses:
    """The poses, from the best to the worst, without those that lie on a better one; ``crops`` are their rectangles."""
    areas = (crops[:, 2:] - crops[:, :2]).prod(axis=1)
    variances = (2 * np.array(skeleton.sigmas)) ** 2
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        squares = ((keypoints[kept] - keypoints[index]) ** 2).sum(axis=2)
        mean_areas = (areas[kept] + areas[index])[:, None] / 2
        if not (np.exp(-squares / (2 * variances * mean_areas)).mean(axis=1) > SAME_OKS).any():
            kept.append(index)
    found = np.array(scores[kept], np.float32)
    return Poses(
        keypoints[kept].astype(np.float32),
        np.repeat(found[:, None], skeleton.num_keypoints, axis=1),
        found,
        skeleton.name,
    )
