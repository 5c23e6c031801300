"""group.cu on the emulator against its reference: the same people, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.kernels import DecodeSettings
from heatstream.kernels.cuda.group import PeopleBuffers, group
from heatstream.kernels.cuda.maps import DeviceMaps, decode_macros
from heatstream.kernels.reference.group import group_by_tag
from heatstream.kernels.reference.peaks import Candidates
from tests.emulator.orders import ORDERS
from tests.kernels.cuda.emulated import UNWRITTEN, Order, blank, detect, kernels, peak_buffers

pytestmark = pytest.mark.emulator

NOBODY = 255


@dataclass(frozen=True, eq=False)
class People:
    members: NDArray[np.uint8]
    mean_tags: NDArray[np.float32]
    scores: NDArray[np.float32]


def reference(
    found: Candidates, tags: NDArray[np.float32], joint_order: Sequence[int], settings: DecodeSettings
) -> People:
    """group_by_tag, then scores and mean tags as decode_poses makes them."""
    members = group_by_tag(
        found,
        tags,
        joint_order,
        max_people=settings.max_people,
        tag_threshold=settings.tag_threshold,
        use_detection_score=settings.use_detection_score,
    )
    every_joint = np.arange(len(tags))
    present = members >= 0
    scores = np.where(present, found.scores[every_joint, members], np.float32(0)).mean(axis=1)
    held = tags[every_joint, members]
    first = held[np.arange(len(held)), present.argmax(axis=1)]
    offsets = np.where(present[:, :, None], held - first[:, None], np.float32(0))
    mean_tags = first + offsets.sum(axis=1) / present.sum(axis=1, dtype=np.float32)[:, None]
    kept = scores >= settings.person_threshold if settings.person_threshold > 0 else np.ones(len(members), bool)
    return People(np.where(present, members, NOBODY)[kept].astype(np.uint8), mean_tags[kept], scores[kept])


def emulated(
    images: Sequence[tuple[Candidates, NDArray[np.float32]]],
    joint_order: Sequence[int],
    settings: DecodeSettings,
    order: Order = "forward",
) -> list[People]:
    """group.cu for a batch; checks that it writes what it must and nothing else."""
    batch, (joints, _, tag_size) = len(images), images[0][1].shape
    maps = DeviceMaps.plain(
        np.zeros((batch, joints, 1, 1), np.float32), np.zeros((batch, joints, 1, 1, tag_size), np.float32)
    )
    people = blank(PeopleBuffers, PeopleBuffers.layout(maps, settings.max_people))
    people.order[:] = joint_order
    people.check(maps, settings.max_people)
    peaks = peak_buffers(maps, images)
    group(kernels("group", decode_macros(maps, settings), order), peaks, people, settings, stream=None)
    results = []
    for image, count in enumerate(people.people):
        rows = [array[image] for array in (people.members, people.mean_tags, people.person_scores, people.best)]
        assert all((array[count:] == UNWRITTEN).all() for array in rows)
        members, mean_tags, scores, best = (array[:count] for array in rows)
        assert not best.any()
        results.append(People(members, mean_tags, scores))
    return results


def assert_same(result: People, expected: People) -> None:
    np.testing.assert_array_equal(result.members, expected.members)
    np.testing.assert_array_equal(result.scores, expected.scores)
    np.testing.assert_array_equal(result.mean_tags, expected.mean_tags)


def make_detections(
    rng: np.random.Generator, joints: int, capacity: int, tag_size: int, *, people: int, spacing: float, grain: float
) -> tuple[Candidates, NDArray[np.float32]]:
    """Detections of people whose tags lie `spacing` apart; `grain` rounds tags and scores, which makes ties."""
    scores = np.zeros((joints, capacity), np.float32)
    tags = np.zeros((joints, capacity, tag_size), np.float32)
    counts = np.zeros(joints, np.int32)
    for joint in range(joints):
        count = counts[joint] = rng.choice([0, min(people, capacity), rng.integers(0, capacity + 1)], p=[0.1, 0.5, 0.4])
        center = spacing * rng.permutation(max(people, count))[:count, None]
        tags[joint, :count] = center + rng.normal(0, 0.3, (count, tag_size))
        scores[joint, :count] = np.sort(rng.uniform(0.1, 1, count))[::-1]
    if grain:
        tags = (np.round(tags / grain) * grain).astype(np.float32)
        scores = (np.ceil(scores / grain) * grain).astype(np.float32)
    pixels = np.zeros((joints, capacity, 2), np.int32)
    return Candidates(counts, scores, pixels, 0), tags


FILES = ["ae_decode_coco_tagdim1", "ae_decode_coco_tagdim2", "ae_decode_crowdpose", "ae_decode_adversarial"]


@pytest.mark.parametrize("name", FILES)
def test_golden_scenes(golden: Callable[[str], Any], name: str) -> None:
    file = golden(f"{name}.npz")
    settings = DecodeSettings()
    for scene in json.loads(str(file["meta"])):
        heatmaps, tags = (file[f"{scene}_{part}"].astype(np.float32) for part in ("det", "tag"))
        found = detect(heatmaps[None], tags[None], settings)
        joint_order = settings.skeleton_of(len(heatmaps)).grouping_order
        assert_same(emulated(found, joint_order, settings)[0], reference(*found[0], joint_order, settings))


# (joints, capacity, tag planes, people, spacing of their tags, grain)
SCENES = [
    (1, 1, 1, 1, 1.0, 0.0),
    (1, 32, 2, 40, 1.0, 0.0),
    (5, 4, 1, 9, 0.5, 0.5),  # more detections than places, ties everywhere
    (14, 30, 1, 30, 2.0, 0.0),
    (17, 30, 2, 12, 0.7, 0.0),
    (17, 30, 1, 30, 0.25, 0.25),
    (17, 32, 2, 32, 0.5, 0.5),
    (8, 32, 1, 32, 0.0, 0.0),  # all people have the same tag
    (17, 30, 1, 30, 1e4, 0.0),  # costs so large that rounding hides the smallest terms
    (17, 30, 1, 12, 1e12, 0.0),
    (5, 8, 2, 6, 3e37, 0.0),
    (133, 32, 1, 32, 1.0, 0.0),
    (133, 8, 2, 20, 1.0, 0.125),
]


RULES: list[dict[str, Any]] = [
    {},
    {"tag_threshold": 0.4, "use_detection_score": False},
    {"tag_threshold": 2.5, "person_threshold": 0.03},
]


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_made_up_scenes(scene: tuple[int, int, int, int, float, float], rules: dict[str, Any]) -> None:
    joints, capacity, tag_size, people, spacing, grain = scene
    settings = DecodeSettings(max_people=capacity, **rules)
    rng = np.random.default_rng(7)
    images = [
        make_detections(rng, joints, capacity, tag_size, people=people, spacing=spacing, grain=grain)
        for _ in range(1 if joints > 100 else 4)
    ]
    joint_order = rng.permutation(joints).tolist()
    for (found, tags), result in zip(images, emulated(images, joint_order, settings), strict=True):
        assert_same(result, reference(found, tags, joint_order, settings))


def test_the_order_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    images = [make_detections(rng, 17, 30, 2, people=25, spacing=0.5, grain=0.0) for _ in range(2)]
    expected = emulated(images, range(17), DecodeSettings())
    for order in ORDERS[1:]:
        for result, other in zip(emulated(images, range(17), DecodeSettings(), order), expected, strict=True):
            assert_same(result, other)


def test_nobody_in_view() -> None:
    nothing = make_detections(np.random.default_rng(0), 17, 30, 1, people=0, spacing=1.0, grain=0.0)
    nothing[0].counts[:] = 0
    (result,) = emulated([nothing], range(17), DecodeSettings())
    assert len(result.scores) == 0
