"""pack.cu on the emulator, after group.cu and refine.cu, against decode_poses and pack_poses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.kernels import DecodeSettings, aggregate, decode_poses
from heatstream.kernels.cuda.group import PeopleBuffers, group
from heatstream.kernels.cuda.maps import DeviceMaps, decode_macros
from heatstream.kernels.cuda.pack import check_packed, pack
from heatstream.kernels.cuda.refine import refine
from heatstream.kernels.reference.pack import NOT_FINITE, pack_poses, packed_dtype
from heatstream.kernels.synthetic import make_scene
from tests.emulator.orders import ORDERS
from tests.kernels.cuda.emulated import UNWRITTEN, Order, blank, detect, kernels, peak_buffers

pytestmark = pytest.mark.emulator

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
TO_SOURCE = np.array([[1.7, 0.1, -3.3], [-0.2, 2.3, 11.1]])


def packed_people(
    maps: DeviceMaps, working: Maps, settings: DecodeSettings, capacity: int, order: Order = "forward"
) -> NDArray[np.void]:
    """(B,) structs, from the reference's peaks on."""
    macros = decode_macros(maps, settings)
    peaks = peak_buffers(maps, detect(*working, settings), working[0], settings)
    people = blank(PeopleBuffers, PeopleBuffers.layout(maps, settings.max_people))
    people.order[:] = settings.skeleton_of(maps.num_joints).grouping_order
    to_source = np.tile(TO_SOURCE, (maps.images, 1, 1))
    dtype = packed_dtype(maps.num_joints, capacity)
    packed = np.full((maps.images, dtype.itemsize // 4), UNWRITTEN, np.int32)
    check_packed(maps, to_source, packed, capacity)
    group(kernels("group", macros, order), peaks, people, settings, stream=None)
    if settings.refine:
        refine(kernels("refine", macros, order), maps, people, stream=None)
    pack(kernels("pack", macros, order), maps, peaks, people, to_source, packed, capacity=capacity, stream=None)
    return packed.view(dtype)[:, 0]


def expected_people(working: Maps, settings: DecodeSettings, capacity: int) -> NDArray[np.void]:
    poses = decode_poses(*working, settings)
    overflow = [peaks.overflow for peaks, _ in detect(*working, settings)]
    to_source = np.tile(TO_SOURCE, (len(poses), 1, 1))
    return pack_poses(poses, to_source, capacity=capacity, peaks_overflow=overflow, state=[0] * len(poses))


def assert_same(result: NDArray[np.void], expected: NDArray[np.void], *, atol: float = 0.0) -> None:
    for name in ("people", "peaks_overflow", "people_overflow", "state"):
        np.testing.assert_array_equal(result[name], expected[name], err_msg=name)
    for name in ("started", "score"):
        np.testing.assert_array_equal(result["records"][name], expected["records"][name], err_msg=name)
    np.testing.assert_allclose(result["records"]["keypoints"], expected["records"]["keypoints"], rtol=0, atol=atol)


FILES = ["ae_decode_coco_tagdim1", "ae_decode_coco_tagdim2", "ae_decode_crowdpose", "ae_decode_adversarial"]


@pytest.mark.parametrize("name", FILES)
def test_golden_scenes(golden: Callable[[str], Any], name: str) -> None:
    file = golden(f"{name}.npz")
    settings = DecodeSettings(adjust="none", person_threshold=0.02)
    for scene in json.loads(str(file["meta"])):
        working = tuple(file[f"{scene}_{part}"].astype(np.float32)[None] for part in ("det", "tag"))
        result = packed_people(DeviceMaps.plain(*working), working, settings, capacity=128)
        assert_same(result, expected_people(working, settings, 128))


def crowd(seed: int, people: int, *, joints: int = 17, tag_size: int = 1) -> Maps:
    """Two small images of people close to each other."""
    rng = np.random.default_rng(seed)
    scenes = [
        make_scene(rng, people, joints=joints, size=(40, 70), tag_size=tag_size, tag_spacing=0.6) for _ in range(2)
    ]
    return np.stack([scene.heatmaps for scene in scenes]), np.stack([scene.tags for scene in scenes])


VARIANTS = [
    DecodeSettings(),
    DecodeSettings(refine=False, adjust="none"),
    DecodeSettings(max_people=4, tag_threshold=0.2),  # many people beyond the matchable ones
    DecodeSettings(adjust="h3r"),
]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_crowds(settings: DecodeSettings) -> None:
    working = crowd(1, 12)
    for capacity in (5, 600):
        result = packed_people(DeviceMaps.plain(*working), working, settings, capacity)
        # The mean over a window is summed in another order than the reference's.
        assert_same(result, expected_people(working, settings, capacity), atol=2e-4 if settings.adjust == "h3r" else 0)


@pytest.mark.parametrize("joints", [14, 106])
def test_other_skeletons(joints: int) -> None:
    settings = DecodeSettings(max_people=8)
    working = crowd(2, 3, joints=joints, tag_size=2)
    result = packed_people(DeviceMaps.plain(*working), working, settings, capacity=16)
    assert_same(result, expected_people(working, settings, 16))


@pytest.mark.parametrize("real", [np.float32, np.float16])
@pytest.mark.parametrize("project", [False, True])
def test_network_maps(project: bool, real: type[np.floating[Any]]) -> None:
    half, tags = crowd(3, 4)
    half, tags = half.astype(real), tags[:, :, ::2, ::2, 0].astype(real)
    quarter = np.ascontiguousarray(half[:, :, ::2, ::2])
    size = (80, 140) if project else None
    maps = DeviceMaps.network((quarter, half), np.ascontiguousarray(tags), size=size)
    working = aggregate((quarter.astype(np.float32), half.astype(np.float32)), tags.astype(np.float32), size=size)
    settings = DecodeSettings()
    assert_same(packed_people(maps, working, settings, 64), expected_people(working, settings, 64))


def test_the_order_of_threads_changes_nothing() -> None:
    working = crowd(4, 8)
    maps = DeviceMaps.plain(*working)
    expected = packed_people(maps, working, DecodeSettings(), 64)
    for order in ORDERS[1:]:
        assert packed_people(maps, working, DecodeSettings(), 64, order).tobytes() == expected.tobytes()


def test_the_state_is_handed_on() -> None:
    heatmaps, tags = np.zeros((1, 17, 8, 8), np.float32), np.zeros((1, 17, 8, 8, 1), np.float32)
    maps = DeviceMaps.plain(heatmaps, tags)
    settings = DecodeSettings()
    peaks = peak_buffers(maps, detect(heatmaps, tags, settings))
    peaks.state[:] = NOT_FINITE
    people = blank(PeopleBuffers, PeopleBuffers.layout(maps, 30))
    people = replace(people, people=np.zeros(1, np.int32))
    packed = np.full((1, packed_dtype(17, 2).itemsize // 4), UNWRITTEN, np.int32)
    macros = decode_macros(maps, settings)
    pack(kernels("pack", macros), maps, peaks, people, TO_SOURCE[None], packed, capacity=2, stream=None)
    assert packed[0, :4].tolist() == [0, 0, 0, NOT_FINITE]
    assert not packed[0, 4:].any()
