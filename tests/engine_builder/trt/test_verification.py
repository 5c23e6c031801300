"""Two networks compared on the same frames: their maps, and the people found in these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.engine_builder.trt.verification import LIMITS, Maps, Sample, Verification, compare
from heatstream.errors import InputError

Array = NDArray[np.float32]
IMAGES = np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)


def network(change: float = 0.0) -> Any:
    """Gives two outputs with a range of 2; the first is off by `change` in one value."""

    def run(images: Array) -> Maps:
        off = images.copy()
        off[0, 1, 2, 3] += change
        return {"heatmaps": off, "tags": images[:, ::-1]}

    return run


def person(x: float, y: float, *, missing: int = 0) -> Array:
    """(3, 3): a triangle of 30 by 40 px whose last keypoints are missing."""
    keypoints = np.float32([[x, y, 1], [x + 30, y, 0.5], [x, y + 40, 0.9]])
    keypoints[len(keypoints) - missing :] = 0
    return keypoints


def people(*some: Array) -> Array:
    return np.stack(some) if some else np.empty((0, 3, 3), np.float32)


def judge(before: Array, after: Array, *, change: float = 0.0, limit: float = 0.1, frames: int = 1) -> Verification:
    """The outcome where the first network finds one set of people and the second another."""

    def decode(maps: Maps) -> Array:
        return before if maps["heatmaps"][0, 0, 0, 0] == -1 else after

    def shifted(images: Array) -> Maps:
        maps = dict(network(change)(images))
        maps["heatmaps"][0, 0, 0, 0] += 1e-6
        return maps

    return compare(network(), shifted, [Sample(IMAGES, decode)] * frames, folder="photos", limit=limit)


def test_maps_are_compared_relative_to_their_range() -> None:
    outcome = judge(people(), people(), change=0.1, frames=3)
    assert list(outcome.maps) == ["heatmaps", "tags"]
    assert outcome.maps["heatmaps"] == pytest.approx(0.05)
    assert outcome.maps_rms["heatmaps"] == pytest.approx(0.05 / IMAGES.size**0.5)
    assert outcome.maps["tags"] == outcome.maps_rms["tags"] == 0
    assert (outcome.frames, outcome.folder, outcome.limit) == (3, "photos", 0.1)
    assert (outcome.people, outcome.matched, outcome.added, outcome.keypoints_px) == (0, 0, 0, None)


@pytest.mark.parametrize(("change", "passes"), [(0.0, True), (0.19, True), (0.21, False), (np.nan, False)])
def test_the_limit_holds_for_every_value(change: float, passes: bool) -> None:
    assert judge(people(), people(), change=change).passed is passes


FAR = person(300, 300)
NEAR = person(0, 0)


@pytest.mark.parametrize(
    ("before", "after", "counts", "moved"),
    [
        pytest.param(people(NEAR, FAR), people(NEAR, FAR), (2, 2, 0), (0, 0, 0), id="the same"),
        pytest.param(people(NEAR, FAR), people(FAR, NEAR), (2, 2, 0), (0, 0, 0), id="in another order"),
        pytest.param(people(NEAR), people(person(3, 4)), (1, 1, 0), (5, 5, 5), id="moved by a tenth of the diagonal"),
        pytest.param(people(NEAR), people(person(6, 4)), (1, 0, 1), None, id="moved further: another person"),
        pytest.param(people(NEAR, FAR), people(NEAR), (2, 1, 0), (0, 0, 0), id="one lost"),
        pytest.param(people(NEAR), people(NEAR, FAR), (1, 1, 1), (0, 0, 0), id="one more"),
        pytest.param(people(NEAR), people(person(0, 0, missing=1)), (1, 1, 0), (0, 0, 0), id="a keypoint lost"),
        pytest.param(people(NEAR), people(person(0, 0, missing=3)), (1, 0, 1), None, id="no keypoint in common"),
        pytest.param(people(NEAR), people(), (1, 0, 0), None, id="nobody any more"),
        pytest.param(people(NEAR, person(4, 0)), people(person(1, 0), person(5, 0)), (2, 2, 0), (1, 1, 1), id="close"),
    ],
)
def test_people_are_matched_by_where_they_are(
    before: Array, after: Array, counts: tuple[int, int, int], moved: tuple[float, float, float] | None
) -> None:
    outcome = judge(before, after)
    assert (outcome.people, outcome.matched, outcome.added) == counts
    assert outcome.keypoints_px == (None if moved is None else pytest.approx(moved))


def test_nothing_to_compare_on_is_refused() -> None:
    with pytest.raises(InputError, match="photos holds no photograph to compare on"):
        compare(network(), network(), [], folder="photos", limit=1)


def test_every_precision_has_its_limit() -> None:
    assert LIMITS["fp32"] < LIMITS["fp16"] < LIMITS["int8"]
