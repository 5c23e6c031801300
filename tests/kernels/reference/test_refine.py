"""The search of missing joints against the rule written out: every pixel for every person."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.kernels.reference import refine
from heatstream.kernels.reference.refine import find_missing
from heatstream.kernels.synthetic import make_scene

FloatArray = NDArray[np.float32]


def exhaustive(
    heatmaps: FloatArray, tags: FloatArray, missing: NDArray[np.bool_], mean_tags: FloatArray
) -> NDArray[np.intp]:
    found = np.zeros(missing.shape, np.intp)
    for person, joint in np.argwhere(missing):
        difference = tags[joint].reshape(heatmaps[joint].size, -1) - mean_tags[person]
        if difference.shape[1] == 1:
            distance = np.abs(difference[:, 0])
        else:
            distance = np.zeros(len(difference), np.float32)
            for plane in (difference * difference).T:
                distance += plane
            distance = np.sqrt(distance)
        found[person, joint] = (heatmaps[joint].reshape(-1) - np.rint(distance)).argmax()
    return found


def random_case(rng: np.random.Generator) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray]:
    """Maps of any size with ties, plateaus and halves, and people with equal tags or tags that are nowhere."""
    joints, tag_size, people = (int(rng.integers(1, limit)) for limit in (4, 4, 12))
    height, width = (int(side) for side in rng.integers(1, rng.choice([3, 20, 60]), 2))
    heatmaps = rng.normal(0, 0.05, (joints, height, width))
    heatmaps = [heatmaps, np.round(heatmaps * 20) / 20, np.maximum(heatmaps - 0.1, 0)][rng.integers(3)]
    heatmaps = np.where(rng.random(heatmaps.shape) < 0.02, rng.random(heatmaps.shape), heatmaps)
    spread = rng.choice([0.1, 1, 3, 100])
    tags = rng.normal(0, spread, (joints, height, width, tag_size))
    halves = np.broadcast_to(tags[:, :1, :1], tags.shape).copy()
    halves[:, height // 2 :] += rng.choice([0.5, 1, 2, 7])
    tags = [tags, np.round(2 * tags) / 2, halves][rng.integers(3)]
    mean_tags = rng.normal(0, spread, (people, tag_size))
    mean_tags = [mean_tags, np.round(2 * mean_tags) / 2, np.broadcast_to(mean_tags[:1], mean_tags.shape)][
        rng.integers(3)
    ]
    far_off = rng.choice([0, 0, 1e4])  # where sums of squares round to hundreds
    tags, mean_tags = tags + far_off, mean_tags + far_off
    missing = rng.random((people, joints)) < rng.choice([0.2, 0.6, 1])
    return heatmaps.astype(np.float32), tags.astype(np.float32), missing, mean_tags.astype(np.float32)


@pytest.mark.parametrize("limits", [{}, {"FEW_PX": 0, "AT_ONCE": 256}], ids=["", "small limits"])
def test_the_search_equals_the_exhaustive_one(monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(refine, name, value)
    rng = np.random.default_rng(0)
    for case in range(150):
        arrays = random_case(rng)
        np.testing.assert_array_equal(find_missing(*arrays), exhaustive(*arrays), err_msg=f"case {case}")


@pytest.mark.parametrize("hidden_tags", [True, False])
def test_of_a_crowd_too(hidden_tags: bool) -> None:
    rng = np.random.default_rng(3)
    scene = make_scene(rng, 12, joints=3, size=(131, 250), hidden=0.5, hidden_tags=hidden_tags)
    mean_tags = rng.permutation(12)[:, None].astype(np.float32) * 2 + np.zeros(2, np.float32)
    arrays = scene.heatmaps, scene.tags, ~scene.present, mean_tags
    np.testing.assert_array_equal(find_missing(*arrays), exhaustive(*arrays))


def test_a_crowd_whose_tags_are_nowhere_is_not_searched_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene(np.random.default_rng(0), 12, joints=6, hidden=0.3, hidden_tags=False)
    looked_at: dict[str, int] = {}

    def count(name: str) -> None:
        function = getattr(refine, name)

        def counting(blocks: refine.Blocks, number: NDArray[np.intp], *rest: Any) -> Any:
            looked_at[name] = number.size
            return function(blocks, number, *rest)

        monkeypatch.setattr(refine, name, counting)

    count("_open_beside_gaps")
    count("_best_pixels")
    seen = scene.present.argmax(axis=1)  # a joint that is drawn
    x, y = scene.keypoints[np.arange(12), seen].astype(int).T
    find_missing(scene.heatmaps, scene.tags, ~scene.present, scene.tags[seen, y, x])
    all_blocks = int((~scene.present).sum()) * (256 // refine.BLOCK) ** 2
    assert 0 < looked_at["_open_beside_gaps"] < 0.1 * all_blocks  # the others lie within one person's tag
    assert 0 < looked_at["_best_pixels"] < 0.02 * all_blocks  # valued pixel by pixel


@pytest.mark.parametrize(("height", "width"), [(256, 256), (131, 250)])
def test_blocks_tell_whether_all_tags_are_finite(height: int, width: int) -> None:
    rng = np.random.default_rng(5)
    heatmaps = rng.random((2, height, width), np.float32)
    tags = rng.normal(0, 1, (2, height, width, 2)).astype(np.float32)
    assert refine.Blocks(heatmaps, tags).tags_are_finite()
    for value in (np.nan, np.inf, -np.inf):
        for place in ((1, height - 1, width - 1, 0), (0, 3, 0, 1)):
            broken = tags.copy()
            broken[place] = value
            assert not refine.Blocks(heatmaps, broken).tags_are_finite()


@pytest.mark.parametrize("few_px", [2**62, 0], ids=["whole maps", "blocks"])
def test_tags_beyond_all_distances_find_the_first_pixel(monkeypatch: pytest.MonkeyPatch, few_px: int) -> None:
    monkeypatch.setattr(refine, "FEW_PX", few_px)
    rng = np.random.default_rng(6)
    heatmaps = rng.random((1, 20, 20), np.float32)
    tags = np.where(rng.random((1, 20, 20, 2)) < 0.5, 3e38, -3e38).astype(np.float32)
    mean_tags = np.array([[0, 0], [np.inf, 0], [np.nan, 0]], np.float32)
    assert find_missing(heatmaps, tags, np.ones((3, 1), np.bool_), mean_tags).tolist() == [[0], [0], [0]]
