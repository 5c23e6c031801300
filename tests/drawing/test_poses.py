"""The overlay draws what is sure, where it is, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.drawing import draw_poses, draw_text
from heatstream.errors import InputError
from heatstream.results import Poses

LEFT_WRIST, RIGHT_WRIST, LEFT_ELBOW = 9, 10, 7


def canvas(height: int = 200, width: int = 300) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def person(keypoints: dict[int, tuple[float, float, float]], *, identity: int = -1, skeleton: str = "coco-17") -> Poses:
    """One person from {keypoint: (x, y, score)}; the others are missing."""
    count = skeletons.get(skeleton).num_keypoints
    points, scores = np.zeros((1, count, 2), np.float32), np.zeros((1, count), np.float32)
    for index, (x, y, score) in keypoints.items():
        points[0, index], scores[0, index] = (x, y), score
    return Poses(points, scores, scores.mean(axis=1), skeleton, ids=np.array([identity]))


def test_a_keypoint_is_drawn_around_its_place_in_its_colour() -> None:
    frame = canvas()
    draw_poses(frame, person({LEFT_WRIST: (100.5, 50.5, 0.9)}))
    assert tuple(frame[50, 100]) == skeletons.COCO_17.colors[LEFT_WRIST]
    rows, columns = np.nonzero(frame.any(axis=2))
    # Pixel centres lie at +0.5: the drawing is symmetric about pixel (50, 100).
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (100, 200)
    assert np.ptp(rows) <= 8


def test_positions_are_sub_pixel() -> None:
    here, there = canvas(), canvas()
    draw_poses(here, person({LEFT_WRIST: (100.25, 50.5, 0.9)}))
    draw_poses(there, person({LEFT_WRIST: (100.75, 50.5, 0.9)}))
    assert (here != there).any()


def test_a_limb_joins_its_two_ends() -> None:
    frame = canvas()
    draw_poses(frame, person({LEFT_ELBOW: (50, 100, 0.9), LEFT_WRIST: (250, 100, 0.9)}))
    assert tuple(frame[100, 150]) == skeletons.COCO_17.colors[LEFT_WRIST]


@pytest.mark.parametrize("score", [0.0, 0.19])
def test_unsure_keypoints_and_their_limbs_are_left_out(score: float) -> None:
    frame = canvas()
    draw_poses(frame, person({LEFT_ELBOW: (50, 100, 0.9), LEFT_WRIST: (250, 100, score)}))
    assert not frame[:, 100:].any()
    assert frame[:, :100].any()


def test_missing_keypoints_stay_invisible_without_a_threshold() -> None:
    frame = canvas()
    draw_poses(frame, person({LEFT_WRIST: (250, 100, 0.01)}), min_score=0)
    assert frame[100, 250].any()
    assert not frame[:20, :20].any()


def test_nobody_changes_nothing() -> None:
    frame = canvas()
    draw_poses(frame, Poses.empty("coco-17"))
    draw_poses(frame, person({}, identity=3))
    assert not frame.any()


@pytest.mark.parametrize("place", [(-50.0, -50.0), (1e9, 10.0), (-1e9, 1e9), (5000.0, 100.0)])
def test_points_outside_the_frame_are_no_trouble(place: tuple[float, float]) -> None:
    frame = canvas()
    draw_poses(frame, person({LEFT_ELBOW: (50, 100, 0.9), LEFT_WRIST: (*place, 0.9)}, identity=1))
    assert frame[100, 50].any()


def test_people_have_colours_of_their_own_by_id() -> None:
    frames = [canvas(), canvas(), canvas()]
    for frame, identity in zip(frames, (0, 1, 0), strict=True):
        poses = person({LEFT_WRIST: (100, 150, 0.9), RIGHT_WRIST: (200, 150, 0.9)}, identity=identity)
        draw_poses(frame, poses, colors="person")
    assert (frames[0][150, 100] == frames[0][150, 200]).all()
    assert (frames[0][150, 100] != frames[1][150, 100]).any()
    assert (frames[0] == frames[2]).all()


def test_ids_are_written_only_where_somebody_tracks() -> None:
    with_id, without = canvas(), canvas()
    keypoints = {LEFT_ELBOW: (100.0, 120.0, 0.9), LEFT_WRIST: (150.0, 160.0, 0.9)}
    draw_poses(with_id, person(keypoints, identity=4))
    draw_poses(without, person(keypoints))
    assert (with_id != without).any()


def test_what_is_written_can_be_chosen() -> None:
    keypoints = {LEFT_ELBOW: (100.0, 120.0, 0.9), LEFT_WRIST: (150.0, 160.0, 0.9)}
    frames = []
    for labels in ((), ("id",), ("score",), ("joints",)):
        frames.append(canvas())
        draw_poses(frames[-1], person(keypoints, identity=4), labels=labels)
    for number, frame in enumerate(frames):
        assert all((frame != other).any() for other in frames[number + 1 :])
    bare = canvas()
    draw_poses(bare, person(keypoints))
    assert (frames[0] == bare).all()


@pytest.mark.parametrize("size", [(2160, 3840), (1080, 1920), (720, 1280)])
def test_lines_and_texts_grow_with_the_frame_and_not_with_its_longer_side(size: tuple[int, int]) -> None:
    """A person as tall as the frame: lines are a 135th of its shorter side wide, upright frames look like others."""
    drawn = []
    for height, width in (size, size[::-1]):
        frame = np.zeros((height, width, 3), np.uint8)
        short = min(size)
        points = {LEFT_ELBOW: (0.5 * width, 0.1 * short, 0.9), LEFT_WRIST: (0.5 * width, 0.9 * short, 0.9)}
        draw_poses(frame, person(points), labels=())
        drawn.append(int((frame[short // 2].max(axis=1) > 100).sum()))
    assert drawn[0] == drawn[1]
    assert abs(drawn[0] - max(8, min(size) // 135)) <= 2


@pytest.mark.parametrize("name", skeletons.SKELETONS)
def test_every_skeleton_can_be_drawn(name: str) -> None:
    rng = np.random.default_rng(0)
    count = skeletons.get(name).num_keypoints
    poses = Poses(rng.uniform(0, 200, (4, count, 2)), np.ones((4, count)), np.ones(4), name, ids=np.arange(4))
    frame = canvas()
    draw_poses(frame, poses)
    assert frame.any()


def test_text_is_readable_on_any_ground() -> None:
    for ground in (0, 255):
        frame = canvas()
        frame[:] = ground
        draw_text(frame, "24 FPS")
        assert frame.max() > 200
        assert frame[:40].min() < 100


@pytest.mark.parametrize("at", [(-40, -40), (299, 199), (1000, 1000)])
def test_text_outside_is_no_trouble(at: tuple[int, int]) -> None:
    draw_text(canvas(), "7", at=at)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.broadcast_to(np.uint8(0), (10, 10, 3)),
    ],
    ids=["gray", "four channels", "float", "read-only"],
)
def test_a_frame_it_cannot_draw_on_is_refused(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match="writable"):
        draw_poses(frame, Poses.empty("coco-17"))
