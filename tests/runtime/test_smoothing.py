"""Smoothing: still people stand still, moving ones do not lag, and doubtful joints drag nobody."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.moving_people import STANDING
from heatstream.results import Poses, Result, StageTimes
from heatstream.runtime.smoothing import Smoother, ZeroPhaseSmoother

HEIGHT = 300.0  # px
NOISE = 0.01 * HEIGHT  # what a network is off by from frame to frame


def person(place: float = 500.0, *, noise: NDArray[np.float64] | float = 0.0, score: float = 0.8) -> Poses:
    keypoints = (STANDING * HEIGHT + [place, 100] + noise)[None]
    return Poses(keypoints, np.full((1, 17), score), np.array([score]), "coco-17", np.array([1]))


def test_a_still_person_jitters_less_than_a_quarter() -> None:
    rng = np.random.default_rng(0)
    for fps in (10, 30, 60):
        smoother = Smoother()
        frames = [person(noise=rng.normal(size=(17, 2)) * NOISE) for _ in range(20 * fps)]
        smooth = [smoother(poses, number / fps) for number, poses in enumerate(frames)]
        raw, left = (np.std([poses.keypoints[0] for poses in of[2 * fps :]], axis=0).mean() for of in (frames, smooth))
        print(f"{fps} frames per second: jitter {left / raw:.3f} of raw")
        assert left < raw / 4


def test_the_lag_of_one_body_height_per_second_is_below_a_frame() -> None:
    for noise in (0, NOISE):
        rng = np.random.default_rng(0)
        for fps in (10, 30, 60):
            smoother, lags = Smoother(), []
            for number in range(3 * fps):
                place = 100 + max(0.0, number / fps - 1) * HEIGHT  # stands for a second, then goes
                found = smoother(person(place, noise=rng.normal(size=(17, 2)) * noise), number / fps)
                lags.append((person(place).keypoints - found.keypoints)[0, :, 0].mean() / (HEIGHT / fps))
            print(f"{fps} frames per second, noise {noise} px: lag {max(lags):.2f} frames, {lags[-1]:.2f} on the way")
            assert max(lags) <= 1


def test_a_doubtful_joint_is_held_on_its_body() -> None:
    smoother = Smoother()
    for number in range(30):
        smoother(person(), number / 30)
    keypoints, scores = person(540).keypoints.copy(), person().keypoint_scores.copy()
    keypoints[0, 9], scores[0, 9] = (10, 10), 0.05  # the left wrist is somewhere else altogether, says the network
    found = smoother(Poses(keypoints, scores, np.array([0.8]), "coco-17", np.array([1])), 1.03)
    moved = (found.keypoints - person().keypoints)[0]
    assert 5 < moved[0, 0] <= 40
    assert moved[9] == pytest.approx(np.delete(moved, 9, axis=0).mean(axis=0), abs=1e-3)
    assert found.keypoint_scores[0, 9] == np.float32(0.05)


def test_missing_joints_stay_missing() -> None:
    smoother = Smoother()
    smoother(person(), 0.0)
    keypoints, scores = person().keypoints.copy(), person().keypoint_scores.copy()
    keypoints[0, 9], scores[0, 9] = 0, 0
    found = smoother(Poses(keypoints, scores, np.array([0.8]), "coco-17", np.array([1])), 0.04)
    assert found.keypoints[0, 9].tolist() == [0, 0]


def test_the_state_ends_with_the_id_and_with_a_gap() -> None:
    for other in ({"ids": np.array([2]), "time": 0.04}, {"ids": np.array([1]), "time": 0.7}):
        smoother = Smoother()
        smoother(person(), 0.0)
        moved = person(800)
        found = smoother(
            Poses(moved.keypoints, moved.keypoint_scores, moved.scores, "coco-17", other["ids"]), other["time"]
        )
        assert (found.keypoints == moved.keypoints).all()


def test_people_without_id_and_the_poses_given_stay_as_they_are() -> None:
    smoother = Smoother()
    poses = person()
    nobody = Poses(poses.keypoints, poses.keypoint_scores, poses.scores, "coco-17")
    smoother(nobody, 0.0)
    moved = Poses(poses.keypoints + 5, poses.keypoint_scores, poses.scores, "coco-17")
    assert (smoother(moved, 0.04).keypoints == poses.keypoints + 5).all()


def test_frames_of_one_time_raise_nothing() -> None:
    smoother = Smoother()
    for _ in range(3):
        assert np.isfinite(smoother(person(), 1.0).keypoints).all()


def test_files_are_smoothed_without_lag_in_order_and_whole() -> None:
    rng = np.random.default_rng(0)
    fps, smoother, given, before = 30, ZeroPhaseSmoother(), [], []
    for number in range(5 * fps):
        place = 100 + min(number / fps, 2.5) * HEIGHT  # walks, then stands
        poses = person(place, noise=rng.normal(size=(17, 2)) * NOISE)
        before.append(poses.keypoints[0])
        result = Result(poses, StageTimes({}, 0.0), frame_index=number, capture_time=number / fps)
        given += smoother.add(result)
    given += smoother.finish()
    assert [result.frame_index for result in given] == list(range(5 * fps))
    after = np.array([result.poses.keypoints[0] for result in given])
    walk = slice(fps, 2 * fps)
    truth = np.array([person(100 + number / fps * HEIGHT).keypoints[0] for number in range(fps, 2 * fps)])
    assert abs((after[walk] - truth).mean()) < 0.1 * HEIGHT / fps  # px: a tenth of a frame's way
    stand = slice(4 * fps, None)
    assert after[stand].std(axis=0).mean() < np.array(before[stand]).std(axis=0).mean() / 4
