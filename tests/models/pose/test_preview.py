"""The picture of a batch: windows side by side, labels on top, silence in the dark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream.models.pose.dataset import Sample
from heatstream.models.pose.preview import COLUMNS, draw_batch
from heatstream.skeletons import COCO_17

CAPTION = 14


def _batch(count: int, **changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "image": np.full((count, 64, 64, 3), 100, np.uint8),
        "people": np.zeros((count, 30, 17, 3), np.float32),
        "extents": np.zeros((count, 30), np.float32),
        "joints": np.zeros((count, 30, 17, 2), np.int32),
        "region": np.ones((count, 32, 32), np.uint8),
        "labelled": np.ones((count, 17), np.uint8),
        "index": np.arange(count),
    }
    return Sample(**{**fields, **changes})


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (4, 1, COLUMNS), (5, 2, COLUMNS), (20, 2, COLUMNS)])
def test_windows_lie_side_by_side(count: int, rows: int, columns: int) -> None:
    picture = draw_batch(_batch(count), COCO_17, limit=8)
    assert picture.shape == (rows * (64 + CAPTION), columns * 64, 3)
    assert picture.dtype == np.uint8
    assert (picture[:64, :64] == 100).all()


def test_colours_are_those_of_opencv() -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[..., 0] = 90  # red
    assert draw_batch(_batch(1, image=image), COCO_17)[5, 5].tolist() == [0, 0, 90]


def test_what_is_not_learned_is_dark() -> None:
    region = np.ones((1, 32, 32), np.uint8)
    region[0, :, 16:] = 0
    picture = draw_batch(_batch(1, region=region), COCO_17)
    assert (picture[:64, :32] == 100).all()
    assert (picture[:64, 32:] == 30).all()


def test_people_are_drawn_where_they_are() -> None:
    people = np.zeros((1, 30, 17, 3), np.float32)
    people[0, 0, 5] = 20.5, 30.5, 2
    people[0, 0, 7] = 40.5, 30.5, 1
    picture = draw_batch(_batch(1, people=people), COCO_17)
    assert picture[30, 20].tolist() == list(COCO_17.colors[5])
    limb = picture[30, 30].astype(int)
    assert np.abs(limb - COCO_17.colors[7]).max() < 20  # drawn smoothly over what was there
    glow = picture[34, 20].astype(int)
    assert glow[2] > 100 > glow[1]
    assert (picture[:15] == 100).all()


def test_masked_joints_have_no_glow_and_are_named() -> None:
    people = np.zeros((1, 30, 17, 3), np.float32)
    people[0, 0, 5] = 20.5, 30.5, 2
    labelled = np.ones((1, 17), np.uint8)
    plain = draw_batch(_batch(1, people=people), COCO_17)
    labelled[0, 5] = 0
    masked = draw_batch(_batch(1, people=people, labelled=labelled), COCO_17)
    assert (masked[34, 20] == 100).all()
    assert (masked[64:] != plain[64:]).any()
