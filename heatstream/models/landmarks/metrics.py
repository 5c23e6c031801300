"""How far landmarks lie from where they should: NME, failure rate, AUC and the curve behind them; PCKh for bodies.

Errors are distances divided by a length of the face or body: between the outer corners of the eyes
(inter-ocular), between the pupils, or the side of the square of the box's area, as each dataset's papers have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.skeletons import MPII_16, Skeleton

__all__ = ["LandmarkScores", "Norm", "auc", "face_lengths", "failure_rate", "nme", "pckh", "scores"]

Norm = Literal["inter-ocular", "inter-pupil", "box"]

THRESHOLDS = (0.08, 0.10)
"""Errors above these count as failures; the area is taken up to them."""

EYE_CORNERS = ("right_eye_outer", "left_eye_outer")

PCKH_GROUPS: Mapping[str, tuple[str, ...]] = {
    "head": ("head_top",),
    "shoulder": ("left_shoulder", "right_shoulder"),
    "elbow": ("left_elbow", "right_elbow"),
    "wrist": ("left_wrist", "right_wrist"),
    "hip": ("left_hip", "right_hip"),
    "knee": ("left_knee", "right_knee"),
    "ankle": ("left_ankle", "right_ankle"),
}
"""MPII's table, as the programs that share its JSON print it."""

PCKH_LEFT_OUT = ("pelvis", "thorax")
"""Joints that are not in the mean either."""


@dataclass(frozen=True)
class LandmarkScores:
    """What is reported of a set or subset, all in per cent.

    Attributes:
        count: how many examples.
        nme: mean error.
        failure_rate: share of examples with an error above each threshold.
        auc: area under the cumulative curve up to each threshold, 100 for no error at all.
        subsets: the same of every subset.
    """

    count: int
    nme: float
    failure_rate: Mapping[float, float]
    auc: Mapping[float, float]
    subsets: Mapping[str, LandmarkScores] = field(default_factory=dict)


def face_lengths(
    points: NDArray[np.floating],
    skeleton: Skeleton,
    norm: Norm = "inter-ocular",
    boxes: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """The length of every face that its errors are divided by.

    Args:
        points: (N, L, 2) true landmarks in px.
        skeleton: their layout.
        norm: "inter-ocular", between the outer corners of the eyes; "inter-pupil", between the pupils, or where the
            layout has none, between the means of the points around each eye; "box".
        boxes: (N, 4), x and y of the first and of the last pixel, for "box"; those of the points when left out.

    Returns:
        (N,) float64 px.

    Raises:
        InputError: the layout has no eyes, or a length is not positive.
    """
    points = np.asarray(points, np.float64)
    if norm == "box":
        corners = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1) if boxes is None else boxes
        sides = np.asarray(corners[:, 2:] - corners[:, :2], np.float64)
        lengths = np.sqrt(np.maximum(sides, 0).prod(axis=1))
    else:
        right, left = (points[:, indices].mean(axis=1) for indices in _eyes(skeleton, norm))
        lengths = np.linalg.norm(right - left, axis=1)
    if not (lengths > 0).all():
        raise InputError(f"face {int(np.argmin(lengths > 0))} has no {norm} length: leave it out or use another norm")
    return np.asarray(lengths, np.float64)


