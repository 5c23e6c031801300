"""How large people are in the picture, whatever is seen of them: the unit of tracking, smoothing and triggers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Poses

__all__ = ["SEEN_SCORE", "as_complex", "body_heights"]

SEEN_SCORE = 0.1  # a joint below says nothing; it is the official parser's detection threshold

# Where joints of a standing body lie, (across, down from the top of the head), in body heights; on the left side, or
# in the middle. They stand a little closer than from the front: people are seen from all sides.
_STANDING = {
    "head_top": (0.0, 0.0),
    "nose": (0.0, 0.09),
    "eye": (0.02, 0.07),
    "ear": (0.04, 0.08),
    "upper_neck": (0.0, 0.15),
    "neck": (0.0, 0.17),
    "thorax": (0.0, 0.2),
    "pelvis": (0.0, 0.5),
    "shoulder": (0.1, 0.2),
    "elbow": (0.13, 0.36),
    "wrist": (0.14, 0.5),
    "hip": (0.07, 0.52),
    "knee": (0.07, 0.74),
    "ankle": (0.07, 0.96),
}
_USUAL_RADIUS = 0.3  # of all joints about their middle, body heights; for layouts with other joints
_LEAST_RADIUS = 0.02  # of fewer joints than tell a size


def body_heights(poses: Poses) -> NDArray[np.float32]:
    """How tall in px each body would be if it stood upright, from the joints that are seen.

    It is the spread of these joints over that of the same joints of a standing body, so half a body before a webcam has
    the size of a whole one. Bodies that sit or bend come out smaller.

    Args:
        poses: N people; joints with a score of at least :data:`SEEN_SCORE` count.

    Returns:
        (N,) float32, at least 1 px.
    """
    seen = (poses.keypoint_scores >= SEEN_SCORE).astype(np.float32)
    expected, known = _layout(poses.skeleton)
    # Of the joints that are seen, by the sums over a standing body: their number, middle and squared distances from 0.
    sums = seen @ expected
    shares = 1 / np.maximum(sums[:, 0], 1)
    points = as_complex(poses.keypoints)
    middles = _rows(seen * points) * shares
    offsets = points - middles[:, None]
    spread = _rows(seen * (np.square(offsets.real) + np.square(offsets.imag))) * shares
    if known:
        x, y, squares = sums[:, 1:].T * shares
        usual = np.maximum(squares - x * x - y * y, np.float32(_LEAST_RADIUS**2))
    else:
        usual = np.full(len(seen), _USUAL_RADIUS**2, np.float32)
    heights: NDArray[np.float32] = np.sqrt(spread / usual)
    return np.maximum(heights, 1)


def as_complex(points: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Points (..., 2) as x + iy (...): one operation moves both coordinates. Shares the memory where it can."""
    pairs: NDArray[np.complex64] = np.ascontiguousarray(points, np.float32).view(np.complex64)
    return pairs[..., 0]


def _rows(values: NDArray[Any]) -> Any:
    """Sums of rows; faster than ``sum`` for short ones."""
    return values @ _ones(values.shape[1], values.dtype)


@lru_cache
def _ones(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.ones(count, dtype)


@lru_cache
def _layout(name: str) -> tuple[NDArray[np.float32], bool]:
    """(K, 4): 1, x, y and x² + y² of a standing body's joints, in body heights; and whether these are known."""
    skeleton = skeletons.get(name)
    places = [_STANDING.get(joint.removeprefix("left_").removeprefix("right_")) for joint in skeleton.keypoints]
    known = [place for place in places if place is not None]
    table = np.zeros((len(places), 4), np.float32)
    table[:, 0] = 1
    if len(known) < len(places):
        return table, False
    sides = [-1 if joint.startswith("right_") else 1 for joint in skeleton.keypoints]
    table[:, 1:3] = np.array(known)
    table[:, 1] *= sides
    table[:, 3] = np.square(table[:, 1:3]).sum(axis=1)
    return table, True
