"""The CUDA crop on the CPU, through its launcher, against the reference."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels import Geometry
from heatstream.kernels.cuda.crops import crop_macros, crop_rotated
from heatstream.kernels.cuda.letterbox import DESCRIPTOR_BYTES, describe
from heatstream.kernels.reference.crops import MAX_SAMPLES, rotated_transforms
from heatstream.kernels.reference.crops import crop_rotated as reference
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD
from tests.kernels.cuda.emulated import UNWRITTEN, Order, kernels

pytestmark = pytest.mark.emulator

# OpenCV 4 rounds a warp's coordinates to 1/32 px.
LEVELS = 0.05 if int(cv2.__version__.partition(".")[0]) >= 5 else 24


def emulate(
    frame: NDArray[np.uint8],
    transforms: NDArray[Any],
    size: tuple[int, int],
    *,
    count: int | None = None,
    dtype: type = np.float32,
    order: Order = "forward",
) -> NDArray[Any]:
    out = np.full((len(transforms), 3, *size), UNWRITTEN, dtype)
    descriptor = describe([frame], [Geometry((64, 64), (3.0, 4.0), 7.0)])  # any: the crop does not look at it
    number = np.array([len(transforms) if count is None else count], np.int32)
    crop_rotated(
        kernels("crops", crop_macros(out), order),
        descriptor,
        np.ascontiguousarray(transforms, np.float32),
        number,
        out,
        IMAGENET_MEAN,
        IMAGENET_STD,
        stream=None,
    )
    return out


def check(found: NDArray[Any], frame: NDArray[np.uint8], transforms: NDArray[Any]) -> None:
    """The reference's grey levels, up to the rounding of floats."""
    expected = reference(frame, transforms.astype(np.float32), found.shape[2:], IMAGENET_MEAN, IMAGENET_STD)
    rounding = 0 if found.dtype == np.float32 else 2e-3
    allowed = LEVELS / (255 * np.asarray(IMAGENET_STD)) + rounding
    difference = np.abs(found.astype(np.float32) - expected)
    assert (difference <= allowed[:, None, None]).all()


def noise(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frame_size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 70)),
    scales=st.tuples(st.floats(0.05, 3.5), st.floats(0.05, 3.5)),
    angle=st.floats(-4, 4),
    shift=st.tuples(st.floats(-30, 70), st.floats(-30, 70)),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_crops_of_any_place_angle_and_size(
    seed: int, frame_size: Any, size: Any, scales: Any, angle: float, shift: Any, dtype: type
) -> None:
    frame = noise(seed, *frame_size)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transforms = np.stack([np.column_stack([rotation * scales, shift]), np.eye(2, 3)])
    check(emulate(frame, transforms, size, dtype=dtype), frame, transforms)


def test_faces_of_a_large_frame() -> None:
    """Coordinates in the thousands, where floats are coarsest; rows padded."""
    frame = noise(0, 40, 4096 + 5)[:, 1:4097]
    transforms = rotated_transforms(
        np.array([[4000.3, 3, 4030.7, 30], [4080, 10, 4110, 39], [3500, 1, 3800, 290]]),
        np.array([0.4, -0.2, 3]),
        (24, 32),
    )
    check(emulate(frame, transforms, (24, 32)), frame, transforms)


def test_a_crop_that_shrinks_more_than_the_samples_reach() -> None:
    frame = noise(0, 90, 90)
    transforms = np.array([[[MAX_SAMPLES + 2.5, 0, 1], [0, MAX_SAMPLES + 4.5, 3]]])
    check(emulate(frame, transforms, (6, 8)), frame, transforms)


def test_only_the_counted_crops_are_written() -> None:
    frame = noise(0, 30, 40)
    transforms = rotated_transforms(np.array([[5.0, 4, 30, 25]] * 3), np.arange(3.0), (16, 16))
    for count in (0, 2):
        found = emulate(frame, transforms, (16, 16), count=count)
        check(found[:count], frame, transforms[:count])
        assert (found[count:] == UNWRITTEN).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_transforms_that_lead_nowhere_give_black(value: float) -> None:
    black = -np.asarray(IMAGENET_MEAN) / IMAGENET_STD
    for row, column in np.ndindex(2, 3):
        transforms = np.array([[[1, 0.5, 2], [-0.5, 1, 3]]])
        transforms[0, row, column] = value
        found = emulate(noise(0, 9, 9), transforms, (4, 4))
        np.testing.assert_allclose(found, np.broadcast_to(black[None, :, None, None], found.shape), atol=1e-6)


@pytest.mark.parametrize("order", ["backward", 1])
def test_the_order_of_threads_does_not_matter(order: Order) -> None:
    frame = noise(0, 33, 47)
    transforms = rotated_transforms(np.array([[5.0, 4, 30, 25], [-5, 10, 60, 40]]), np.array([0.5, 2]), (17, 21))
    expected = emulate(frame, transforms, (17, 21))
    np.testing.assert_array_equal(emulate(frame, transforms, (17, 21), order=order), expected)


INPUT, DESCRIPTOR = np.zeros((2, 3, 8, 8), np.float32), np.zeros((1, DESCRIPTOR_BYTES), np.uint8)
TRANSFORMS, COUNT = np.zeros((2, 2, 3), np.float32), np.zeros(1, np.int32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((DESCRIPTOR, TRANSFORMS, COUNT, INPUT[:, :2]), r"must be \(B, 3, H, W\)"),
        ((DESCRIPTOR, TRANSFORMS, COUNT, INPUT[:, :, ::2]), "out must be .* not contiguous"),
        ((DESCRIPTOR.repeat(2, 0), TRANSFORMS, COUNT, INPUT), r"descriptor must be a contiguous \(1, \d+\) uint8"),
        ((DESCRIPTOR, TRANSFORMS.astype(np.float64), COUNT, INPUT), r"transforms .* \(2, 2, 3\) float32, .* float64"),
        ((DESCRIPTOR, TRANSFORMS[:1], COUNT, INPUT), r"transforms must be a contiguous \(2, 2, 3\)"),
        ((DESCRIPTOR, TRANSFORMS, COUNT[0], INPUT), r"count must be a contiguous \(1,\) int32"),
    ],
)
def test_refuses_other_arrays(arrays: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        crop_rotated({}, *arrays, IMAGENET_MEAN, IMAGENET_STD, stream=None)