def nme(
    found: NDArray[np.floating],
    truth: NDArray[np.floating],
    lengths: NDArray[np.floating],
    labelled: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """The normalised mean error of every example.

    Args:
        found: (N, L, 2) px.
        truth: (N, L, 2) px.
        lengths: (N,) px.
        labelled: (N, L), False for landmarks that do not count; all count when left out.

    Returns:
        (N,) float64, as a fraction; infinite where a landmark that counts was not found (NaN).

    Raises:
        InputError: shapes disagree, or an example has no landmark that counts.
    """
    distances = _distances(found, truth)
    counted = np.ones(distances.shape, np.bool_) if labelled is None else np.asarray(labelled, np.bool_)
    if counted.shape != distances.shape or np.shape(lengths) != distances.shape[:1]:
        raise InputError(f"{distances.shape} landmarks with {counted.shape} flags and {np.shape(lengths)} lengths")
    numbers = counted.sum(axis=1)
    if not (numbers > 0).all():
        raise InputError(f"example {int(np.argmin(numbers > 0))} has no labelled landmark: leave it out")
    means = np.where(counted, np.where(np.isnan(distances), np.inf, distances), 0).sum(axis=1) / numbers
    return np.asarray(means / np.asarray(lengths, np.float64))


def failure_rate(errors: NDArray[np.floating], threshold: float) -> float:
    """Share of errors above the threshold, 0..1; both fractions."""
    return float(np.mean(np.asarray(errors) > threshold))


def auc(errors: NDArray[np.floating], threshold: float) -> float:
    """Area under the cumulative distribution of errors from 0 to the threshold, over the threshold; 0..1.

    The exact area, which sums over a fine grid approach.
    """
    return float(np.clip(threshold - np.asarray(errors, np.float64), 0, None).mean() / threshold)


def scores(errors: NDArray[np.floating], subsets: Sequence[Sequence[str]] = ()) -> LandmarkScores:
    """What is reported of a set, and of each of its subsets in the order of their names.

    Args:
        errors: (N,) of :func:`nme`.
        subsets: names of every example's subsets; of none when left out.

    Raises:
        InputError: there are no errors, or not as many as lists of subsets.
    """
    errors = np.asarray(errors, np.float64)
    if errors.size == 0 or (len(subsets) not in (0, len(errors))):
        raise InputError(f"{len(errors)} errors and {len(subsets)} lists of subsets cannot be summed up")
    names = sorted({name for belongs in subsets for name in belongs})
    parts = {name: errors[[name in belongs for belongs in subsets]] for name in names}
    return LandmarkScores(
        count=len(errors),
        nme=100 * float(errors.mean()),
        failure_rate={limit: 100 * failure_rate(errors, limit) for limit in THRESHOLDS},
        auc={limit: 100 * auc(errors, limit) for limit in THRESHOLDS},
        subsets={name: scores(part) for name, part in parts.items()},
    )


def pckh(
    found: NDArray[np.floating],
    truth: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    heads: NDArray[np.floating],
    threshold: float = 0.5,
) -> dict[str, float]:
    """Per cent of MPII's joints nearer to the truth than a share of the head (Andriluka et al. 2014).

    Args:
        found: (N, 16, 2) px.
        truth: (N, 16, 2) px.
        labelled: (N, 16), False for joints that do not count.
        heads: (N,) px, see :func:`heatstream.models.landmarks.readers.read_mpii_heads`.
        threshold: share of the head, 0.5 or 0.1.

    Returns:
        "head", "shoulder", ... "ankle", each the mean of its joints, and "mean" over all joints that count but
        pelvis and thorax. NaN where no joint is labelled.

    Raises:
        InputError: shapes disagree.
    """
    distances = _distances(found, truth)
    counted = np.asarray(labelled, np.bool_)
    if distances.shape[1:] != (MPII_16.num_keypoints,) or counted.shape != distances.shape:
        raise InputError(f"PCKh takes (N, 16) joints, got {distances.shape} with {counted.shape} flags")
    hits = (distances / np.asarray(heads, np.float64)[:, None] <= threshold) & counted  # NaN compares false
    right, total = hits.sum(axis=0), counted.sum(axis=0)
    rates = np.full(len(total), np.nan)
    np.divide(100 * right, total, out=rates, where=total > 0)
    members = {group: [MPII_16.keypoints.index(name) for name in names] for group, names in PCKH_GROUPS.items()}
    table = {group: float(rates[indices].mean()) for group, indices in members.items()}
    used = [index for index, name in enumerate(MPII_16.keypoints) if name not in PCKH_LEFT_OUT]
    table["mean"] = 100 * float(right[used].sum() / total[used].sum()) if total[used].any() else float("nan")
    return table


def _distances(found: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, L) px."""
    found, truth = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if found.shape != truth.shape or found.ndim != 3 or found.shape[2] != 2:
        raise InputError(f"landmarks must be (N, L, 2) and as many as true ones, got {found.shape} and {truth.shape}")
    return np.asarray(np.linalg.norm(found - truth, axis=2))


def _eyes(skeleton: Skeleton, norm: Norm) -> tuple[list[int], list[int]]:
    """Indices of the points whose mean stands for the right and for the left eye."""
    names = skeleton.keypoints
    sides = []
    for side, corner in zip(("right", "left"), EYE_CORNERS, strict=True):
        wanted = [corner] if norm == "inter-ocular" else [f"{side}_pupil"]
        if norm == "inter-pupil" and wanted[0] not in names:
            wanted = [name for name in names if name.startswith(f"{side}_eye_")]
        if not wanted or not set(wanted) <= set(names):
            raise InputError(f"{skeleton.name} has no eyes to measure the {norm} distance between: use the norm 'box'")
        sides.append([names.index(name) for name in wanted])
    return sides[0], sides[1]
