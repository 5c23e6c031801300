"""heatstream's results as hri_msgs: facts of REP-155 and of its message files, no more.

The classes of the messages are handed in, so that nothing of ROS is needed to read or test this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heatstream import Face, Pose, skeletons

SKELETON_2D = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "left_eye", "right_eye", "left_ear", "right_ear"),
)
"""The points of ``hri_msgs/Skeleton2D`` in the order of its constants. OpenPose has the right eye and ear first."""

FACE_POINTS = 70
"""Of ``hri_msgs/FacialLandmarks``: the 68 of 300-W in their order, then the right and the left pupil, which we lack."""


@dataclass(frozen=True)
class MessageTypes:
    """Classes of ``hri_msgs``.

    Attributes:
        skeleton: ``Skeleton2D``.
        point: ``NormalizedPointOfInterest2D``.
        region: ``NormalizedRegionOfInterest2D``.
        ids: ``IdsList``.
        face: ``FacialLandmarks``.
    """

    skeleton: Any
    point: Any
    region: Any
    ids: Any
    face: Any


def body_id(person: int) -> str:
    """REP-155 wants ids of letters, digits and underscores, which do not start with a digit."""
    return f"body_{person:05d}"


def face_id(person: int) -> str:
    """A face's id, of whose face it is."""
    return f"face_{person:05d}"


def skeleton_2d(types: MessageTypes, header: Any, pose: Pose, size: tuple[int, int]) -> Any:
    """A person as ``Skeleton2D``: x and y from 0 to 1 of the picture, c the confidence.

    A point outside of the picture is moved to its border, and what is missing or hidden has c = 0. COCO has no neck:
    it is the middle of the shoulders, as sure as the less sure of them.

    Args:
        types: the classes.
        header: of the picture; its stamp is when the picture was taken.
        pose: the person, of COCO's 17 keypoints.
        size: (width, height) px of the picture.
    """
    shoulders = [_index(pose, name) for name in ("left_shoulder", "right_shoulder")]
    places = {
        name: (pose.joint(name), float(pose.keypoint_scores[_index(pose, name)]))
        for name in SKELETON_2D
        if name != "neck"
    }
    places["neck"] = (pose.keypoints[shoulders].mean(axis=0), float(pose.keypoint_scores[shoulders].min()))
    return types.skeleton(header=header, skeleton=[_point(types, *places[name], size) for name in SKELETON_2D])


def region(types: MessageTypes, header: Any, pose: Pose, size: tuple[int, int]) -> Any:
    """The box around a person's keypoints, from 0 to 1 of the picture."""
    seen = pose.keypoints[pose.keypoint_scores > 0]
    low, high = np.clip([seen.min(axis=0), seen.max(axis=0)], 0, size) / np.asarray(size, float)
    return types.region(
        header=header, xmin=float(low[0]), ymin=float(low[1]), xmax=float(high[0]), ymax=float(high[1]), c=pose.score
    )


def facial_landmarks(types: MessageTypes, header: Any, face: Face, size: tuple[int, int]) -> Any:
    """A face as ``FacialLandmarks``; the pupils have c = 0."""
    points = [_point(types, place, face.score, size) for place in face.landmarks]
    points += [types.point(x=0.0, y=0.0, c=0.0) for _ in range(FACE_POINTS - len(points))]
    return types.face(header=header, landmarks=points, height=size[1], width=size[0])


def _point(types: MessageTypes, place: Any, score: float, size: tuple[int, int]) -> Any:
    if score <= 0:
        return types.point(x=0.0, y=0.0, c=0.0)
    x, y = np.clip(np.asarray(place, float) / size, 0, 1)
    return types.point(x=float(x), y=float(y), c=score)


def _index(pose: Pose, name: str) -> int:
    return skeletons.get(pose.skeleton).keypoints.index(name)
