"""How good a network is: average precision on a set of labelled images, and a score for every image.

The protocols are COCO's keypoint evaluation and CrowdPose's (Li et al. 2019), both as faster-coco-eval implements
them: detections are matched to people by object keypoint similarity (OKS), at most 20 per image, and precision is
averaged over the OKS thresholds 0.50, 0.55 ... 0.95. CrowdPose's three groups of images are divided at the crowd
indices 0.2 and 0.8, as its published program does (its paper says 0.1 and 0.8).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream import skeletons
from heatstream.errors import DatasetError, InputError
from heatstream.extras import require
from heatstream.models.parallel_map import in_order
from heatstream.models.pose.ground_truth import GroundTruth, read_ground_truth
from heatstream.pictures import read_picture
from heatstream.results import Poses
from heatstream.skeletons import Skeleton

__all__ = ["Evaluation", "ImageScore", "check_labels", "evaluate", "measure"]

FOUND_OKS = 0.5
"""A person counts as found from this similarity on: the loosest threshold of the protocol."""

CROWD_BANDS = {"AP(E)": (-np.inf, 0.2), "AP(M)": (0.2, 0.8), "AP(H)": (0.8, np.inf)}
"""Crowd indices of CrowdPose's easy, medium and hard images, the lower end included."""

METRICS = ("AP", "AP50", "AP75", "AP(M)", "AP(L)", "AR", "AR50", "AR75", "AR(M)", "AR(L)")
"""In the order in which faster-coco-eval gives them."""

Find = Callable[[NDArray[np.uint8]], Poses]

FindIn = Callable[[NDArray[np.uint8], int, list[dict[str, Any]]], Poses]
"""From a frame, its id, and what is labelled in it."""


@dataclass(frozen=True, eq=False)
class ImageScore:
    """What was found in one image.

    Attributes:
        path: of the image.
        image_id: its id in the annotations.
        truth: (P, K, 3) float64, the labelled people: x, y in px and visibility.
        poses: the people found.
        oks: (P,) float64, for each labelled person the similarity of the pose that stands for it, 0 without one.
        false: how many poses match no person, not even a crowd or a person without labelled keypoints.
    """

    path: Path
    image_id: int
    ground_truth: NDArray[np.float64]
    poses: Poses
    oks: NDArray[np.float64]
    false: int

    @property
    def score(self) -> float:
        """Mean similarity in 0..1 over the labelled people and the false poses, which count as 0; NaN for none."""
        count = len(self.oks) + self.false
        return float(self.oks.sum() / count) if count else float("nan")

    @property
    def missed(self) -> int:
        """The number of labelled people that no pose matches."""
        return int((self.oks < FOUND_OKS).sum())


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation came to.

    Attributes:
        metrics: by name in per cent, NaN where there is nothing to measure: AP, AP50, AP75, AP(M), AP(L), AR, AR50,
            AR75, AR(M), AR(L) by size of person; for CrowdPose AP, AP50, AP75, AR, AR50, AR75 and AP(E), AP(M),
            AP(H) of easy, medium and hard images.
        images: every image, by ascending id.
        seconds: that reading the images and finding the people took.
    """

    metrics: Mapping[str, float]
    images: tuple[ImageScore, ...]
    seconds: float


def evaluate(
    find: Find,
    annotations: Path,
    images: Path,
    *,
    skeleton: str,
    limit: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Find people in every image of a set and compare them with the labels.

    Images are read while others are worked on, and none is kept.

    Args:
        find: finds the people in a frame, (H, W, 3) uint8 BGR, in px of that frame; called from `workers` threads.
        annotations: COCO or CrowdPose keypoint JSON.
        images: folder that its file names are relative to.
        skeleton: of the poses, and of the annotations.
        limit: only the images with the lowest ids, so many; all when 0.
        workers: how many images to work on at once.
        progress: called after each image with how many are done and how many there are.

    Raises:
        DatasetError: annotations or images are missing, damaged or do not belong together.
        InputError: the skeleton has no OKS, or ``workers`` is not positive.
        MissingExtraError: faster-coco-eval is not installed.
    """
    return measure(
        lambda frame, image_id, labelled: find(frame),
        annotations,
        images,
        skeleton=skeleton,
        limit=limit,
        workers=workers,
        progress=progress,
    )


