"""Where to look for faces: from a person's nose, eyes and ears, or from landmarks of a moment ago.

A region is the box that landmark networks are trained on, tight around the face's landmarks from the brows to the
chin, turned with the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.results import Poses
from heatstream.skeletons import Skeleton

__all__ = ["FaceRegions", "face_keypoints", "landmark_regions", "regions_of_poses"]

KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

HEAD: NDArray[np.float64] = np.array(
    [
        [0.0, -0.075, 0.69],
        [0.219, -0.307, 0.36],
        [-0.219, -0.307, 0.36],
        [0.5, -0.292, -0.12],
        [-0.5, -0.292, -0.12],
    ]
)
"""(5, 3) where :data:`KEYPOINTS` are on a head that looks at the camera: x to the image's right, y down, z towards
the camera, in sides of the box (its longer one) from the box's middle.

Measured on the 1,137 faces of faces/train by factorizing their 68 landmarks (Tomasi & Kanade 1992): tip of the nose,
means of the eyes' outlines, and the ends of the jaw's outline for the ears. The middle's depth is the one that keeps
it in the middle of the box when the head turns by 15 to 60 degrees."""

TURNS = np.radians(np.arange(-90, 91, 15))
NODS = np.radians([-20, 0, 20])
"""Turns about the y and x axis that are tried, radians."""

USUAL_TURN, USUAL_NOD, USUAL_ROLL = np.radians([35, 15, 25])
"""Standard deviations of what heads do, radians; they decide where keypoints leave several answers open."""

KEYPOINT_ERROR = 0.1
"""Standard deviation of a keypoint's error, in sides of the box: the median distance of swahr-small's nose, eyes and
ears from COCO's is 0.05 to 0.08 sides on coco_people/train, and some are far off."""

SURE_SCORE = 0.25
"""Least mean score of the nose and the eyes of a person who shows their face. In 250 photographs of coco_people/train
swahr-small gives 0.40 in the median to faces and 0.29 to heads seen from behind; at 0 and at 0.25 the cascade draws 97
faces, at 0.4 it draws 84, and none on the 32 heads from behind at any of these (experiments/face_keypoints.py)."""

SMALLEST_SIDE = 20.0
"""Px of the source. h3r-mobile-68's error on faces/val, reduced to a side of 40, 28, 20 and 14 px, is 1.2, 1.6, 2.2 and
3.4 times that at full size."""


@dataclass(frozen=True, eq=False)
class FaceRegions:
    """Boxes around faces, turned.

    Attributes:
        boxes: (N, 4) float64, x0 y0 x1 y1 in px, before the box is turned about its middle.
        angles: (N,) float64 radians, clockwise as one sees it.
        people: (N,) int64, whose face it is.
    """

    boxes: NDArray[np.float64]
    angles: NDArray[np.float64]
    people: NDArray[np.int64]

    @property
    def centers(self) -> NDArray[np.float64]:
        """(N, 2) px."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    @property
    def sides(self) -> NDArray[np.float64]:
        """(N,) px, the longer side of each box."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1, initial=0))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.integer]) -> FaceRegions:
        return FaceRegions(self.boxes[chosen], self.angles[chosen], self.people[chosen])


def face_keypoints(skeleton: Skeleton) -> list[int]:
    """Where nose, eyes and ears are among a body's keypoints, in the order of :data:`KEYPOINTS`.

    Raises:
        InputError: the layout has no such keypoints.
    """
    if not set(KEYPOINTS) <= set(skeleton.keypoints):
        raise InputError(f"{skeleton.name} has no nose, eyes and ears to find faces by: choose a model of coco-17")
    return [skeleton.keypoints.index(name) for name in KEYPOINTS]


def regions_of_poses(poses: Poses, keypoints: list[int]) -> tuple[FaceRegions, NDArray[np.bool_]]:
    """Where the faces of people are.

    The head of :data:`HEAD` is turned, nodded, rolled, scaled and moved until its keypoints lie best on the person's,
    each weighed by its score, with what heads usually do weighed in. People with fewer than three of the keypoints,
    with only one of nose and eyes, or with a region of less than :data:`SMALLEST_SIDE` have none.

    Args:
        poses: the people.
        keypoints: what :func:`face_keypoints` gives for their layout.

    Returns:
        The regions, and for each of them whether the keypoints are sure that there is a face to be seen; of heads
        seen from behind most are not.
    """
    scores = poses.keypoint_scores[:, keypoints].astype(np.float64)
    points = poses.keypoints[:, keypoints].astype(np.float64)
    seen = scores > 0
    people = np.flatnonzero((seen.sum(axis=1) >= 3) & (seen[:, :3].sum(axis=1) >= 2))
    scores, points = scores[people], points[people]
    centers, sides, angles = _fitted_heads(points, scores)
    large = sides >= SMALLEST_SIDE
    half = sides[:, None] / 2
    regions = FaceRegions(np.concatenate([centers - half, centers + half], axis=1), angles, people)
    return regions[large], scores[large, :3].mean(axis=1) >= SURE_SCORE


