"""refine.cu on the emulator against its reference: the same pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.kernels import DecodeSettings, aggregate, merge_flipped
from heatstream.kernels.cuda.group import PeopleBuffers
from heatstream.kernels.cuda.maps import DeviceMaps, decode_macros
from heatstream.kernels.cuda.refine import refine
from heatstream.kernels.reference.refine import find_missing
from tests.emulator.orders import ORDERS
from tests.kernels.cuda.emulated import Order, blank, kernels

pytestmark = pytest.mark.emulator

NOBODY = 255


def found(maps: DeviceMaps, people: PeopleBuffers, capacity: int, order: Order = "forward") -> NDArray[np.int64]:
    """(B, P, K) pixels that refine.cu finds, -1 where it does not look."""
    people.check(maps, capacity)
    people.best[:] = 0
    macros = decode_macros(maps, DecodeSettings(max_people=capacity))
    refine(kernels("refine", macros, order), maps, people, stream=None)
    return np.where(people.best > 0, (~people.best & 0xFFFFFFFF).astype(np.int64), -1)


def make_people(
    rng: np.random.Generator, maps: DeviceMaps, capacity: int, counts: list[int], lacking: float = 0.5
) -> PeopleBuffers:
    """People with random tags, who lack that share of their joints."""
    people = blank(PeopleBuffers, PeopleBuffers.layout(maps, capacity))
    people.people[:] = counts
    people.members[:] = np.where(rng.random(people.members.shape) < lacking, NOBODY, 0)
    people.mean_tags[:] = rng.normal(0, 2, people.mean_tags.shape)
    return people


def assert_equals_reference(
    result: NDArray[np.int64], heatmaps: NDArray[np.float32], tags: NDArray[np.float32], people: PeopleBuffers
) -> None:
    for image, count in enumerate(people.people):
        missing = people.members[image, :count] == NOBODY
        expected = find_missing(heatmaps[image], tags[image], missing, people.mean_tags[image, :count])
        np.testing.assert_array_equal(result[image, :count], np.where(missing, expected, -1))
        assert (result[image, count:] == -1).all()


def heatmap_like(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Dark noise with few bright pixels."""
    return np.where(rng.random(shape) < 0.01, rng.random(shape), rng.normal(0, 0.01, shape)).astype(np.float32)


# (B, K, H, W, T), capacity, people per image, float type
CASES: list[tuple[tuple[int, ...], int, list[int], type[np.floating[Any]]]] = [
    ((1, 1, 1, 1, 1), 1, [1], np.float32),
    ((3, 2, 33, 70, 1), 30, [0, 1, 30], np.float32),
    ((2, 3, 64, 31, 2), 32, [96, 5], np.float16),  # three rounds of people; one tile across
    ((1, 133, 5, 40, 2), 1, [130], np.float32),
    ((2, 2, 40, 40, 1), 8, [3, 12], np.float16),
]


@pytest.mark.parametrize(("shape", "capacity", "counts", "real"), CASES, ids=str)
def test_plain_maps(shape: tuple[int, ...], capacity: int, counts: list[int], real: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(5)
    heatmaps, tags = heatmap_like(rng, shape[:4]).astype(real), rng.normal(0, 2, shape).astype(real)
    maps = DeviceMaps.plain(heatmaps, tags)
    people = make_people(rng, maps, capacity, counts)
    assert_equals_reference(found(maps, people, capacity), heatmaps.astype(np.float32), tags.astype(np.float32), people)


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.25])
def test_the_first_of_equal_pixels_wins(value: float) -> None:
    rng = np.random.default_rng(1)
    heatmaps = np.full((1, 2, 40, 40), value, np.float32)
    heatmaps[0, 1, 20, 5:] = -value  # 0 and -0 are equal too
    tags = np.round(rng.normal(0, 1, (1, 2, 40, 40, 1))).astype(np.float32)
    tags[0, 1] = 0
    maps = DeviceMaps.plain(heatmaps, tags)
    people = make_people(rng, maps, 4, [8], lacking=1.0)
    people.mean_tags[0, :4, 0] = [0.5, 1.5, -0.5, 7.5]  # halves round to even
    assert_equals_reference(found(maps, people, 4), heatmaps, tags, people)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("real", [np.float32, np.float16])
def test_network_maps(real: type[np.floating[Any]], project: bool, flip: bool) -> None:
    rng = np.random.default_rng(2)
    joints, height, width, swapped = 3, 11, 19, (0, 2, 1)
    runs = 4 if flip else 2
    quarter = heatmap_like(rng, (runs, joints, height, width)).astype(real)
    half = heatmap_like(rng, (runs, joints, 2 * height, 2 * width)).astype(real)
    tags = rng.normal(0, 2, (runs, joints, height, width)).astype(real)
    size = (4 * height, 4 * width) if project else None
    maps = DeviceMaps.network((quarter, half), tags, size=size, flip_indices=swapped if flip else None)
    people = make_people(rng, maps, 10, [10, 3])

    plain, plain_tags = aggregate(
        (quarter.astype(np.float32), half.astype(np.float32)), tags.astype(np.float32), size=size
    )
    if flip:
        plain, plain_tags = merge_flipped((plain[::2], plain_tags[::2]), (plain[1::2], plain_tags[1::2]), swapped)
    assert_equals_reference(found(maps, people, 10), plain, plain_tags, people)


def test_the_order_of_threads_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    heatmaps, tags = heatmap_like(rng, (2, 2, 40, 70)), rng.normal(0, 2, (2, 2, 40, 70, 2)).astype(np.float32)
    maps = DeviceMaps.plain(heatmaps, tags)
    people = make_people(rng, maps, 30, [30, 7])
    expected = found(maps, people, 30)
    for order in ORDERS[1:]:
        np.testing.assert_array_equal(found(maps, people, 30, order), expected)
