"""Faces on the overlay: every part where it is, at any size, and no body keypoints under it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.drawing.faces import draw_faces, without_face_keypoints
from heatstream.results import Faces, Poses

FACE_LAYOUTS = ("300w-68", "wflw-98", "cofw-29", "aflw-19", "lapa-106")


def canvas(height: int = 200, width: int = 300, ground: int = 0) -> NDArray[np.uint8]:
    return np.full((height, width, 3), ground, np.uint8)


def faces_at(*landmarks: NDArray[np.floating], skeleton: str = "300w-68", people: list[int] | None = None) -> Faces:
    count = len(landmarks)
    indices = np.full(count, -1) if people is None else np.array(people)
    return Faces(np.stack(landmarks), np.ones(count), np.zeros((count, 4)), np.zeros(count), indices, skeleton)


def ring(x: float, y: float, radius: float, *, skeleton: str = "300w-68") -> NDArray[np.float64]:
    """Landmarks around a place."""
    angles = np.linspace(0, 2 * np.pi, skeletons.get(skeleton).num_keypoints, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def test_a_contour_joins_its_landmarks_and_stays_within_its_part() -> None:
    names = skeletons.W300_68.keypoints
    points = np.full((68, 2), 20.0)
    mouth = [index for index, name in enumerate(names) if "lip" in name or "mouth" in name]
    points[mouth] = (100, 80)
    points[names.index("left_mouth_corner")] = (140, 80)
    frame = canvas()
    draw_faces(frame, faces_at(points))
    assert frame[80, 120].any(), "the lips run from corner to corner"
    assert not frame[40:60, 40:80].any(), "nothing joins the mouth to the rest"


@pytest.mark.parametrize("y", [50.5, 50.75, 51.0])
def test_pixel_centres_lie_at_halves_and_places_between_count(y: float) -> None:
    frame = canvas()
    draw_faces(frame, faces_at(np.stack([np.linspace(50, 70, 68), np.full(68, y)], axis=1)))
    light = frame[:, 60].sum(axis=1, dtype=float)
    assert np.average(np.arange(200) + 0.5, weights=light) == pytest.approx(y, abs=0.15)


@pytest.mark.parametrize("skeleton", FACE_LAYOUTS)
@pytest.mark.parametrize("radius", [3, 20, 90])
def test_every_layout_can_be_drawn_at_any_size(skeleton: str, radius: float) -> None:
    frame = canvas()
    draw_faces(frame, faces_at(ring(150, 100, radius, skeleton=skeleton), skeleton=skeleton))
    rows, columns = np.nonzero(frame.any(axis=2))
    assert max(np.ptp(rows), np.ptp(columns)) >= 1.5 * radius


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_lines_stand_out_from_any_ground(ground: int) -> None:
    frame = canvas(ground=ground)
    draw_faces(frame, faces_at(ring(150, 100, 60)))
    assert np.abs(frame.astype(int) - ground).max() > 90


@pytest.mark.parametrize("place", [(-500, -500), (-20, 100), (1e9, 1e9), (299, 199)])
def test_faces_at_the_border_and_beyond_are_no_trouble(place: tuple[float, float]) -> None:
    frame = canvas()
    draw_faces(frame, faces_at(ring(*place, 40), ring(150, 100, 40)))
    assert frame[100, 190].any()


def test_the_keypoints_of_a_drawn_face_give_way_to_it() -> None:
    poses = Poses(np.full((2, 17, 2), 50), np.ones((2, 17)), np.ones(2), "coco-17")
    left = without_face_keypoints(poses, faces_at(ring(50, 50, 9), ring(9, 9, 5), people=[1, -1]))
    assert left.keypoint_scores[0].all()
    assert not left.keypoint_scores[1, :5].any()
    assert left.keypoint_scores[1, 5:].all()
    assert poses.keypoint_scores.all()
