"""The contact sheet of an evaluation: the worst and the best images, what was found over what is labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.drawing import draw_poses
from heatstream.errors import DatasetError
from heatstream.pictures import read_picture

if TYPE_CHECKING:
    from heatstream.models.landmarks.evaluation import ExampleScore
    from heatstream.models.pose.evaluation import ImageScore
    from heatstream.skeletons import Skeleton

__all__ = ["contact_sheet", "landmark_sheet"]

Scored = TypeVar("Scored")

COLUMNS = 6
TILE = 232  # px, the side of the square that an image is fitted into
CAPTION = 34  # px below it, two lines
HEADING = 26  # px above each group
BACKGROUND = 24  # grey level
TRUTH_COLOR = (255, 255, 255)
MOST_CIRCLES = 30  # landmarks of one person, of which each is circled
AROUND = 1.4  # times the longer side of its box, of a face's or body's square
TEXT = (cv2.FONT_HERSHEY_SIMPLEX, 0.4)


def contact_sheet(scores: Sequence[ImageScore], *, rows: int = 2) -> NDArray[np.uint8]:
    """Draw the images with the worst and with the best scores.

    Labelled people are thin white lines, people found are coloured, one colour each. Images without labelled people
    and without false ones have no score and are left out. The images are read again.

    Args:
        scores: of an evaluation.
        rows: of six images each, for the worst and for the best.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        DatasetError: an image is gone.
    """
    ranked = sorted((score for score in scores if score.score >= 0), key=lambda score: score.score)
    return _sheet(ranked, _tile, "images", rows)


def landmark_sheet(
    scores: Sequence[ExampleScore], skeleton: Skeleton, title: str, *, rows: int = 2
) -> NDArray[np.uint8]:
    """Draw the faces or bodies with the largest and with the smallest errors.

    Labelled landmarks are thin white lines, those found are coloured dots. The photos are read again.

    Args:
        scores: of an evaluation.
        skeleton: of the landmarks.
        title: what the error is called; "NME" is printed in per cent, anything else as it is.
        rows: of six faces each, for the worst and for the best.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        DatasetError: a photo is gone.
    """
    ranked = sorted(scores, key=lambda score: -score.error)
    return _sheet(
        ranked, lambda score: _landmark_tile(score, skeleton, title), "faces" if title == "NME" else "bodies", rows
    )


def _sheet(
    ranked: Sequence[Scored], tile: Callable[[Scored], NDArray[np.uint8]], what: str, rows: int
) -> NDArray[np.uint8]:
    """Rows of tiles, from what is ranked from the worst to the best."""
    half = min(rows * COLUMNS, -(-len(ranked) // 2))
    parts = []
    for title, group in (("worst", ranked[:half]), ("best", ranked[half:][::-1][: rows * COLUMNS])):
        parts.append(_heading(f"{title} {len(group)} of {len(ranked)} {what}; white: labelled, coloured: found"))
        for start in range(0, len(group), COLUMNS):
            row = np.full((TILE + CAPTION, COLUMNS * TILE, 3), BACKGROUND, np.uint8)
            tiles = np.concatenate([tile(score) for score in group[start : start + COLUMNS]], axis=1)
            row[:, : tiles.shape[1]] = tiles
            parts.append(row)
    return np.concatenate(parts)


def _tile(score: ImageScore) -> NDArray[np.uint8]:
    frame, _ = read_picture(score.path, upright=False, error=DatasetError)
    picture, factor = _fitted(frame)
    _draw_truth(picture, score.ground_truth * (factor, factor, 1), skeletons.get(score.poses.skeleton))
    draw_poses(picture, replace(score.poses, keypoints=score.poses.keypoints * np.float32(factor)), colors="person")
    people = len(score.ground_truth)
    return _captioned(
        picture,
        f"{score.score:.2f}  {score.path.name[-26:]}",
        f"{people - score.missed} of {people} found, {score.false} false",
    )


def _landmark_tile(score: ExampleScore, skeleton: Skeleton, title: str) -> NDArray[np.uint8]:
    example = score.example
    frame = example.read()
    left, top, right, bottom = _around(example.box, frame.shape[:2])
    picture, factor = _fitted(frame[top:bottom, left:right])
    truth, found = (((points + 0.5 - (left, top)) * factor - 0.5) for points in (example.points, score.found))
    _draw_truth(picture, np.column_stack([truth, example.visibility])[None], skeleton)
    for point, color in zip(found, skeleton.colors, strict=True):
        if np.isfinite(point).all():
            center = tuple(np.rint(np.clip(point, -TILE, 2 * TILE)).astype(int).tolist())
            cv2.circle(picture, center, 2, color, -1, cv2.LINE_AA)
    error = f"{100 * score.error:.2f} %" if title == "NME" else f"{score.error:.2f}"
    name = example.picture.name if isinstance(example.picture, Path) else example.where
    return _captioned(picture, f"{title} {error}", name[-32:])


def _around(box: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The square around a box, as far as it lies in a frame of (height, width), at least a pixel of it."""
    half = AROUND * (box[2:] - box[:2]).max() / 2
    middle = (box[:2] + box[2:]) / 2
    limits = np.array(size[::-1])
    left, top = np.clip(np.floor(middle - half), 0, limits - 1).astype(int).tolist()
    right, bottom = np.clip(np.ceil(middle + half), (left + 1, top + 1), limits).astype(int).tolist()
    return left, top, right, bottom


def _fitted(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """A copy of the frame in the size of a tile, and the factor between them."""
    factor = (TILE - 4) / max(frame.shape[:2])
    size = max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(frame, size, interpolation=how), np.uint8), factor


def _captioned(picture: NDArray[np.uint8], *lines: str) -> NDArray[np.uint8]:
    tile = np.full((TILE + CAPTION, TILE, 3), BACKGROUND, np.uint8)
    height, width = picture.shape[:2]
    top, left = (TILE - height) // 2, (TILE - width) // 2
    tile[top : top + height, left : left + width] = picture
    for number, line in enumerate(lines, 1):
        cv2.putText(tile, line, (4, TILE + 14 * number), *TEXT, (230, 230, 230), 1, cv2.LINE_AA)
    return tile


def _draw_truth(picture: NDArray[np.uint8], people: NDArray[np.float64], layout: Skeleton) -> None:
    """(P, K, 3) people as thin lines between labelled keypoints, and circles around these where they are few."""
    for person in people:
        # Labels count pixel centres from 0, as OpenCV does.
        points = [tuple(point) for point in np.rint(person[:, :2]).astype(int).tolist()]
        labelled = person[:, 2] > 0
        for first, second in layout.limbs:
            if labelled[first] and labelled[second]:
                cv2.line(picture, points[first], points[second], TRUTH_COLOR, 1, cv2.LINE_AA)
        for point in np.flatnonzero(labelled) if layout.num_keypoints <= MOST_CIRCLES else ():
            cv2.circle(picture, points[point], 2, TRUTH_COLOR, 1, cv2.LINE_AA)


def _heading(text: str) -> NDArray[np.uint8]:
    strip = np.full((HEADING, COLUMNS * TILE, 3), BACKGROUND, np.uint8)
    cv2.putText(strip, text, (4, HEADING - 8), TEXT[0], 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
