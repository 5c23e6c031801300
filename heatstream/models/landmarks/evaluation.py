"""How far from where they should be a network finds the landmarks of labelled faces and bodies.

Each is looked at in the box that its set gives; :mod:`heatstream.models.landmarks.metrics` holds the formulas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError, InputError
from heatstream.models.landmarks.metrics import LandmarkScores, face_lengths, nme, pckh, scores
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.parallel_map import in_order
from heatstream.models.settings import Norm
from heatstream.skeletons import MPII_16, Skeleton

__all__ = [
    "BodyEvaluation",
    "ExampleScore",
    "LandmarkEvaluation",
    "evaluate_bodies",
    "evaluate_landmarks",
    "find_landmarks",
]

PCKH_THRESHOLDS = (0.5, 0.1)

Find = Callable[[NDArray[np.uint8], NDArray[np.float64]], NDArray[np.floating]]
"""From a frame (H, W, 3) uint8 BGR and boxes (N, 4), as Example.box has them, to landmarks (N, L, 2) in source px."""


@dataclass(frozen=True, eq=False)
class ExampleScore:
    """What was found in one box.

    Attributes:
        example: the face or body, and its true landmarks.
        found: (L, 2) float64, source px.
        error: the normalised mean error, a fraction; infinite where a landmark was not found.
    """

    example: LandmarkAnnotation
    found: NDArray[np.float64]
    error: float


@dataclass(frozen=True, eq=False)
class LandmarkEvaluation:
    """What an evaluation came to.

    Attributes:
        scores: of the whole set and of its subsets, in per cent.
        faces: every face, in the order of the examples.
        norm: what the errors were divided by.
        seconds: that reading the photos and finding the landmarks took.
    """

    scores: LandmarkScores
    faces: tuple[ExampleScore, ...]
    norm: Norm
    seconds: float

    @property
    def errors(self) -> NDArray[np.float64]:
        """(N,) the faces' errors, fractions."""
        return np.array([face.error for face in self.faces])


def evaluate_landmarks(
    find: Find,
    examples: Sequence[LandmarkAnnotation],
    skeleton: Skeleton,
    *,
    norm: Norm = "inter-ocular",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> LandmarkEvaluation:
    """Find the landmarks of labelled faces and compare them with the labels.

    Points that are labelled count, hidden ones too.

    Args:
        find: finds the landmarks of the boxes of one frame; called from `workers` threads.
        examples: the faces.
        skeleton: of the examples and of what is found.
        norm: what errors are divided by. With "box" it is the length that the set gives of a face, or else the side
            of the square of its box's area.
        workers: how many faces to work on at once.
        progress: called after each face with how many are done and how many there are.

    Raises:
        DatasetError: a photo is missing or damaged, or a face has no labelled landmark.
        InputError: there are no examples, they are of another skeleton, or a face has no such length.
    """
    _check(examples, skeleton)
    lengths = np.array([_length(example, skeleton, norm) for example in examples])
    start = time.perf_counter()
    found = find_landmarks(find, examples, workers=workers, progress=progress)
    seconds = time.perf_counter() - start
    ground_truth = np.stack([example.points for example in examples])
    labelled = np.stack([example.visibility > 0 for example in examples])
    errors = nme(found, ground_truth, lengths, labelled)
    faces = tuple(map(ExampleScore, examples, found, errors.tolist()))
    return LandmarkEvaluation(scores(errors, [example.subsets for example in examples]), faces, norm, seconds)


@dataclass(frozen=True, eq=False)
class BodyEvaluation:
    """What an evaluation of MPII's bodies came to.

    Attributes:
        pckh: by threshold, a share of the head, the table of :func:`heatstream.models.landmarks.metrics.pckh`.
        bodies: every body, in the order of the examples; errors are divided by the head's length.
        seconds: that reading the photos and finding the joints took.
    """

    pckh: Mapping[float, Mapping[str, float]]
    bodies: tuple[ExampleScore, ...]
    seconds: float


def evaluate_bodies(
    find: Find,
    examples: Sequence[LandmarkAnnotation],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> BodyEvaluation:
    """Find the joints of MPII's people in their boxes and compare them with the labels; arguments as above.

    Raises:
        DatasetError: a photo is missing or damaged, or no head size is known.
        InputError: there are no examples, or they are of another skeleton.
    """
    _check(examples, MPII_16)
    for example in examples:
        if example.length is None:
            raise DatasetError(f"{example.where} has no head to measure by: read the set with its gt_valid.mat")
    heads = np.array([example.length for example in examples], np.float64)
    start = time.perf_counter()
    found = find_landmarks(find, examples, workers=workers, progress=progress)
    seconds = time.perf_counter() - start
    ground_truth = np.stack([example.points for example in examples])
    labelled = np.stack([example.visibility > 0 for example in examples])
    errors = nme(found, ground_truth, heads, labelled)
    return BodyEvaluation(
        {threshold: pckh(found, ground_truth, labelled, heads, threshold) for threshold in PCKH_THRESHOLDS},
        tuple(map(ExampleScore, examples, found, errors.tolist())),
        seconds,
    )


def find_landmarks(
    find: Find,
    examples: Sequence[LandmarkAnnotation],
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """The (N, L, 2) landmarks that are found in the examples' boxes, in source px; arguments as above.

    Raises:
        DatasetError: a photo is missing or damaged.
        InputError: `find` gives another number of landmarks than an example has, or `workers` is not positive.
    """
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    found = []
    for example, points in zip(
        examples, in_order(lambda example: find(example.read(), example.box[None]), examples, workers), strict=True
    ):
        if points.shape != (1, *example.points.shape):
            raise InputError(f"landmarks of shape {points.shape} were found, {(1, *example.points.shape)} expected")
        found.append(np.asarray(points[0], np.float64))
        if progress is not None:
            progress(len(found), len(examples))
    return np.stack(found)


def _check(examples: Sequence[LandmarkAnnotation], skeleton: Skeleton) -> None:
    if not examples:
        raise InputError("there is no face to measure: give a part of the set that has some")
    for example in examples:
        if len(example.points) != skeleton.num_keypoints:
            raise InputError(
                f"{example.where} has {len(example.points)} landmarks, {skeleton.name} {skeleton.num_keypoints}: "
                "use the skeleton of the set"
            )
        if not (example.visibility > 0).any():
            raise DatasetError(f"{example.where} has no labelled landmark: leave the face out")


def _length(example: LandmarkAnnotation, skeleton: Skeleton, norm: Norm) -> float:
    if norm == "box" and example.length is not None:
        return example.length
    try:
        return float(face_lengths(example.points[None], skeleton, norm, example.box[None])[0])
    except InputError as error:
        raise InputError(f"{example.where}: {error}") from None
