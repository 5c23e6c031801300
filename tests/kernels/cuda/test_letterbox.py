"""The CUDA letterbox on the CPU, through its launcher, against the reference and against OpenCV's colour conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels import Geometry
from heatstream.kernels import letterbox as reference
from heatstream.kernels.cuda.letterbox import DESCRIPTOR_BYTES, describe, letterbox, letterbox_macros
from tests.kernels.cuda.emulated import UNWRITTEN, Order, kernels

pytestmark = pytest.mark.emulator

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# OpenCV 5 warps by the kernel's formula, in vectors; its loop for what is left of a row rounds otherwise. OpenCV 4
# rounds weights to 1/32.
VERSION_5 = int(cv2.__version__.partition(".")[0]) >= 5
VECTOR = 32


def emulate(
    frames: Sequence[NDArray[np.uint8]],
    geometries: Sequence[Geometry],
    dtype: type = np.float32,
    order: Order = "forward",
) -> NDArray[Any]:
    out = np.full((len(frames), 3, *geometries[0].input_size), UNWRITTEN, dtype)
    compiled = kernels("letterbox", letterbox_macros(out), order)
    letterbox(compiled, describe(frames, geometries), out, MEAN, STD, stream=None)
    return out


def check(found: NDArray[Any], frame: NDArray[np.uint8], geometry: Geometry) -> None:
    """The same grey levels as the reference's."""
    expected = reference(frame, geometry, MEAN, STD)[0]
    levels = np.asarray(STD)[:, None, None] * 255
    rounding = 1e-5 if found.dtype == np.float32 else 2e-3
    difference = np.abs(found.astype(np.float32) - expected) * levels
    in_vectors = np.arange(found.shape[2]) < found.shape[2] // VECTOR * VECTOR
    allowed = np.where(in_vectors, 0, 1) if VERSION_5 else 6
    assert (difference <= allowed + 255 * rounding).all()


def noise(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    input_size=st.tuples(st.integers(1, 70), st.integers(1, 90)),
    offset=st.integers(0, 3),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_frames_of_any_size_and_alignment(
    seed: int, size: tuple[int, int], input_size: tuple[int, int], offset: int, dtype: type
) -> None:
    """Enlarged and reduced, rows that begin at any byte, and a frame that ends where its memory ends."""
    height, width = size
    memory = np.random.default_rng(seed).integers(0, 256, offset + height * (3 * width + offset), dtype=np.uint8)
    frame = np.lib.stride_tricks.as_strided(
        memory[offset:], (height, width, 3), (3 * width + offset, 3, 1), writeable=False
    )
    geometry = Geometry.fit(size, input_size)
    check(emulate([frame], [geometry], dtype)[0], frame, geometry)


def test_both_conventions_of_the_geometry() -> None:
    rng = np.random.default_rng(0)
    for size in ((48, 64), (64, 48), (37, 53), (120, 40)):
        frame = noise(rng, *size)
        for geometry in (Geometry.reference(size, 64), Geometry.reference(size, 64, convention="exact")):
            check(emulate([frame], [geometry])[0], frame, geometry)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_batch_of_different_frames(dtype: type) -> None:
    rng = np.random.default_rng(0)
    wide = noise(rng, 40, 160)
    flat = noise(rng, 40, 1000)
    frames = [noise(rng, 30, 40), wide[:, 10:90], flat[::-1, :500], noise(rng, 1, 1)]
    geometries = [Geometry.fit(frame.shape[:2], (64, 96)) for frame in frames]
    found = emulate(frames, geometries, dtype)
    for image, frame, geometry in zip(found, frames, geometries, strict=True):
        check(image, frame, geometry)


def test_the_border_is_black() -> None:
    geometry = Geometry((8, 64), (4.0, 4.0), 64.0)
    found = emulate([np.full((8, 8, 3), 255, np.uint8)], [geometry])[0]
    black, white = ((np.array([level, level, level]) - MEAN) / STD for level in (0, 1))
    np.testing.assert_allclose(found[:, :, [0, 27, 36, 63]], black[:, None, None].repeat(8, 1).repeat(4, 2), atol=1e-6)
    np.testing.assert_allclose(found[:, :, 28:36], white[:, None, None].repeat(8, 1).repeat(8, 2), atol=1e-6)


@pytest.mark.parametrize("order", ["backward", 1])
def test_the_order_of_threads_does_not_matter(order: Order) -> None:
    frame, geometry = noise(np.random.default_rng(0), 33, 47), Geometry.fit((33, 47), (21, 70))
    np.testing.assert_array_equal(emulate([frame], [geometry], order=order), emulate([frame], [geometry]))


FRAME = np.zeros((6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME[..., 0], r"must be \(H, W, 3\) uint8 BGR"),
        (FRAME.astype(np.float32), "uint8 BGR and hold pixels, got .* float32"),
        (FRAME[:0], "hold pixels"),
        (FRAME[..., ::-1], "pixels must follow each other"),
        (FRAME[:, ::2], "pixels must follow each other"),
    ],
)
def test_refuses_other_frames(frame: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe([frame], [Geometry.fit((6, 8), (6, 8))])


@pytest.mark.parametrize(
    ("out", "descriptors", "message"),
    [
        (np.zeros((1, 4, 8, 8), np.float32), None, r"must be \(B, 3, H, W\)"),
        (np.zeros((1, 3, 8, 8)), None, "got .* float64"),
        (np.zeros((1, 3, 8, 16), np.float32)[..., ::2], None, "out must be .* not contiguous"),
        (np.zeros((2, 3, 8, 8), np.float32), None, r"descriptors must be a contiguous \(2, \d+\) uint8"),
        (np.zeros(3 * 64 + 1, np.float32)[1:].reshape(1, 3, 8, 8), None, "two of its pixels"),
    ],
)
def test_refuses_other_outputs(out: NDArray[Any], descriptors: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        letterbox({}, np.zeros((1, DESCRIPTOR_BYTES), np.uint8), out, MEAN, STD, stream=None)
