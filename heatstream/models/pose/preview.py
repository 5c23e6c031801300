"""A batch as one human-readable picture: are the labels on the bodies, is the loss masked where it should be?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.models.pose.dataset import Sample
from heatstream.models.pose.targets import gaussian_heatmaps
from heatstream.skeletons import Skeleton

COLUMNS = 4
SIGMA_MAP_PX = 2.0
HEAT_BGR = (60, 60, 255)
DIMMED = 0.3
"""What is left of the light where nothing is learned."""


def draw_batch(batch: Any, skeleton: Skeleton, *, limit: int = 16) -> NDArray[np.uint8]:
    """Return the first samples of a batch side by side.

    Each window shows its people as skeletons, hidden joints as rings; the heatmaps of 1/2 as a red glow; places
    without loss darkened; and below, the joints that are not learned from it.

    Args:
        batch: a collated `Sample`, of arrays or of tensors on the CPU.
        skeleton: its limbs and colours are drawn.
        limit: show at most so many samples.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    fields: list[Any] = [np.asarray(field)[:limit] for field in batch]
    return for_throughput([_window(Sample(*sample), skeleton) for sample in zip(*fields, strict=True)])


def for_throughput(windows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures of one size, at least one, in rows of four."""
    columns = min(COLUMNS, len(windows))
    rows = math.ceil(len(windows) / columns)
    filled = [*windows, *[np.zeros_like(windows[0])] * (rows * columns - len(windows))]
    return np.vstack([np.hstack(filled[row * columns : (row + 1) * columns]) for row in range(rows)])


def _window(sample: Sample, skeleton: Skeleton) -> NDArray[np.uint8]:
    size = len(sample.image)
    picture = sample.image[:, :, ::-1].astype(np.float32)
    light = np.where(sample.region > 0, np.float32(1), np.float32(DIMMED))
    picture *= cv2.resize(light, (size, size), interpolation=cv2.INTER_NEAREST)[:, :, None]
    half = sample.people * np.array((0.5, 0.5, 1))
    heat = gaussian_heatmaps(half, (size // 2, size // 2), SIGMA_MAP_PX)[sample.labelled > 0].max(axis=0, initial=0)
    heat = 0.6 * cv2.resize(heat, (size, size))[:, :, None]
    result = (picture * (1 - heat) + np.array(HEAT_BGR, np.float32) * heat).astype(np.uint8)
    for person in sample.people:
        _draw_person(result, person, skeleton)
    return _with_caption(result, sample, skeleton)


def _draw_person(picture: NDArray[np.uint8], person: NDArray[np.float32], skeleton: Skeleton) -> None:
    points = [(int(x), int(y)) for x, y, _ in person]
    labelled = person[:, 2] > 0
    for first, second in skeleton.limbs:
        if labelled[first] and labelled[second]:
            cv2.line(picture, points[first], points[second], skeleton.colors[second], 1, cv2.LINE_AA)
    for joint in np.flatnonzero(labelled):
        filled = cv2.FILLED if person[joint, 2] > 1 else 1
        cv2.circle(picture, points[joint], 2, skeleton.colors[joint], filled, cv2.LINE_AA)


def _with_caption(picture: NDArray[np.uint8], sample: Sample, skeleton: Skeleton) -> NDArray[np.uint8]:
    unknown = [name for name, labelled in zip(skeleton.keypoints, sample.labelled, strict=True) if not labelled]
    text = f"{int(sample.index)}" + (f" without {', '.join(unknown)}" if unknown else "")
    strip = np.full((14, picture.shape[1], 3), 32, np.uint8)
    cv2.putText(strip, text, (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack((picture, strip))
