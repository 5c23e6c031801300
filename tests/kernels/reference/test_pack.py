"""The struct in which people leave the GPU: written by pack_poses, read by unpack_poses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.kernels.geometry import Geometry
from heatstream.kernels.reference.pack import NOT_FINITE, pack_poses, packed_dtype, unpack_poses
from heatstream.kernels.synthetic import make_scene
from heatstream.results import Poses

IDENTITY = np.eye(2, 3)[None]


def make_poses(scores: list[float]) -> Poses:
    rng = np.random.default_rng(len(scores))
    shape = (len(scores), 17)
    keypoint_scores = np.where(rng.random(shape) < 0.3, 0, rng.random(shape)).astype(np.float32)
    keypoints = np.where(keypoint_scores[..., None] > 0, rng.uniform(0, 256, (*shape, 2)), 0).astype(np.float32)
    return Poses(keypoints, keypoint_scores, np.array(scores, np.float32), "coco-17")


def assert_equal(poses: Poses, expected: Poses) -> None:
    for name in ("keypoints", "keypoint_scores", "scores"):
        np.testing.assert_array_equal(getattr(poses, name), getattr(expected, name), err_msg=name)


def test_what_was_packed_comes_back() -> None:
    people = [make_poses([0.25, 0.5, 0.25, 0.75]), make_poses([])]
    packed = pack_poses(people, IDENTITY.repeat(2, axis=0), capacity=8, peaks_overflow=[0, 3], state=[0, 0])
    for poses, expected in zip(unpack_poses(packed, "coco-17", as_started=True), people, strict=True):
        assert_equal(poses, expected)
    assert packed["people"].tolist() == [4, 0]
    assert packed["peaks_overflow"].tolist() == [0, 3]


def test_the_best_come_first_and_equals_as_they_started() -> None:
    packed = pack_poses([make_poses([0.25, 0.5, 0.25, 0.75])], IDENTITY, capacity=8, peaks_overflow=[0], state=[0])
    assert packed["records"]["started"][0].tolist() == [3, 1, 0, 2, 0, 0, 0, 0]
    assert unpack_poses(packed, "coco-17")[0].scores.tolist() == [0.75, 0.5, 0.25, 0.25]
    assert not packed["records"][0, 4:]["keypoints"].any()


def test_too_many_people_are_counted_and_told() -> None:
    packed = pack_poses([make_poses([0.25, 0.5, 0.75])], IDENTITY, capacity=2, peaks_overflow=[0], state=[0])
    assert packed["people_overflow"].tolist() == [1]
    with pytest.warns(RuntimeWarning, match="3 people were found where there is room for 2"):
        (poses,) = unpack_poses(packed, "coco-17")
    assert poses.scores.tolist() == [0.75, 0.5]


def test_maps_that_are_not_finite_are_told() -> None:
    packed = pack_poses([make_poses([])], IDENTITY, capacity=2, peaks_overflow=[0], state=[NOT_FINITE])
    with pytest.warns(RuntimeWarning, match="NaN or infinite"):
        assert len(unpack_poses(packed, "coco-17")[0]) == 0


def test_positions_come_to_source_pixels_and_missing_ones_stay_zero() -> None:
    geometry = Geometry.reference((1080, 1920), 512)
    poses = make_poses([0.5, 0.25])
    packed = pack_poses([poses], geometry.inverse((256, 256))[None], capacity=2, peaks_overflow=[0], state=[0])
    (moved,) = unpack_poses(packed, "coco-17")
    seen = poses.keypoint_scores > 0
    expected = np.where(seen[..., None], geometry.to_source(poses.keypoints, (256, 256)), 0)
    np.testing.assert_allclose(moved.keypoints, expected, rtol=1e-6)


def test_another_skeleton_is_refused() -> None:
    with pytest.raises(InputError, match="crowdpose-14 has 14 keypoints, the packed people have 17"):
        unpack_poses(np.zeros(1, packed_dtype(17, 4)), "crowdpose-14")


def test_a_crowd_larger_than_was_looked_for_is_told() -> None:
    scene = make_scene(np.random.default_rng(0), 45, size=(512, 512), tag_size=1, hidden=0)
    maps = scene.heatmaps[None], scene.tags[None]
    with pytest.warns(RuntimeWarning, match=r"more than 30 people may be in view, \d+ detections were left out"):
        decode_poses(*maps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode_poses(*maps, DecodeSettings(max_people=60))