def measure(
    find: FindIn,
    annotations: Path,
    images: Path,
    *,
    skeleton: str,
    limit: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """:func:`evaluate` for what has to know which image it looks at."""
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    library, layout, ground_truth = _labels(annotations, images, skeleton=skeleton, limit=limit)

    people = _by_image(ground_truth)

    def work(entry: Mapping[str, Any]) -> Poses:
        return find(_read_image(images, entry), entry["id"], people[entry["id"]])

    start = time.perf_counter()
    found: list[Poses] = []
    for poses in in_order(work, ground_truth.images, workers):
        found.append(poses)
        if progress is not None:
            progress(len(found), len(ground_truth.images))
    seconds = time.perf_counter() - start

    evaluator = _evaluator(library, ground_truth, found, layout)
    scores = _image_scores(evaluator, ground_truth, found, images)
    return Evaluation(_metrics(evaluator, ground_truth), scores, seconds)


def check_labels(annotations: Path, images: Path, *, skeleton: str, limit: int = 0) -> None:
    """Raise what :func:`evaluate` would raise, short of opening the images: before hours of training, not after."""
    _, _, ground_truth = _labels(annotations, images, skeleton=skeleton, limit=limit)
    for entry in ground_truth.images:
        _image_path(images, entry)


def _labels(annotations: Path, images: Path, *, skeleton: str, limit: int) -> tuple[Any, Skeleton, GroundTruth]:
    """The evaluator's library, the skeleton, and the labels."""
    layout = skeletons.get(skeleton)
    if layout.sigmas is None:
        raise InputError(f"{skeleton} has no object keypoint similarity, so there is no AP for it")
    library = require("faster_coco_eval", extra="eval", purpose="scoring people")
    ground_truth = read_ground_truth(annotations, layout, limit=limit)
    if not os.path.isdir(images):
        raise DatasetError(f"{images} is not a folder: give the one that the file names of {annotations} start from")
    return library, layout, ground_truth


def _read_image(folder: Path, entry: Mapping[str, Any]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, as stored: labels are made on unturned pixels, whatever EXIF says."""
    path = _image_path(folder, entry)
    frame, _ = read_picture(path, upright=False, error=DatasetError)
    size = entry.get("height", frame.shape[0]), entry.get("width", frame.shape[1])
    if frame.shape[:2] != size:
        raise DatasetError(
            f"{path} is {frame.shape[1]}x{frame.shape[0]} px and was labelled at {size[1]}x{size[0]}: "
            "get the images that belong to the annotations"
        )
    return frame


def _image_path(folder: Path, entry: Mapping[str, Any]) -> Path:
    path = folder / str(entry["file_name"])
    if not os.path.isfile(path):
        raise DatasetError(f"the image {path} is missing: check the folder, or complete the set")
    return path


def _evaluator(library: Any, ground_truth: GroundTruth, found: list[Poses], skeleton: Skeleton) -> Any:
    """faster-coco-eval's evaluator, with every pose compared to every person."""
    results = [
        person
        for entry, poses in zip(ground_truth.images, found, strict=True)
        for person in poses.to_coco(image_id=entry["id"], category_id=ground_truth.category)
    ]
    labels = library.COCO(ground_truth.content)
    evaluator = library.COCOeval_faster(
        labels,
        labels.loadRes(results),
        "keypoints",  # "keypoints_crowd" differs only in its summary, which would take images that a limit left out
        kpt_oks_sigmas=list(skeleton.sigmas or ()),
        print_function=_say_nothing,
        use_area=not ground_truth.crowded,
    )
    evaluator.params.imgIds = [entry["id"] for entry in ground_truth.images]
    evaluator.params.catIds = [ground_truth.category]
    evaluator.evaluate()
    return evaluator


def _metrics(evaluator: Any, ground_truth: GroundTruth) -> dict[str, float]:
    metrics = _summary(evaluator)
    if not ground_truth.crowded:
        return metrics
    metrics = {name: value for name, value in metrics.items() if not name.endswith(("(M)", "(L)"))}
    for name, (low, high) in CROWD_BANDS.items():
        evaluator.params.imgIds = [entry["id"] for entry in ground_truth.images if low <= entry["crowdIndex"] < high]
        if evaluator.params.imgIds:
            evaluator.evaluate()
            metrics[name] = _summary(evaluator)["AP"]
        else:
            metrics[name] = float("nan")
    return metrics


def _summary(evaluator: Any) -> dict[str, float]:
    evaluator.accumulate()
    evaluator.summarize()
    return {name: _percent(value) for name, value in zip(METRICS, evaluator.all_stats, strict=True)}


def _percent(value: float) -> float:
    return 100 * float(value) if value >= 0 else float("nan")


def _say_nothing(*_: object) -> None:
    """What the evaluator prints would stand between our own lines."""


def _image_scores(
    evaluator: Any, ground_truth: GroundTruth, found: list[Poses], folder: Path
) -> tuple[ImageScore, ...]:
    people = _by_image(ground_truth)
    scores = []
    for entry, poses in zip(ground_truth.images, found, strict=True):
        labelled = np.array(
            [person["num_keypoints"] > 0 and not person["iscrowd"] for person in people[entry["id"]]], bool
        )
        values = [person["keypoints"] for person in people[entry["id"]]]
        keypoints = np.array(values, np.float64).reshape(len(values), poses.keypoints.shape[1], 3)
        similarity = np.asarray(evaluator.ious[entry["id"], ground_truth.category], np.float64)
        similarity = similarity.reshape(-1, len(values)) if similarity.size else np.zeros((len(poses), len(values)))
        oks, false = _matched(similarity, labelled)
        scores.append(ImageScore(folder / entry["file_name"], entry["id"], keypoints[labelled], poses, oks, false))
    return tuple(scores)


def _by_image(ground_truth: GroundTruth) -> dict[int, list[dict[str, Any]]]:
    """The annotations of every image, by its id."""
    people: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in ground_truth.images}
    for person in ground_truth.content["annotations"]:
        people[person["image_id"]].append(person)
    return people


def _matched(similarity: NDArray[np.float64], labelled: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """The best assignment of poses to labelled people, and how many poses match no person at all.

    Args:
        similarity: (poses, annotations) OKS.
        labelled: (annotations,) False for crowds and for people without labelled keypoints.
    """
    candidates = similarity[:, labelled]
    oks = np.zeros(candidates.shape[1])
    rows, columns = linear_sum_assignment(candidates, maximize=True)
    oks[columns] = candidates[rows, columns]
    for_somebody = set(rows[candidates[rows, columns] >= FOUND_OKS].tolist())
    for_somebody.update(np.flatnonzero((similarity[:, ~labelled] >= FOUND_OKS).any(axis=1)).tolist())
    return oks, len(similarity) - len(for_somebody)
