"""Faces drawn onto a frame: the contours of jaw, brows, nose, eyes and mouth, each part in its colour.

Lines are as fine as the face is small; landmarks become dots only where there is room between them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Faces, Poses

__all__ = ["draw_faces", "without_face_keypoints"]

Color = tuple[int, int, int]

_PARTS: tuple[tuple[tuple[str, ...], Color], ...] = (  # BGR; told apart on light and dark skin
    (("brow",), (80, 190, 255)),
    (("eye", "pupil"), (255, 225, 90)),
    (("nose", "nostril"), (130, 240, 180)),
    (("lip", "mouth"), (150, 120, 255)),
)
_JAW: Color = (245, 245, 245)
_SHADE = 0.55  # how much of the ground is left below an outline

_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_FACE_PER_WIDTH = 110.0  # px of a face's height per px of its lines
_LARGEST_WIDTH = 4
_DOTS_FROM = 150.0  # px of a face's height; below, dots would hide the contours
_OUTLINE_FROM = 45.0  # px of a face's height; below, the dark rim of the lines would hide it


def draw_faces(frame: NDArray[np.uint8], faces: Faces) -> None:
    """Draw the contours of every face into the frame.

    Args:
        frame: (H, W, 3) uint8 BGR, writable; changed in place.
        faces: in pixels of this frame.
    """
    for landmarks in faces.landmarks:
        # OpenCV counts pixel centres from 0, heatstream from 0.5. Far outside points would overflow its integers.
        _draw_face(frame, np.clip(landmarks - 0.5, -10_000, 20_000), faces.skeleton)


def without_face_keypoints(poses: Poses, faces: Faces) -> Poses:
    """The same people, but for the nose, eyes and ears of those whose face is drawn."""
    names = skeletons.get(poses.skeleton).keypoints
    on_face = [index for index, name in enumerate(names) if name.endswith(("nose", "_eye", "_ear"))]
    scores = poses.keypoint_scores.copy()
    scores[faces.people[faces.people >= 0, None], on_face] = 0
    return replace(poses, keypoint_scores=scores)


def _draw_face(frame: NDArray[np.uint8], landmarks: NDArray[np.float32], name: str) -> None:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    height = float((high - low).max())
    width = int(np.clip(round(height / _FACE_PER_WIDTH), 1, _LARGEST_WIDTH))
    margin = 3 * width + 2
    left, top = np.maximum(np.floor(low) - margin, 0).astype(int).tolist()
    right, bottom = np.maximum(np.ceil(high) + margin, 0).astype(int).tolist()
    part = frame[top:bottom, left:right]
    if not part.size:
        return
    fixed = np.rint((landmarks - (left, top)) * (1 << _SHIFT)).astype(np.int32)
    contours = [(fixed[list(chain)], color, closed) for chain, color, closed in _contours(name)]
    if height >= _OUTLINE_FROM:
        rim = np.zeros(part.shape[:2], np.uint8)
        for points, _, closed in contours:
            cv2.polylines(rim, [points], closed, 255, width + 2, cv2.LINE_AA, _SHIFT)
        shade = 1 - rim[..., None] / np.float32(255) * (1 - _SHADE)
        np.copyto(part, (part * shade).astype(np.uint8))
    for points, color, closed in contours:
        cv2.polylines(part, [points], closed, color, width, cv2.LINE_AA, _SHIFT)
    if height >= _DOTS_FROM:
        radius = round((0.5 * width + 0.6) * (1 << _SHIFT))
        for point, color in zip(fixed.tolist(), _colors(name), strict=True):
            cv2.circle(part, point, radius, color, -1, cv2.LINE_AA, _SHIFT)


@lru_cache
def _contours(name: str) -> tuple[tuple[tuple[int, ...], Color, bool], ...]:
    """The limbs of a layout joined to runs of landmarks: (landmarks, colour, whether the run is closed)."""
    colors = _colors(name)
    runs: list[list[int]] = []
    for start, end in skeletons.get(name).limbs:
        if runs and runs[-1][-1] == start:
            runs[-1].append(end)
        else:
            runs.append([start, end])
    return tuple((tuple(run[:-1] if run[0] == run[-1] else run), colors[run[0]], run[0] == run[-1]) for run in runs)


@lru_cache
def _colors(name: str) -> tuple[Color, ...]:
    """Of every landmark, by the part of the face that its name tells."""

    def color(landmark: str) -> Color:
        return next((color for words, color in _PARTS if any(word in landmark for word in words)), _JAW)

    return tuple(map(color, skeletons.get(name).keypoints))
