"""Targets against the reference's arrays, and the properties a target must have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heatstream.models.pose.targets import gaussian_heatmaps, joint_indices

GoldenFile = Callable[[str], Any]

SPECS = {
    "res32_sigma2": (0, 1, 5),
    "res64_sigma2": (0, 1, 5, 30),
    "res128_sigma2": (0, 1, 5, 30),
    "res160_sigma2": (0, 1, 5, 30),
    "res64_sigma1": (0, 1, 5, 30),
    "res64_sigma3": (0, 1, 5, 30),
    "res128_default": (0, 1, 5, 30),
    "res96_default_1p5": (0, 1),
    "res32_default_0p5": (0, 1),
}


@pytest.mark.parametrize("spec", SPECS)
def test_heatmaps_and_indices_equal_the_reference(golden: GoldenFile, spec: str) -> None:
    arrays = golden("targets_swahr.npz")
    sigma = float(arrays[f"sigma_{spec}"])
    for count in SPECS[spec]:
        case = f"{spec}_n{count}"
        if f"people_{case}" not in arrays:
            continue  # the repository's own subset holds fewer cases
        people, expected = arrays[f"people_{case}"], arrays[f"heatmap_{case}"]
        size = expected.shape[1:]
        np.testing.assert_array_equal(gaussian_heatmaps(people, size, sigma), expected)
        for per_joint in (True, False):
            indices = joint_indices(people, size, 30, per_joint)
            np.testing.assert_array_equal(indices, arrays[f"joints_{case}_tagperjoint{int(per_joint)}"])


def test_a_sigma_per_joint_equals_the_reference(golden: GoldenFile) -> None:
    arrays = golden("targets_swahr.npz")
    maps = gaussian_heatmaps(arrays["people_scaleaware_res96"], (96, 96), None)
    np.testing.assert_array_equal(maps, arrays["heatmap_scaleaware_res96"])


def test_fourteen_joints_equal_the_reference(golden: GoldenFile) -> None:
    arrays = golden("targets_swahr.npz")
    people = arrays["people_crowdpose_res64"]
    np.testing.assert_array_equal(gaussian_heatmaps(people, (64, 64), 2.0), arrays["heatmap_crowdpose_res64"])
    np.testing.assert_array_equal(joint_indices(people, (64, 64), 30, True), arrays["joints_crowdpose_res64"])


def test_maps_need_not_be_square() -> None:
    people = np.array([[[20.0, 5.0, 2.0], [5.0, 20.0, 2.0]]])  # the second joint lies below a map of 10 rows
    maps = gaussian_heatmaps(people, (10, 30), 2.0)
    assert maps.shape == (2, 10, 30)
    assert maps.dtype == np.float32
    assert np.unravel_index(maps[0].argmax(), (10, 30)) == (5, 20)
    assert not maps[1].any()
    assert joint_indices(people, (10, 30), 2, True)[0].tolist() == [[5 * 30 + 20, 1], [0, 0]]


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 3), (-4, 2)])
def test_blobs_move_with_the_joint(dx: int, dy: int) -> None:
    still = gaussian_heatmaps(np.array([[[16.4, 15.2, 1.0]]]), (32, 32), 2.0)
    moved = gaussian_heatmaps(np.array([[[16.4 + dx, 15.2 + dy, 1.0]]]), (32, 32), 2.0)
    np.testing.assert_array_equal(np.roll(still, (dy, dx), (1, 2)), moved)


def test_people_merge_by_maximum_in_any_order() -> None:
    people = np.array([[[10.0, 10.0, 2.0]], [[12.0, 10.0, 2.0]]])
    both = gaussian_heatmaps(people, (32, 32), 2.0)
    alone = [gaussian_heatmaps(people[i : i + 1], (32, 32), 2.0) for i in range(2)]
    np.testing.assert_array_equal(both, np.maximum(*alone))
    np.testing.assert_array_equal(both, gaussian_heatmaps(people[::-1], (32, 32), 2.0))


def test_people_beyond_the_capacity_are_left_out() -> None:
    people = np.full((3, 2, 3), 4.0)
    indices = joint_indices(people, (8, 8), 2, False)
    assert indices.shape == (2, 2, 2)
    assert indices[..., 1].all()
