"""Crops that turn with what they show: against a plain loop, and against the official upright crops."""

from __future__ import annotations

from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.reference.crops import (
    MAX_SAMPLES,
    crop_boxes,
    crop_rectangles,
    crop_rotated,
    crop_transforms,
    rotated_transforms,
)
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD

LEVELS = ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""Mean and std that leave grey levels."""

# OpenCV 4 rounds a warp's coordinates to 1/32 px.
VERSION_5 = int(cv2.__version__.partition(".")[0]) >= 5
ROUNDING = 0.05 if VERSION_5 else 24


def picture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain_crop(frame: NDArray[np.uint8], transform: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """(3, height, width) grey levels, R, G, B: the docstring of crop_rotated, pixel by pixel."""

    def level(x: float, y: float) -> NDArray[np.float64]:
        left, top = int(np.floor(x)), int(np.floor(y))
        total = np.zeros(3)
        for column, row in product((left, left + 1), (top, top + 1)):
            if 0 <= column < frame.shape[1] and 0 <= row < frame.shape[0]:
                total += (1 - abs(x - column)) * (1 - abs(y - row)) * frame[row, column]
        return total

    across, down = (float(np.hypot(*transform[:, axis])) for axis in (0, 1))
    n, m = (int(min(max(np.ceil(scale - 1e-3), 1), MAX_SAMPLES)) for scale in (across, down))
    half = (transform[:, 0] / across + transform[:, 1] / down) / 2
    crop = np.zeros((3, *size))
    for y, x in np.ndindex(size):
        inside = product((np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m)
        places = [transform[:, :2] @ (x + dx, y + dy) + transform[:, 2] - half for dx, dy in inside]
        crop[:, y, x] = np.mean([level(*place) for place in places], axis=0)[::-1]
    return crop


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frame_size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.sampled_from([(4, 4), (7, 5), (6, 9)]),
    scales=st.tuples(st.floats(0.05, 4), st.floats(0.05, 4)),
    angle=st.floats(-4, 4),
    shift=st.tuples(st.floats(-30, 45), st.floats(-30, 45)),
)
def test_every_pixel_is_the_mean_of_its_samples(
    seed: int, frame_size: Any, size: Any, scales: Any, angle: float, shift: Any
) -> None:
    """Enlarged, shrunk, turned, differently along its axes, and wherever it lies, or does not lie, in the frame."""
    frame = picture(seed, *frame_size)
    cosine, sine = np.cos(angle), np.sin(angle)
    transform = np.column_stack([np.array([[cosine, -sine], [sine, cosine]]) * scales, shift])
    (crop,) = crop_rotated(frame, transform[None], size, *LEVELS)
    np.testing.assert_allclose(crop, plain_crop(frame, transform, size), rtol=0, atol=ROUNDING)


def test_what_shrinks_the_frame_beyond_the_samples_stays_a_mean() -> None:
    transform = np.array([[MAX_SAMPLES + 3.0, 0, 2], [0, MAX_SAMPLES + 1.5, 1]])
    frame = picture(0, 50, 60)
    (crop,) = crop_rotated(frame, transform[None], (4, 4), *LEVELS)
    np.testing.assert_allclose(crop, plain_crop(frame, transform, (4, 4)), rtol=0, atol=ROUNDING)


def test_a_scale_that_rounding_put_above_a_whole_number_takes_no_more_samples() -> None:
    frame = picture(0, 20, 20)
    exactly, above = (crop_transforms(np.array([[3, 4, 11 * scale, 12 * scale]]), (8, 8)) for scale in (1, 1 + 1e-12))
    same = crop_rotated(frame, exactly, (8, 8), *LEVELS)
    np.testing.assert_allclose(crop_rotated(frame, above, (8, 8), *LEVELS), same, rtol=0, atol=1e-3)
    np.testing.assert_allclose(same[0].transpose(1, 2, 0)[..., ::-1], frame[4:12, 3:11], rtol=0, atol=1e-4)


def test_upright_and_enlarged_it_is_the_official_crop_to_a_grey_level() -> None:
    frame = picture(0, 60, 70)
    rectangles = np.array([[10, 12, 42, 44], [5, 6, 69, 60], [20, 20, 23, 24]])
    size = (96, 64)
    ours = crop_rotated(frame, crop_transforms(rectangles, size), size, *LEVELS)
    official = crop_boxes(frame, rectangles, size, *LEVELS)
    for rectangle, *crops in zip(rectangles, ours, official, strict=True):
        # In the rim ours sees what lies beyond the rectangle: half a source px, and the pixel that it cuts.
        rim_x, rim_y = (int(np.ceil(0.5 * size[1 - axis] / (rectangle[2 + axis] - rectangle[axis]))) for axis in (0, 1))
        inner = [crop[:, rim_y : size[0] - rim_y, rim_x : size[1] - rim_x] for crop in crops]
        np.testing.assert_allclose(*inner, rtol=0, atol=1.05)  # Pillow rounds twice


def test_upright_and_shrunk_it_differs_from_the_official_crop_by_the_filter_alone() -> None:
    """A slope in each channel, which both filters keep; and noise, of which both keep the same mean."""
    rows, columns = np.mgrid[:200, :240]
    slope = np.stack([columns, rows, (rows + columns) / 2], axis=2).astype(np.uint8)
    rectangles = np.array([[20, 20, 200, 180], [31, 17, 131, 107]])
    for size in ((64, 64), (32, 30)):
        ours, official = (
            crops(slope, places, size, *LEVELS)[..., 4:-4, 4:-4]
            for crops, places in ((crop_rotated, crop_transforms(rectangles, size)), (crop_boxes, rectangles))
        )
        np.testing.assert_allclose(ours, official, rtol=0, atol=1.05)
        noise = picture(1, 200, 240)
        means = [
            crop_rotated(noise, crop_transforms(rectangles, size), size, *LEVELS).mean(axis=(2, 3)),
            crop_boxes(noise, rectangles, size, *LEVELS).mean(axis=(2, 3)),
        ]
        np.testing.assert_allclose(*means, rtol=0, atol=2)


def test_values_are_normalised_per_channel() -> None:
    frame = picture(0, 20, 20)
    transforms = rotated_transforms(np.array([[3.0, 4, 12, 13]]), np.array([0.3]), (8, 8))
    levels = crop_rotated(frame, transforms, (8, 8), *LEVELS).transpose(0, 2, 3, 1)
    expected = (levels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    crops = crop_rotated(frame, transforms, (8, 8), IMAGENET_MEAN, IMAGENET_STD)
    np.testing.assert_allclose(crops.transpose(0, 2, 3, 1), expected, rtol=0, atol=1e-5)


def test_frames_of_any_strides_are_read_in_place_and_not_written() -> None:
    large = picture(0, 50, 90)
    transforms = rotated_transforms(np.array([[3.0, 4, 22, 23], [-9, -9, 30, 50]]), np.array([0.3, -2]), (16, 16))
    for view in (large[5:35, 10:60], large[::-1, ::2], large.transpose(1, 0, 2)):
        view.flags.writeable = False
        found = crop_rotated(view, transforms, (16, 16), *LEVELS)
        np.testing.assert_array_equal(found, crop_rotated(view.copy(), transforms, (16, 16), *LEVELS))


@pytest.mark.parametrize("size", [(256, 256), (256, 192)])
def test_at_angle_0_the_transforms_are_those_of_the_official_rectangles(size: tuple[int, int]) -> None:
    boxes = np.array([[10.3, 20.1, 90.7, 110.4], [0, 0, 5, 3]])
    for scale in (1.25, 1.6):
        expected = crop_transforms(crop_rectangles(boxes, scale, aspect=size[1] / size[0]), size)
        np.testing.assert_array_equal(rotated_transforms(boxes, np.zeros(2), size, scale), expected)


def test_the_crop_of_a_turned_frame_is_that_of_the_upright_one_and_so_are_landmarks() -> None:
    """By quarter turns, which move no grey level."""
    frame, box, landmark, size = picture(0, 61, 61), np.array([20.0, 10, 39, 35]), np.array([27.0, 16]), (32, 32)
    (upright,) = rotated_transforms(box[None], np.zeros(1), size)
    expected = crop_rotated(frame, upright[None], size, *LEVELS)
    inside = np.linalg.solve(upright[:, :2], landmark - upright[:, 2])
    for turns in (1, 2, 3):
        turned = np.rot90(frame, -turns)  # clockwise, as angles are
        box = np.array([60 - box[3], box[0], 60 - box[1], box[2]])
        landmark = np.array([60 - landmark[1], landmark[0]])
        (transform,) = rotated_transforms(box[None], np.array([turns * np.pi / 2]), size)
        found = crop_rotated(turned, transform[None], size, *LEVELS)
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(transform[:, :2] @ inside + transform[:, 2], landmark, rtol=0, atol=1e-9)


def test_nobody_gives_no_crops() -> None:
    transforms = rotated_transforms(np.zeros((0, 4)), np.zeros(0), (32, 32))
    assert crop_rotated(picture(0, 9, 9), transforms, (32, 32), *LEVELS).shape == (0, 3, 32, 32)


@pytest.mark.parametrize(
    ("angles", "message"),
    [([0.0], "must be 2 finite angles"), ([0.0, np.nan], "must be 2 finite angles, one per box, got .*nan")],
)
def test_refuses_other_angles(angles: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rotated_transforms(np.array([[0, 0, 9, 9], [1, 1, 4, 4]]), np.array(angles), (32, 32))


@pytest.mark.parametrize(
    ("frame", "transforms", "message"),
    [
        (np.zeros((9, 9), np.uint8), np.zeros((1, 2, 3)), r"a frame must be \(H, W, 3\) uint8 BGR, got \(9, 9\)"),
        (np.zeros((9, 9, 3)), np.zeros((1, 2, 3)), "got .* float64"),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((2, 3)), r"transforms must be \(N, 2, 3\)"),
        (np.zeros((9, 9, 3), np.uint8), np.full((1, 2, 3), np.nan), "must be finite numbers"),
    ],
)
def test_refuses_other_arrays(frame: Any, transforms: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        crop_rotated(frame, transforms, (32, 32), *LEVELS)
