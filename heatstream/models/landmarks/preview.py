"""A batch of landmark samples as one human-readable picture: do the labels lie on the faces?"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.models.pose.preview import for_throughput
from heatstream.skeletons import Skeleton

__all__ = ["draw_landmarks"]

LARGER = 2
"""A window's pixels are drawn so many px wide, or small faces would drown under their points."""

SHIFT = 4
"""OpenCV takes sixteenths of a pixel."""


def draw_landmarks(batch: Any, skeleton: Skeleton, *, limit: int = 16) -> NDArray[np.uint8]:
    """Draw the first samples of a batch side by side, each with its landmarks.

    Args:
        batch: a collated `LandmarkSample`, of arrays or of tensors on the CPU.
        skeleton: its limbs and colours are drawn.
        limit: show at most so many samples.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    images, points = np.asarray(batch.image)[:limit], np.asarray(batch.points)[:limit]
    return for_throughput([_window(image, face, skeleton) for image, face in zip(images, points, strict=True)])


def _window(image: NDArray[np.uint8], points: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.uint8]:
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    picture = cv2.resize(bgr, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    labelled = np.asarray(np.isfinite(points).all(axis=1))
    # A pixel's number stands for its middle; OpenCV's whole numbers do too.
    drawn = np.rint(((np.nan_to_num(points) + 0.5) * LARGER - 0.5) * 2**SHIFT).astype(int).tolist()
    for first, second in skeleton.limbs:
        if labelled[first] and labelled[second]:
            color = skeleton.colors[second]
            cv2.line(picture, drawn[first], drawn[second], color, 1, cv2.LINE_AA, SHIFT)
    for index in np.flatnonzero(labelled):
        cv2.circle(picture, drawn[index], LARGER << SHIFT, skeleton.colors[index], cv2.FILLED, cv2.LINE_AA, SHIFT)
    return np.asarray(picture, np.uint8)
