"""The decode against the official parser's results on the reference scenes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.kernels.reference.peaks import find_peaks
from heatstream.results import Poses

FILES = ["ae_decode_coco_tagdim1", "ae_decode_coco_tagdim2", "ae_decode_crowdpose", "ae_decode_adversarial"]
VARIANTS = {
    "raw": DecodeSettings(adjust="none", refine=False, plateaus="all"),
    "adjust": DecodeSettings(adjust="quarter", refine=False, plateaus="all"),
    "refine": DecodeSettings(adjust="none", refine=True, plateaus="all"),
    "adjust_refine": DecodeSettings(adjust="quarter", refine=True, plateaus="all"),
}
# Where one of these is set, chance inside the official parser decides its result (see the flags' meaning there).
CHANCE_FLAGS = ("topk_tie", "assignment_ambiguous", "key_collisions")


def scenes(file: Any) -> Iterator[tuple[str, dict[str, Any], np.ndarray, np.ndarray]]:
    for name, flags in json.loads(str(file["meta"])).items():
        yield name, flags, file[f"{name}_det"].astype(np.float32), file[f"{name}_tag"].astype(np.float32)


def decode(heatmaps: np.ndarray, tags: np.ndarray, settings: DecodeSettings) -> Poses:
    return decode_poses(heatmaps[None], tags[None], settings)[0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", FILES)
def test_equals_the_official_parser_where_it_is_determined(
    golden: Callable[[str], Any], name: str, variant: str
) -> None:
    file = golden(f"{name}.npz")
    compared = 0
    for scene, flags, heatmaps, tags in scenes(file):
        if any(flags[flag] for flag in CHANCE_FLAGS):
            continue
        poses = decode(heatmaps, tags, VARIANTS[variant])
        expected = file[f"{scene}_{variant}"]
        assert len(poses) == len(expected), scene
        np.testing.assert_allclose(poses.keypoints, expected[..., :2], atol=1e-3, err_msg=scene)
        np.testing.assert_allclose(poses.keypoint_scores, expected[..., 2], atol=1e-5, err_msg=scene)
        np.testing.assert_allclose(poses.scores, file[f"{scene}_scores"], atol=1e-5, err_msg=scene)
        compared += 1
    assert compared > 0


@pytest.mark.parametrize("name", FILES)
def test_every_detection_is_in_exactly_one_person(golden: Callable[[str], Any], name: str) -> None:
    for scene, _, heatmaps, tags in scenes(golden(f"{name}.npz")):
        poses = decode(heatmaps, tags, VARIANTS["raw"])
        found = find_peaks(heatmaps, threshold=0.1, nms_kernel=5, capacity=30, plateaus="all")
        for joint, count in enumerate(found.counts):
            here = poses.keypoint_scores[:, joint] > 0
            placed = sorted(map(tuple, poses.keypoints[here, joint].astype(int)))
            assert placed == sorted(map(tuple, found.pixels[joint, :count])), f"{scene}, joint {joint}"


@pytest.mark.parametrize("name", FILES)
def test_same_result_on_every_run(golden: Callable[[str], Any], name: str) -> None:
    for scene, _, heatmaps, tags in scenes(golden(f"{name}.npz")):
        first, second = (decode(heatmaps, tags, VARIANTS["adjust_refine"]) for _ in range(2))
        np.testing.assert_array_equal(first.keypoints, second.keypoints, err_msg=scene)
        np.testing.assert_array_equal(first.keypoint_scores, second.keypoint_scores, err_msg=scene)


@pytest.mark.parametrize("name", FILES)
def test_candidates_equal_the_official_top_k(golden: Callable[[str], Any], name: str) -> None:
    file = golden(f"{name}.npz")
    for scene, flags, heatmaps, _ in scenes(file):
        found = find_peaks(heatmaps, threshold=0.1, nms_kernel=5, capacity=30, plateaus="all")
        np.testing.assert_array_equal(found.scores, file[f"{scene}_topk_val"], err_msg=scene)
        if not flags["topk_tie"]:
            used = found.scores > 0
            np.testing.assert_array_equal(found.pixels[used], file[f"{scene}_topk_xy"][used], err_msg=scene)
