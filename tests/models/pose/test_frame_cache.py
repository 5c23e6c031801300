"""Decoded photographs: colours, the budget, and what a bad file is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.pose.annotations import ImageAnnotation
from heatstream.models.pose.frame_cache import FrameCache
from tests.fakes.coco_sets import made_photo, person

SIZE = (12, 20)
BYTES = 3 * 12 * 20


def _photos(folder: Path, count: int = 4) -> list[ImageAnnotation]:
    photos = []
    for number in range(count):
        path = folder / f"{number}.png"
        picture = np.full((*SIZE, 3), number, np.uint8)
        picture[..., 0] = 200  # blue in OpenCV's order
        cv2.imwrite(str(path), picture)
        photos.append(made_photo([person({0: (1, 1, 2)})], path=path, size=SIZE))
    return photos


@pytest.mark.parametrize(("frames", "held"), [(0, 0), (0.9, 0), (1, 1), (2.5, 2), (100, 4)])
def test_the_budget_decides_how_many_frames_are_held(tmp_path: Path, frames: float, held: int) -> None:
    photos = _photos(tmp_path)
    cache = FrameCache(photos)
    cache.preload(frames * BYTES / 1e9)
    assert len(cache) == held
    for number in range(len(photos)):  # held or not, they are the same
        assert cache.frame(number).shape == (*SIZE, 3)
        assert cache.frame(number)[3, 4].tolist() == [number, number, 200]
    assert (cache.frame(0) is cache.frame(0)) == (held > 0)


def _missing(photo: ImageAnnotation) -> ImageAnnotation:
    return replace(photo, path=photo.path.with_name("missing.png"))


def _truncated(photo: ImageAnnotation) -> ImageAnnotation:
    photo.path.write_bytes(photo.path.read_bytes()[:20])
    return photo


def _empty(photo: ImageAnnotation) -> ImageAnnotation:
    photo.path.write_bytes(b"")
    return photo


def _text(photo: ImageAnnotation) -> ImageAnnotation:
    photo.path.write_text("a thousand words")
    return photo


def _larger(photo: ImageAnnotation) -> ImageAnnotation:
    return replace(photo, size=(24, 40))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_missing, r"missing\.png cannot be read: No such file"),
        (_truncated, r"2\.png is not a picture that OpenCV can read"),
        (_empty, r"2\.png is empty: copy it again"),
        (_text, r"2\.png is not a picture that OpenCV can read"),
        (_larger, r"2\.png is 20x12 px and its JSON says 40x24"),
    ],
)
def test_a_bad_photo_is_named(
    tmp_path: Path, damage: Callable[[ImageAnnotation], ImageAnnotation], message: str
) -> None:
    photos = _photos(tmp_path)
    photos[2] = damage(photos[2])
    cache = FrameCache(photos)
    with pytest.raises(DatasetError, match=message) as error:
        cache.frame(2)
    assert "\n" not in str(error.value)
    with pytest.raises(DatasetError, match=message):
        cache.preload(1.0)
    assert cache.frame(1)[0, 0, 0] == 1
