"""Errors of landmarks and what is made of them, against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.models.landmarks.metrics import auc, face_lengths, failure_rate, nme, pckh, scores
from heatstream.skeletons import Skeleton


def face(skeleton: Skeleton, **places: tuple[float, float]) -> Any:
    """(1, L, 2): named points, the others at (5, 5)."""
    points = np.full((1, skeleton.num_keypoints, 2), 5.0)
    for name, place in places.items():
        points[0, skeleton.keypoints.index(name)] = place
    return points


@pytest.mark.parametrize(
    ("skeleton", "corners"),
    [("300w-68", (36, 45)), ("wflw-98", (60, 72)), ("cofw-29", (8, 9)), ("aflw-19", (6, 11)), ("lapa-106", (66, 79))],
)
def test_inter_ocular_is_between_the_outer_corners(skeleton: str, corners: tuple[int, int]) -> None:
    points = np.zeros((1, skeletons.get(skeleton).num_keypoints, 2))
    points[0, corners[0]], points[0, corners[1]] = (10, 20), (40, 60)
    assert face_lengths(points, skeletons.get(skeleton)) == pytest.approx([50])


def test_inter_pupil_takes_pupils_or_the_middle_of_the_eyes() -> None:
    pupils = face(skeletons.WFLW_98, right_pupil=(1, 5), left_pupil=(4, 9))
    assert face_lengths(pupils, skeletons.WFLW_98, "inter-pupil") == pytest.approx([5])
    without = np.full((1, 68, 2), 5.0)
    without[0, 36:42] = np.arange(12).reshape(6, 2)  # mean (5, 6)
    without[0, 42:48] = np.arange(12).reshape(6, 2) + np.array([30, 40])
    assert face_lengths(without, skeletons.W300_68, "inter-pupil") == pytest.approx([50])


def test_box_is_the_side_of_a_square_of_its_area() -> None:
    points = face(skeletons.W300_68, chin=(13, 7))
    assert face_lengths(points, skeletons.W300_68, "box") == pytest.approx([4])
    assert face_lengths(points, skeletons.W300_68, "box", np.array([[0, 0, 9, 25]])) == pytest.approx([15])


@pytest.mark.parametrize(
    ("skeleton", "norm", "message"),
    [
        (skeletons.MPII_16, "inter-ocular", "mpii-16 has no eyes to measure the inter-ocular distance between"),
        (skeletons.W300_68, "inter-ocular", "face 0 has no inter-ocular length"),
        (skeletons.W300_68, "box", "face 0 has no box length"),
    ],
)
def test_faces_without_a_length_are_refused(skeleton: Skeleton, norm: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        face_lengths(np.zeros((1, skeleton.num_keypoints, 2)), skeleton, norm)


def test_nme_is_the_mean_distance_over_the_length() -> None:
    truth = np.zeros((2, 2, 2))
    found = np.array([[[3, 4], [0, 0]], [[0, 2], [np.nan, 0]]])
    labelled = np.array([[True, True], [True, False]])
    assert nme(found, truth, np.array([10, 4]), labelled) == pytest.approx([0.25, 0.5])
    assert nme(found, truth, np.array([10, 4])) == pytest.approx([0.25, np.inf])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (((1, 2, 2), (1, 3, 2), (1,), (1, 3)), r"got \(1, 2, 2\) and \(1, 3, 2\)"),
        (((1, 3, 2), (1, 3, 2), (2,), (1, 3)), r"and \(2,\) lengths"),
        (((1, 3, 2), (1, 3, 2), (1,), (1, 3)), "example 0 has no labelled landmark"),
    ],
)
def test_nme_refuses_what_does_not_belong_together(arrays: Any, message: str) -> None:
    found, truth, lengths, labelled = (np.zeros(shape) for shape in arrays)
    with pytest.raises(InputError, match=message):
        nme(found, truth, lengths + 1, labelled > 0)


def test_failures_are_errors_above_the_threshold() -> None:
    assert failure_rate(np.array([0.05, 0.1, 0.11, np.inf]), 0.1) == 0.5


@pytest.mark.parametrize(
    ("errors", "area"),
    [([0.0, 0.0], 1.0), ([0.1, 5.0, np.inf], 0.0), ([0.05], 0.5), ([0.02, 0.06, 0.2], (0.8 + 0.4) / 3)],
)
def test_auc_is_the_exact_area(errors: list[float], area: float) -> None:
    assert auc(np.array(errors), 0.1) == pytest.approx(area)
    steps = np.linspace(0, 0.1, 20001)
    share = (np.array(errors)[None] <= steps[:, None]).mean(axis=1)
    assert share.mean() == pytest.approx(area, abs=1e-3)


def test_scores_sum_up_the_set_and_its_subsets() -> None:
    total = scores(np.array([0.02, 0.04, 0.12]), [("blur",), (), ("blur", "pose")])
    assert (total.count, total.nme) == (3, pytest.approx(6))
    assert total.failure_rate == pytest.approx({0.08: 100 / 3, 0.1: 100 / 3})
    assert total.auc == pytest.approx({0.08: 100 * (0.75 + 0.5) / 3, 0.1: 100 * (0.8 + 0.6) / 3})
    assert {name: (part.count, part.nme) for name, part in total.subsets.items()} == {
        "blur": (2, pytest.approx(7)),
        "pose": (1, pytest.approx(12)),
    }
    assert total.subsets["pose"].subsets == {}


@pytest.mark.parametrize(("count", "subsets"), [(0, []), (2, [("blur",)])])
def test_scores_need_errors_and_as_many_lists(count: int, subsets: list[tuple[str, ...]]) -> None:
    with pytest.raises(InputError, match="cannot be summed up"):
        scores(np.zeros(count), subsets)


def test_pckh_counts_joints_within_a_share_of_the_head() -> None:
    truth = np.zeros((2, 16, 2))
    found = truth.copy()
    found[0, 15] = (6, 8)  # left wrist of the first, 10 px off
    found[:, 6] = (99, 0)  # the pelvis never counts
    labelled = np.ones((2, 16), np.bool_)
    labelled[:, 0] = False  # right ankle: nobody's
    labelled[1, 9] = False
    half, tenth = (pckh(found, truth, labelled, np.array([20.0, 20.0]), share) for share in (0.5, 0.1))
    assert half["mean"] == half["wrist"] == half["head"] == 100
    assert np.isnan(half["ankle"])
    assert tenth["wrist"] == 75
    assert tenth["mean"] == pytest.approx(100 * 24 / 25)
    found[0, 9] = np.nan
    assert pckh(found, truth, labelled, np.array([20.0, 20.0]))["head"] == 0


def test_pckh_refuses_other_skeletons() -> None:
    with pytest.raises(InputError, match=r"PCKh takes \(N, 16\) joints, got \(1, 17\)"):
        pckh(np.zeros((1, 17, 2)), np.zeros((1, 17, 2)), np.ones((1, 17), np.bool_), np.ones(1))
