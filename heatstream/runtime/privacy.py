"""Frames that keep people to themselves: none of their pixels, or heads made unrecognisable.

Both give a result with another frame before any sink sees it: what is written, sent and shown is made of that one.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Poses, Result

__all__ = ["heads_blurred", "without_pixels"]

GROUND = 24
"""Grey value of the frame that takes a private one's place."""

SEEN_SCORE = 0.02
"""A head is blurred rather once too often."""

HEAD_MARGIN = 0.9
"""Of the face keypoints' extent, on every side: they reach neither the chin nor the hair."""
HEAD_PER_SHOULDERS = 0.9
"""Half the height of the region above the shoulders, in their distance, for somebody whose face has no keypoint."""
LEAST_SHARE = 0.06
"""Of a body's extent: the least radius of a head, where its keypoints fall together, as in a profile."""
BLOCKS = 6
"""A head is this many blocks wide, then smoothed: too few to know anybody by."""


def without_pixels(result: Result) -> Result:
    """The same result on an empty frame of the same size; nothing of the frame is left in it."""
    return replace(result, frame=np.full_like(result.frame, GROUND))


def heads_blurred(result: Result) -> Result:
    """The same result, the heads of all people found in it blurred, those of faces too.

    Whom the network has not found is not blurred: where that must not happen, :func:`without_pixels` is the one.
    """
    frame = result.frame
    if not frame.size:
        return result
    regions = [region for row in range(len(result.poses)) if (region := _head(result.poses, row)) is not None]
    if result.faces is not None:
        for landmarks in result.faces.landmarks:
            low, high = landmarks.min(axis=0), landmarks.max(axis=0)
            margin = 0.35 * float((high - low).max())
            regions.append((*(low - margin), *(high + margin)))
    frame = frame.copy()
    for region in regions:
        _blur(frame, region)
    return replace(result, frame=frame)


def _head(poses: Poses, row: int) -> tuple[float, float, float, float] | None:
    """(x0, y0, x1, y1) px around somebody's head; None if nothing tells where it is."""
    names = skeletons.get(poses.skeleton).keypoints
    seen = poses.keypoint_scores[row] > SEEN_SCORE
    points = poses.keypoints[row]
    face = [
        index for index, name in enumerate(names) if name.endswith(("nose", "_eye", "_ear", "head")) and seen[index]
    ]
    x0, y0, x1, y1 = poses.boxes()[row]
    least = LEAST_SHARE * float(max(x1 - x0, y1 - y0))
    if face:
        middle = (points[face].min(axis=0) + points[face].max(axis=0)) / 2
        extent = float((points[face].max(axis=0) - points[face].min(axis=0)).max())
        radius = max((0.5 + HEAD_MARGIN) * extent, least)
    else:
        shoulders = [index for index, name in enumerate(names) if name.endswith("shoulder") and seen[index]]
        if not shoulders:
            return None
        width = float(np.ptp(points[shoulders, 0])) if len(shoulders) > 1 else 0.0
        radius = max(HEAD_PER_SHOULDERS * width, 2 * least)
        middle = points[shoulders].mean(axis=0) - np.array([0, radius])
    x, y = float(middle[0]), float(middle[1])
    return x - radius, y - radius, x + radius, y + 1.2 * radius


def _blur(frame: NDArray[np.uint8], region: tuple[float, float, float, float]) -> None:
    """Make a region of blocks that are smoothed, in place."""
    height, width = frame.shape[:2]
    x0, y0 = (max(0, int(np.floor(low))) for low in region[:2])
    x1, y1 = min(width, int(np.ceil(region[2]))), min(height, int(np.ceil(region[3])))
    if x1 <= x0 or y1 <= y0:
        return
    part = frame[y0:y1, x0:x1]
    few = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    frame[y0:y1, x0:x1] = cv2.resize(few, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