def landmark_regions(landmarks: NDArray[np.floating], people: NDArray[np.int64], skeleton: Skeleton) -> FaceRegions:
    """The boxes tight around landmarks, turned so that the line from the right to the left eye lies along them.

    Args:
        landmarks: (N, L, 2) px.
        people: (N,) whose face it is.
        skeleton: of the landmarks; see :func:`eyes_of`.
    """
    right, left = (landmarks[:, indices].mean(axis=1) for indices in eyes_of(skeleton))
    across = np.asarray(left - right, np.float64)
    angles = np.arctan2(across[:, 1], across[:, 0])
    cosine, sine = np.cos(angles), np.sin(angles)
    upright = np.stack([cosine, sine, -sine, cosine], axis=1).reshape(-1, 2, 2)
    turned = landmarks @ upright.transpose(0, 2, 1)
    low, high = turned.min(axis=1), turned.max(axis=1)
    centers = ((low + high)[:, None] / 2 @ upright)[:, 0]
    half = (high - low) / 2
    return FaceRegions(np.concatenate([centers - half, centers + half], axis=1), angles, people)


def eyes_of(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """The landmarks around the right eye and around the left one.

    Raises:
        InputError: the layout has no eyes.
    """
    right, left = (
        [number for number, name in enumerate(skeleton.keypoints) if name.startswith(f"{side}_eye_")]
        for side in ("right", "left")
    )
    if not (right and left):
        raise InputError(f"{skeleton.name} is no layout of faces: choose a model that finds the landmarks of faces")
    return right, left


def _fitted_heads(
    points: NDArray[np.float64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centres (N, 2) px, sides (N,) px and rolls (N,) radians of the heads that fit best.

    In complex numbers, a head h under roll, scale and shift is c h + d: for every turn and nod the best c and d are
    those of a weighted linear regression.
    """
    heads, unusual = _turned_heads()
    weights = scores[:, None]
    found = (points[..., 0] + 1j * points[..., 1])[:, None]  # (N, 1, 5)
    total = weights.sum(axis=2, keepdims=True)
    middle, head_middle = ((weights * z).sum(axis=2, keepdims=True) / total for z in (found, heads))
    offsets, head_offsets = found - middle, heads - head_middle
    extent = (weights * np.abs(head_offsets) ** 2).sum(axis=2)
    factors = (weights * offsets * head_offsets.conj()).sum(axis=2) / extent  # (N, turns and nods)
    apart = (weights * np.abs(offsets - factors[..., None] * head_offsets) ** 2).sum(axis=2)
    sides = np.maximum(np.abs(factors), 1e-6)  # all keypoints in one place are a head of no size
    costs = apart / (sides * KEYPOINT_ERROR) ** 2 + unusual + (np.angle(factors) / USUAL_ROLL) ** 2
    best = np.arange(len(points)), costs.argmin(axis=1)
    factor = factors[best]
    center = middle[:, 0, 0] - factor * head_middle[best[0], best[1], 0]
    return np.stack([center.real, center.imag], axis=1), np.abs(factor), np.angle(factor)


def _turned_heads() -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """(T, 5) keypoints of the head under every turn and nod, as complex numbers, and how unusual (T,) each is."""
    turns, nods = (angles.ravel() for angles in np.meshgrid(TURNS, NODS))
    x, y, z = HEAD.T[:, None]
    across = x * np.cos(turns)[:, None] + z * np.sin(turns)[:, None]
    depth = z * np.cos(turns)[:, None] - x * np.sin(turns)[:, None]
    down = y * np.cos(nods)[:, None] - depth * np.sin(nods)[:, None]
    return across + 1j * down, (turns / USUAL_TURN) ** 2 + (nods / USUAL_NOD) ** 2
