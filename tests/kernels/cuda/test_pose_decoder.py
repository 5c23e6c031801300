"""The whole decode, from maps to packed people, through the emulator, against decode_poses and pack_poses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.reference.pack import packed_dtype, unpack_poses
from heatstream.skeleton_tables import skeleton_from_table
from tests.emulator.build import SANITIZE
from tests.emulator.device import EmulatedDevice
from tests.emulator.orders import ORDERS
from tests.fakes.decode_cases import (
    CASES,
    DEFAULT,
    TO_SOURCE,
    Case,
    assert_same,
    crowd,
    expected_people,
    make_case,
    network,
    run,
    skeletons_of_any_size,
)

pytestmark = pytest.mark.emulator

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def more_skeletons() -> Iterator[None]:
    with skeletons_of_any_size():
        yield


def check(maps: DeviceMaps, working: Any, wanted: DecodeSettings, *, capacity: int = 64) -> NDArray[np.void]:
    """Decode on the emulator and compare with the references; gives what was found."""
    found = run(maps, wanted, EmulatedDevice(), capacity=capacity)
    assert_same(found, expected_people(working, wanted, capacity), wanted)
    return found


# ---- Thread orders, here and under the sanitizers -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_every_order_of_threads_gives_the_same_bytes(dtype: type) -> None:
    wanted = replace(DEFAULT, max_people=5)  # with people beyond the matchable ones
    maps, working = network(1, dtype, flip=dtype == np.float16, project=dtype == np.float16)
    expected = check(maps, working, wanted)
    assert expected["people"].min() > 5
    for order in ORDERS[1:]:
        found = run(maps, wanted, EmulatedDevice(order))
        assert found.tobytes() == expected.tobytes(), order


@pytest.mark.slow
@pytest.mark.skipif(SANITIZE in os.environ, reason="runs under the sanitizers already")
def test_the_sanitizers_find_nothing() -> None:
    command = [sys.executable, "-m", "tests.emulator.sanitized", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    here = Path(__file__).relative_to(REPOSITORY)
    result = subprocess.run(
        [*command, str(here), "-k", "every_order_of_threads or maps_that_hold_nobody"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert "6 passed" in result.stdout


# ---- Maps of all kinds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, np.nan, -np.inf])
def test_maps_that_hold_nobody(value: float) -> None:
    heatmaps, tags = np.full((2, 17, 9, 11), value, np.float32), np.zeros((2, 17, 9, 11, 1), np.float32)
    found = check(DeviceMaps.plain(heatmaps, tags), (heatmaps, tags), DEFAULT)
    assert found["people"].max() == 0
    if not np.isfinite(value):
        with pytest.warns(RuntimeWarning, match="NaN or infinite"):
            assert [len(poses) for poses in unpack_poses(found, "coco-17")] == [0, 0]


@settings(max_examples=40, deadline=None)
@given(st.builds(make_case, **CASES))
@example(make_case(0, "noise", 0, 4, (45, 41), 3, 0.0, True, None))
@example(make_case(1, "noise", 1, 1, (1, 1), 0, 0.1, True, None))
@example(make_case(2, "ties", 1, 2, (40, 33), 1, 0.1, True, np.nan))
@example(make_case(3, "blobs", 2, 3, (45, 45), 0, 0.1, False, None))
@example(make_case(4, "saturated", 3, 1, (17, 33), 3, 0.1, True, None))
def test_maps_of_all_kinds(case: Case) -> None:
    check(case.on(np.asarray), case.working, case.wanted, capacity=7)


@pytest.mark.parametrize(("dtype", "flip", "project"), [(np.float16, False, True), (np.float32, True, False)])
def test_network_maps(dtype: type, flip: bool, project: bool) -> None:
    maps, working = network(2, dtype, flip=flip, project=project)
    assert check(maps, working, DEFAULT)["people"].min() > 3


def test_full_size() -> None:
    """Two images of 30 people at 256 x 256 px, as a network with an input of 256 x 256 px gives them."""
    maps, working = network(7, np.float16, flip=False, project=True, people=30, half_size=(128, 128))
    assert working[0].shape == (2, 17, 256, 256)
    assert check(maps, working, DEFAULT, capacity=128)["people"].min() > 20


@pytest.mark.parametrize("count", [1, 2, 21, 68, 133])
def test_skeletons_of_ones_own_of_any_size(count: int) -> None:
    names = [f"p{number}" for number in range(count)]
    table = {"name": f"emulated-{count}", "keypoints": names, "grouping_order": names[::-1]}
    layout = skeletons.register(skeleton_from_table(table))
    wanted = replace(DEFAULT, skeleton=layout.name, max_people=4)
    maps = crowd(count, 2, images=1, joints=count, size=(24, 40))
    found = check(DeviceMaps.plain(*maps), maps, wanted)
    assert found["people"].min() >= 1


def test_more_keypoints_than_the_kernels_hold_are_refused() -> None:
    with pytest.raises(InputError, match="256"):
        DeviceMaps.plain(np.zeros((1, 256, 8, 8), np.float32), np.zeros((1, 256, 8, 8, 1), np.float32))


# ---- The chain as a pipeline keeps it ------------------------------------------------------------------------------


def test_one_chain_serves_one_frame_after_the_other() -> None:
    """A crowd, nobody, broken maps, a crowd again: nothing of an earlier frame is left."""
    frames = [crowd(3, 9), crowd(4, 0), crowd(5, 2), crowd(3, 9)]
    frames[2][0][1, 3, 5, 7] = np.nan
    heatmaps, tags = (np.zeros_like(array) for array in frames[0])
    maps = DeviceMaps.plain(heatmaps, tags)
    chain = PoseDecoder.prepare(maps, DEFAULT, capacity=32, device=EmulatedDevice())
    to_source = np.tile(TO_SOURCE, (2, 1, 1))
    packed = np.zeros(chain.packed_shape, np.int32)
    for working in frames:
        heatmaps[...], tags[...] = working
        chain.launch(maps, to_source, packed, stream=None)
        expected = expected_people(working, DEFAULT, 32)
        assert packed.view(packed_dtype(17, 32))[:, 0].tobytes() == expected.tobytes()


def test_who_finds_no_room_is_reported() -> None:
    maps = crowd(6, 12, images=1)
    found = check(DeviceMaps.plain(*maps), maps, DEFAULT, capacity=3)
    assert found["people_overflow"] == found["people"] - 3 > 0
    with pytest.warns(RuntimeWarning, match="people were found where there is room for 3"):
        assert len(unpack_poses(found, "coco-17")[0]) == 3


MAPS = DeviceMaps.plain(np.zeros((1, 17, 8, 8), np.float32), np.zeros((1, 17, 8, 8, 1), np.float32))


@pytest.mark.parametrize(
    ("wanted", "capacity", "message"),
    [
        (
            DecodeSettings(max_people=33),
            1,
            "at most 32 people per joint, got max_people = 33; hand the maps over as Nu",
        ),
        (DecodeSettings(nms_kernel=27), 1, "at most 25 px, got nms_kernel = 27"),
        (DecodeSettings(skeleton="crowdpose-14"), 1, "crowdpose-14 has 14 keypoints, got 17 heatmaps"),
        (DEFAULT, 0, "must be positive: 0"),
    ],
)
def test_refuses_what_the_kernels_cannot_do(wanted: DecodeSettings, capacity: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PoseDecoder.prepare(MAPS, wanted, capacity=capacity, device=EmulatedDevice())


def test_refuses_what_it_was_not_prepared_for() -> None:
    chain = PoseDecoder.prepare(MAPS, DEFAULT, capacity=4, device=EmulatedDevice())
    to_source, packed = np.zeros((1, 2, 3)), np.zeros(chain.packed_shape, np.int32)
    chain.launch(MAPS, to_source, packed, stream=None)
    larger = DeviceMaps.plain(np.zeros((1, 17, 8, 9), np.float32), np.zeros((1, 17, 8, 9, 1), np.float32))
    half = DeviceMaps.plain(np.zeros((1, 17, 8, 8), np.float16), np.zeros((1, 17, 8, 8, 1), np.float16))
    for other in (larger, half):
        with pytest.raises(InputError, match=r"prepared for 1 images of \(8, 8\) px"):
            chain.launch(other, to_source, packed, stream=None)
    with pytest.raises(InputError, match="to_source must be"):
        chain.launch(MAPS, to_source.astype(np.float32), packed, stream=None)
    with pytest.raises(InputError, match="packed must be"):
        chain.launch(MAPS, to_source, packed[:, :-1], stream=None)
