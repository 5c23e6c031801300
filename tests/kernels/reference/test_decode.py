"""What the decode promises beyond the reference scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain_parser import group_plainly, parse_plainly
from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.kernels.reference import refine
from heatstream.kernels.reference.group import group_by_tag
from heatstream.kernels.reference.peaks import Candidates, find_peaks
from heatstream.kernels.reference.refine import find_missing
from heatstream.kernels.reference.subpixel import refine_positions
from heatstream.kernels.settings import Adjust, Plateaus
from heatstream.kernels.synthetic import make_scene
from heatstream.skeletons import COCO_17

RAW = DecodeSettings(adjust="none", refine=False)


def maps(joints: int = 17, size: tuple[int, int] = (32, 48), tag_size: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((1, joints, *size), np.float32), np.zeros((1, joints, *size, tag_size), np.float32)


@pytest.mark.parametrize("value", [0.0, -1.0, 0.05, 0.1])  # 0.1 is the threshold, which must be exceeded
@pytest.mark.parametrize("adjust", ["none", "quarter", "h3r"])
def test_maps_without_a_detection_give_nobody(value: float, adjust: Adjust) -> None:
    heatmaps, tags = maps()
    poses = decode_poses(heatmaps + np.float32(value), tags, DecodeSettings(adjust=adjust))
    assert [len(pose) for pose in poses] == [0]
    assert poses[0].keypoints.shape == (0, 17, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["heatmaps", "tags"])
@pytest.mark.parametrize("few_px", [refine.FEW_PX, 0], ids=["few people", "a crowd"])
def test_a_broken_map_gives_nobody_and_one_warning(
    monkeypatch: pytest.MonkeyPatch, value: float, where: str, few_px: int
) -> None:
    monkeypatch.setattr(refine, "FEW_PX", few_px)
    heatmaps, tags = maps()
    heatmaps[0, 3, 10, 12] = 0.9
    (heatmaps if where == "heatmaps" else tags)[0, 5, 7, 9] = value
    both = np.repeat(heatmaps, 2, axis=0), np.repeat(tags, 2, axis=0)
    both[0][1], both[1][1] = 0, 0
    both[0][1, 3, 10, 12] = 0.9
    with pytest.warns(RuntimeWarning, match="NaN or infinite") as caught:
        broken, sound = decode_poses(*both)
    assert len(caught) == 1
    assert (len(broken), len(sound)) == (0, 1)


@pytest.mark.parametrize(
    ("heatmap_shape", "tag_shape", "message"),
    [
        ((17, 8, 8), (17, 8, 8, 1), "heatmaps must have shape"),
        ((1, 17, 0, 8), (1, 17, 0, 8, 1), "heatmaps must have shape"),
        ((1, 17, 8, 8), (1, 17, 8, 8), "tags must have shape"),
        ((1, 17, 8, 8), (1, 17, 8, 4, 1), "tags must have shape"),
        ((1, 17, 8, 8), (1, 17, 8, 8, 0), "tags must have shape"),
        ((1, 5, 8, 8), (1, 5, 8, 8, 1), "no skeleton has 5 keypoints"),
    ],
)
def test_refuses_other_shapes(heatmap_shape: tuple[int, ...], tag_shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_poses(np.zeros(heatmap_shape, np.float32), np.zeros(tag_shape, np.float32))


@pytest.mark.parametrize(
    "wrong", [{"max_people": 0}, {"nms_kernel": 4}, {"nms_kernel": -1}, {"adjust": "half"}, {"skeleton": "coco-18"}]
)
def test_refuses_settings_out_of_range(wrong: dict[str, object]) -> None:
    with pytest.raises((InputError, LookupError)):
        DecodeSettings(**wrong)  # type: ignore[arg-type]


def test_a_skeleton_can_be_named() -> None:
    heatmaps, tags = maps(joints=14)
    assert decode_poses(heatmaps, tags)[0].skeleton == "crowdpose-14"
    with pytest.raises(InputError, match="coco-17 has 17 keypoints, got 14"):
        decode_poses(heatmaps, tags, DecodeSettings(skeleton="coco-17"))


def test_the_person_threshold_leaves_out_whole_people_and_changes_no_other() -> None:
    scene = make_scene(np.random.default_rng(5), 6, hidden=0.4, tag_spacing=5.0)
    everybody = decode_poses(scene.heatmaps[None], scene.tags[None])[0]
    threshold = float(np.median(everybody.scores))
    settings = DecodeSettings(person_threshold=threshold)
    strong = decode_poses(scene.heatmaps[None], scene.tags[None], settings)[0]
    kept = everybody.scores >= threshold
    assert 0 < kept.sum() < len(everybody)
    np.testing.assert_array_equal(strong.keypoints, everybody.keypoints[kept])
    np.testing.assert_array_equal(strong.keypoint_scores, everybody.keypoint_scores[kept])


def test_people_move_with_the_image() -> None:
    scene = make_scene(np.random.default_rng(7), 4, size=(96, 128), background=0.0, hidden=0.3)
    padded = np.pad(scene.heatmaps, ((0, 0), (20, 20), (20, 20)))
    tags = np.pad(scene.tags, ((0, 0), (20, 20), (20, 20), (0, 0)), constant_values=-50)
    still = decode_poses(padded[None], tags[None])[0]
    moved = decode_poses(np.roll(padded, (3, -5), (1, 2))[None], np.roll(tags, (3, -5), (1, 2))[None])[0]
    seen = still.keypoint_scores > 0
    np.testing.assert_allclose(moved.keypoints[seen], still.keypoints[seen] + [-5, 3], atol=1e-4)


def test_one_image_of_a_batch_does_not_depend_on_the_others() -> None:
    scenes = [make_scene(np.random.default_rng(seed), people, size=(64, 96)) for seed, people in enumerate((3, 0, 6))]
    together = decode_poses(np.stack([s.heatmaps for s in scenes]), np.stack([s.tags for s in scenes]))
    for scene, poses in zip(scenes, together, strict=True):
        alone = decode_poses(scene.heatmaps[None], scene.tags[None])[0]
        np.testing.assert_array_equal(alone.keypoints, poses.keypoints)


def test_people_with_the_same_tag_do_not_overwrite_each_other() -> None:
    heatmaps, tags = maps()
    heatmaps[0, 0, 5, 5] = heatmaps[0, 0, 5, 30] = heatmaps[0, 0, 25, 30] = 0.9
    poses = decode_poses(heatmaps, tags, RAW)[0]
    assert len(poses) == 3
    np.testing.assert_array_equal(poses.keypoints[:, 0], [[5, 5], [30, 5], [30, 25]])


def test_equal_costs_are_decided_by_the_unrounded_distance() -> None:
    # Every distance rounds to 0, so to the official cost both assignments are equal; the nearer one must win,
    # whichever way the candidates are sorted.
    for first_tag, second_tag in ((0.0, 0.4), (0.4, 0.0)):
        candidates = Candidates(
            counts=np.array([2, 2], np.int32),
            scores=np.array([[0.9, 0.8], [0.9, 0.8]], np.float32),
            pixels=np.zeros((2, 2, 2), np.int32),
            overflow=0,
        )
        tags = np.array([[[0.0], [0.4]], [[first_tag], [second_tag]]], np.float32)
        members = group_by_tag(candidates, tags, (0, 1), max_people=30, tag_threshold=1.0, use_detection_score=True)
        expected = [[0, 0], [1, 1]] if first_tag == 0 else [[0, 1], [1, 0]]
        np.testing.assert_array_equal(members, expected)


def test_equal_distances_are_decided_by_the_order() -> None:
    count = 6
    candidates = Candidates(
        counts=np.array([count, count], np.int32),
        scores=np.full((2, count), 0.5, np.float32),
        pixels=np.zeros((2, count, 2), np.int32),
        overflow=0,
    )
    members = group_by_tag(
        candidates, np.zeros((2, count, 1), np.float32), (0, 1),
        max_people=30, tag_threshold=1.0, use_detection_score=True,
    )  # fmt: skip
    np.testing.assert_array_equal(members, np.repeat(np.arange(count)[:, None], 2, axis=1))


def pair_errors(group: np.ndarray, truth: np.ndarray) -> int:
    """Pairs of detections of one person that were parted, and of two that were joined."""
    together, belong = group[:, None] == group[None], truth[:, None] == truth[None]
    return int((together != belong).sum()) // 2


@pytest.mark.parametrize(
    ("people", "tag_size", "spread", "noise"),
    [(6, 1, 10, 0.2), (15, 1, 30, 0.2), (30, 1, 30, 0.15), (30, 2, 15, 0.2), (45, 1, 60, 0.15), (45, 2, 20, 0.15)],
)
def test_groups_crowds_no_worse_than_the_official_rule(people: int, tag_size: int, spread: float, noise: float) -> None:
    ours = official = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        person_tags = rng.uniform(0, spread, (people, tag_size))
        scores, tags, truth = [], [], []
        for _ in range(17):
            there = np.flatnonzero(rng.random(people) > 0.2)
            strength = rng.uniform(0.15, 1, len(there)).astype(np.float32)
            strongest = np.argsort(-strength)[:30]
            there = there[strongest]
            scores.append(strength[strongest])
            tags.append((person_tags[there] + rng.normal(0, noise, (len(there), tag_size))).astype(np.float32))
            truth.append(there)

        candidates = Candidates(
            counts=np.array([len(s) for s in scores], np.int32),
            scores=np.stack([np.pad(s, (0, 30 - len(s))) for s in scores]),
            pixels=np.zeros((17, 30, 2), np.int32),
            overflow=0,
        )
        padded = np.stack([np.pad(t, ((0, 30 - len(t)), (0, 0))) for t in tags])
        members = group_by_tag(
            candidates, padded, COCO_17.grouping_order, max_people=30, tag_threshold=1.0, use_detection_score=True
        )
        plain = list(group_plainly(scores, tags, COCO_17.grouping_order).values())
        ours_of, official_of, truth_of = [], [], []
        for joint in range(17):
            for row in range(len(tags[joint])):
                (mine,) = np.flatnonzero(members[:, joint] == row)
                theirs = [person for person, rows in enumerate(plain) if rows.get(joint) == row]
                ours_of.append(mine)
                official_of.append(theirs[0] if theirs else -len(official_of) - 1)  # overwritten: alone
                truth_of.append(truth[joint][row])
        ours += pair_errors(np.array(ours_of), np.array(truth_of))
        official += pair_errors(np.array(official_of), np.array(truth_of))
    assert ours <= official


def test_finds_the_people_that_were_drawn() -> None:
    scene = make_scene(np.random.default_rng(3), 8, hidden=0.1)
    poses = decode_poses(scene.heatmaps[None], scene.tags[None])[0]
    for person, present in zip(scene.keypoints, scene.present, strict=True):
        distance = np.linalg.norm(poses.keypoints - person, axis=2)
        close = (distance < 1).sum(axis=1).max()
        assert close >= 0.8 * present.sum()


def test_equals_the_plain_parser_on_clean_people() -> None:
    scene = make_scene(np.random.default_rng(11), 6, tag_spacing=5.0)
    ours = decode_poses(scene.heatmaps[None], scene.tags[None])[0]
    plain = parse_plainly(scene.heatmaps, scene.tags, COCO_17.grouping_order)
    np.testing.assert_allclose(ours.keypoints, plain[..., :2], atol=1e-4)
    np.testing.assert_allclose(ours.keypoint_scores, plain[..., 2], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    tag_size=st.integers(1, 2),
    levels=st.sampled_from([2, 5, 1000]),  # few levels make ties, which the first pixel in row-major order wins
    brightest=st.sampled_from([0.01, 0.1, 0.5, 2.0]),
)
def test_refine_finds_what_a_look_at_every_pixel_finds(
    seed: int, size: tuple[int, int], tag_size: int, levels: int, brightest: float
) -> None:
    rng = np.random.default_rng(seed)
    heatmaps = (rng.integers(-levels, levels, (3, *size)) / levels * brightest).astype(np.float32)
    tags = rng.normal(0, 1.5, (3, *size, tag_size)).astype(np.float32)
    mean_tags = rng.normal(0, 1.5, (4, tag_size)).astype(np.float32)
    missing = rng.random((4, 3)) < 0.7
    found = find_missing(heatmaps, tags, missing, mean_tags)
    for person, joint in np.argwhere(missing):
        distance = np.sqrt(((tags[joint] - mean_tags[person]) ** 2).sum(axis=2))
        assert found[person, joint] == np.argmax(heatmaps[joint] - np.round(distance))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    kernel=st.sampled_from([1, 3, 5, 7]),
    capacity=st.integers(1, 6),
    levels=st.sampled_from([3, 1000]),
    plateaus=st.sampled_from(["first", "all"]),
)
def test_peaks_are_the_strongest_local_maxima(
    seed: int, size: tuple[int, int], kernel: int, capacity: int, levels: int, plateaus: Plateaus
) -> None:
    rng = np.random.default_rng(seed)
    heatmap = (rng.integers(0, levels, size) / levels).astype(np.float32)
    # Among others: one without a detection, and one whose detections reach to its neighbours' borders.
    heatmaps = np.stack([np.zeros_like(heatmap), heatmap, np.ones_like(heatmap)])
    found = find_peaks(heatmaps, threshold=0.2, nms_kernel=kernel, capacity=capacity, plateaus=plateaus)
    reach = kernel // 2

    def is_peak(values: np.ndarray, y: int, x: int) -> bool:
        rows, columns = range(max(y - reach, 0), y + reach + 1), range(max(x - reach, 0), x + reach + 1)
        square = [(row, column) for row in rows for column in columns if row < size[0] and column < size[1]]
        equals = [place for place in square if values[place] == values[y, x]]
        return values[y, x] == max(values[place] for place in square) and (plateaus == "all" or equals[0] == (y, x))

    maxima = [
        (-heatmap[y, x], y, x)
        for y, x in np.ndindex(*size)
        if heatmap[y, x] > np.float32(0.2) and is_peak(heatmap, y, x)
    ]
    flat = sum(is_peak(np.ones_like(heatmap), y, x) for y, x in np.ndindex(*size))
    assert flat == (heatmap.size if plateaus == "all" or kernel == 1 else 1)
    expected = sorted(maxima)[:capacity]
    assert found.counts.tolist() == [0, len(expected), min(flat, capacity)]
    assert found.overflow == len(maxima) - len(expected) + flat - min(flat, capacity)
    assert [tuple(p) for p in found.pixels[1, : len(expected)]] == [(x, y) for _, y, x in expected]
    np.testing.assert_array_equal(found.scores[1, : len(expected)], [-score for score, _, _ in expected])


def gaussian(centers: np.ndarray, sigma: float) -> np.ndarray:
    """(P, 2) centres to (P, 32, 32) maps, pixel centres at +0.5."""
    y, x = np.mgrid[:32, :32] + 0.5
    x_part = (x[None] - centers[:, 0, None, None]) ** 2
    return np.exp(-(x_part + (y[None] - centers[:, 1, None, None]) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize(("adjust", "low", "high"), [("none", 0.5, 1.0), ("quarter", 0.15, 0.3), ("h3r", 0.0, 0.1)])
def test_each_adjustment_is_as_exact_as_it_can_be(adjust: str, low: float, high: float) -> None:
    # The mean distance to the true centre. A pixel index has its own half-pixel convention, hence 0.5 and more.
    centers = np.random.default_rng(0).uniform(12, 20, (500, 2))
    heatmaps = gaussian(centers, sigma=2.0)
    peak = heatmaps.reshape(500, -1).argmax(axis=1)
    pixels = np.stack([peak % 32, peak // 32], axis=1)
    found = refine_positions(heatmaps, np.arange(500), pixels, adjust)  # type: ignore[arg-type]
    assert low <= np.linalg.norm(found - centers, axis=1).mean() <= high


@pytest.mark.parametrize("corner", [(0, 0), (31, 0), (0, 31), (31, 31)])
@pytest.mark.parametrize("adjust", ["quarter", "h3r"])
def test_adjustment_stays_inside_the_map_at_its_corners(adjust: str, corner: tuple[int, int]) -> None:
    heatmap = gaussian(np.array([corner]) + 0.5, sigma=2.0)
    x, y = refine_positions(heatmap, np.array([0]), np.array([corner]), adjust)[0]  # type: ignore[arg-type]
    assert 0 <= x <= 32
    assert 0 <= y <= 32


def test_a_saturated_map_is_one_person_not_nine() -> None:
    heatmaps = np.zeros((1, 17, 40, 40), np.float32)
    heatmaps[:, :, 20:23, 10:13] = 1
    tags = np.zeros((*heatmaps.shape, 1), np.float32)
    (poses,) = decode_poses(heatmaps, tags, DecodeSettings())
    assert len(poses.scores) == 1
    (official,) = decode_poses(heatmaps, tags, DecodeSettings(plateaus="all"))
    assert len(official.scores) == 9


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("detection_score", [True, False])
@pytest.mark.parametrize("values", [(1e12, -1e12), (1e12, 1.0001e12), (3e38, -3e38), (3e38, 0.0), (1e30, 3.0)])
def test_two_people_of_any_tags_are_two(values: tuple[float, float], detection_score: bool, planes: int) -> None:
    heatmaps = np.zeros((1, 17, 40, 40), np.float32)
    tags = np.zeros((*heatmaps.shape, planes), np.float32)
    for person, value in enumerate(values):
        for joint in range(17):
            y, x = 5 + 2 * joint, 8 + 20 * person
            heatmaps[0, joint, y, x] = 0.9 - 0.1 * person
            tags[0, joint, y, x] = value
    (poses,) = decode_poses(heatmaps, tags, DecodeSettings(use_detection_score=detection_score))
    assert len(poses.scores) == 2
    for person in range(2):
        assert set(np.floor(poses.keypoints[person, :, 0])) == {8 + 20 * person}


@pytest.mark.parametrize("margin", [0, 1, 2, 3])
def test_joints_at_the_border_are_not_drawn_inwards(margin: int) -> None:
    """The mean error over positions within a pixel; in the outermost row nothing tells more than the pixel itself."""
    rng, size = np.random.default_rng(margin), 30
    errors = []
    for _ in range(200):
        x, y = rng.uniform(margin, margin + 1, 2)
        column, row = (np.exp(-((np.arange(size) + 0.5 - place) ** 2) / 8) for place in (x, y))
        heatmap = np.outer(row, column).astype(np.float32)
        for turned in (heatmap, heatmap[::-1, ::-1].copy()):
            peak = np.array(np.unravel_index(turned.argmax(), turned.shape))[None, ::-1]
            ((found_x, found_y),) = refine_positions(turned[None], np.zeros(1, int), peak, "h3r")
            found = (found_x, found_y) if turned is heatmap else (size - found_x, size - found_y)
            errors.append(np.subtract(found, (x, y)))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.06  # four standard errors of a uniform position in a pixel
    assert np.abs(errors).max() < (0.51 if margin == 0 else 0.3)
