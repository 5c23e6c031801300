"""Regions of faces: where keypoints say the face is, whom they leave out, and the box around landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.runtime.pipelines.face_regions import (
    HEAD,
    SMALLEST_SIDE,
    eyes_of,
    face_keypoints,
    landmark_regions,
    regions_of_poses,
)
from tests.fakes.face_scenes import Head, poses_of

KEYPOINTS = face_keypoints(skeletons.COCO_17)
NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)


@pytest.mark.parametrize("angle", [0.0, 0.4, -0.7])
@pytest.mark.parametrize("hidden", [[], [LEFT_EAR], [LEFT_EAR, RIGHT_EAR], [NOSE], [LEFT_EYE, RIGHT_EAR]])
def test_a_frontal_face_is_where_its_keypoints_say(angle: float, hidden: list[int]) -> None:
    head = Head(100, 80, 50, angle)
    poses = poses_of([head])
    poses.keypoint_scores[0, hidden] = 0
    regions, _ = regions_of_poses(poses, KEYPOINTS)
    assert regions.people.tolist() == [0]
    # With keypoints hidden the head's usual pose weighs in.
    np.testing.assert_allclose(regions.centers[0], (100, 80), atol=0.12 * 50)
    assert regions.sides[0] == pytest.approx(50, rel=0.12)
    assert regions.angles[0] == pytest.approx(angle, abs=0.15)


@pytest.mark.parametrize("turn", [-60, -45, 45, 60])
def test_a_head_that_turns_keeps_its_size_and_middle(turn: float) -> None:
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    poses = poses_of([Head(0, 0, 1)])
    poses.keypoints[0, :5, 0] = 100 + 60 * (HEAD[:, 0] * cosine + HEAD[:, 2] * sine)
    poses.keypoints[0, :5, 1] = 80 + 60 * HEAD[:, 1]
    regions, _ = regions_of_poses(poses, KEYPOINTS)
    np.testing.assert_allclose(regions.centers[0], (100, 80), atol=6)
    assert regions.sides[0] == pytest.approx(60, rel=0.1)


def test_errors_of_keypoints_stay_errors_of_that_size() -> None:
    rng = np.random.default_rng(0)
    poses = poses_of([Head(100, 80, 50)] * 200)
    poses.keypoints[:, :5] += rng.normal(0, 0.07 * 50, (200, 5, 2))
    regions, _ = regions_of_poses(poses, KEYPOINTS)
    assert np.median(np.linalg.norm(regions.centers - (100, 80), axis=1)) < 0.12 * 50
    assert np.median(np.abs(regions.sides - 50)) < 0.12 * 50


@pytest.mark.parametrize(
    ("head", "seen"),
    [
        (Head(100, 80, 50), [NOSE, LEFT_EYE]),
        (Head(100, 80, 50), [LEFT_EAR, RIGHT_EAR]),
        (Head(100, 80, 50), [LEFT_EAR, RIGHT_EAR, NOSE]),
        (Head(100, 80, 50), []),
        (Head(100, 80, SMALLEST_SIDE * 0.9), range(5)),
    ],
)
def test_too_few_keypoints_and_too_small_faces_give_none(head: Head, seen: list[int]) -> None:
    poses = poses_of([head, Head(200, 80, 40)])
    poses.keypoint_scores[0, [index for index in range(5) if index not in seen]] = 0
    regions, _ = regions_of_poses(poses, KEYPOINTS)
    assert regions.people.tolist() == [1]


def test_keypoints_in_one_place_give_none() -> None:
    poses = poses_of([Head(100, 80, 50), Head(200, 80, 40)])
    poses.keypoints[0] = (30, 40)
    regions, _ = regions_of_poses(poses, KEYPOINTS)
    assert regions.people.tolist() == [1]


def test_heads_from_behind_are_unsure() -> None:
    _, sure = regions_of_poses(poses_of([Head(100, 80, 50, away=True), Head(200, 80, 50)]), KEYPOINTS)
    assert sure.tolist() == [False, True]


def test_nobody_gives_none() -> None:
    regions, sure = regions_of_poses(poses_of([]), KEYPOINTS)
    assert (len(regions), len(sure), regions.boxes.shape, regions.sides.shape) == (0, 0, (0, 4), (0,))


@pytest.mark.parametrize("angle", [0.0, 0.5, -1.3, 3.1])
def test_the_box_around_landmarks_turns_with_them(angle: float) -> None:
    heads = [Head(100, 80, 50, angle), Head(30, 40, 20)]
    landmarks = np.stack([head.landmarks() for head in heads])
    regions = landmark_regions(landmarks, np.array([3, 1]), skeletons.W300_68)
    np.testing.assert_allclose(regions.centers, [(head.x, head.y) for head in heads], atol=1e-9)
    np.testing.assert_allclose(regions.sides, [head.side for head in heads])
    np.testing.assert_allclose(np.exp(1j * regions.angles), np.exp(1j * np.array([angle, 0])))
    assert regions.people.tolist() == [3, 1]


def test_layouts_that_do_not_serve_are_refused() -> None:
    with pytest.raises(InputError, match="crowdpose-14 has no nose"):
        face_keypoints(skeletons.CROWDPOSE_14)
    for body in (skeletons.COCO_17, skeletons.MPII_16):
        with pytest.raises(InputError, match="no layout of faces"):
            eyes_of(body)
    for face in ("300w-68", "wflw-98", "cofw-29", "aflw-19", "lapa-106"):
        right, left = eyes_of(skeletons.get(face))
        assert len(right) == len(left) >= 3
        assert set(right).isdisjoint(left)


def test_a_head_is_symmetric() -> None:
    mirrored = HEAD[[NOSE, RIGHT_EYE, LEFT_EYE, RIGHT_EAR, LEFT_EAR]] * (-1, 1, 1)
    np.testing.assert_array_equal(mirrored, HEAD)
