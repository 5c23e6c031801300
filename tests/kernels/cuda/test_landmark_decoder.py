"""Crops and landmarks on the GPU, with a fake of CuPy: CuPy arrays in, and the chain for whole frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from heatstream.errors import InputError
from heatstream.kernels import Geometry, crop_rotated, decode_landmarks, letterbox
from heatstream.kernels.cuda.landmark_decoder import LandmarkDecoder
from heatstream.kernels.cuda.letterbox import describe
from heatstream.kernels.reference.crops import rotated_transforms
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.emulator

Fake = tuple[Any, Counter[str]]

NORMALISATION = (IMAGENET_MEAN, IMAGENET_STD)
# OpenCV 4 rounds a warp's coordinates to 1/32 px.
CROP_TOLERANCE = 4e-3 if int(cv2.__version__.partition(".")[0]) >= 5 else 0.5
BOXES, ANGLES = np.array([[10.3, 5, 40, 35.5], [-9, -5, 60, 50]]), np.array([0.4, -2.0])


def frame() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (45, 70, 3), dtype=np.uint8)


def scores(images: int = 2, landmarks: int = 5) -> np.ndarray:
    return np.random.default_rng(2).normal(0, 3, (images, landmarks, 8, 9)).astype(np.float32)


# ---- CuPy arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [lambda array: array, lambda array: array[::-1, 3:50], lambda array: array[:, ::2]])
def test_the_letterbox_of_a_cupy_frame(fake: Fake, view: Callable[[Any], Any]) -> None:
    cupy, calls = fake
    geometry = Geometry.fit(view(frame()).shape[:2], (16, 32))
    found = letterbox(view(cupy.asarray(frame())), geometry, *NORMALISATION)
    assert type(found) is cupy.ndarray
    assert calls["wait"] == 0
    difference = np.abs(found.get() - letterbox(view(frame()), geometry, *NORMALISATION))
    assert difference.max() <= 6.1 / 255 / min(IMAGENET_STD)  # what versions of OpenCV differ by


@pytest.mark.parametrize("view", [lambda array: array, lambda array: array[::-1, 3:50], lambda array: array[:, ::2]])
def test_crops_of_a_cupy_frame(fake: Fake, view: Callable[[Any], Any]) -> None:
    cupy, calls = fake
    transforms = rotated_transforms(BOXES, ANGLES, (16, 12))
    expected = crop_rotated(view(frame()), transforms, (16, 12), *NORMALISATION)
    for given in (transforms, cupy.asarray(transforms)):
        calls.clear()
        found = crop_rotated(view(cupy.asarray(frame())), given, (16, 12), *NORMALISATION)
        assert type(found) is cupy.ndarray
        assert (calls["launch"], calls["wait"]) == (1, 0)
        np.testing.assert_allclose(found.get(), expected, rtol=0, atol=CROP_TOLERANCE)
    assert crop_rotated(cupy.asarray(frame()), transforms[:0], (16, 12), *NORMALISATION).shape == (0, 3, 16, 12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_landmarks_of_cupy_maps(fake: Fake, dtype: type) -> None:
    cupy, calls = fake
    maps = scores().astype(dtype)
    transforms = rotated_transforms(BOXES, ANGLES, (32, 36))
    for to_source in (None, transforms, cupy.asarray(transforms)):
        calls.clear()
        found = decode_landmarks(cupy.asarray(maps), 7, 2.0, to_source=to_source)
        assert type(found) is cupy.ndarray
        assert (calls["launch"], calls["wait"]) == (1, 0)
        expected = decode_landmarks(maps, 7, 2.0, to_source=None if to_source is None else transforms)
        np.testing.assert_allclose(found.get(), expected, rtol=0, atol=1e-3)
    for part in (lambda array: array[..., ::2, ::2], lambda array: array[:0], lambda array: array[:, :0]):
        np.testing.assert_allclose(decode_landmarks(part(cupy.asarray(maps))).get(), decode_landmarks(part(maps)), 1e-4)


# ---- The chain -----------------------------------------------------------------------------------------------------


def chain_of(capacity: int, dtype: type) -> LandmarkDecoder:
    return LandmarkDecoder.prepare(
        capacity=capacity,
        num_landmarks=5,
        input_size=(16, 24),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        topk=6,
        stride=2.0,
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_captured_chain_serves_frames_of_different_numbers_of_faces(fake: Fake, dtype: type) -> None:
    """It allocates nothing and waits for nothing; what is in its memory decides what comes out."""
    cupy, calls = fake
    chain = chain_of(3, dtype)
    picture = cupy.asarray(frame())
    descriptor = cupy.asarray(describe([picture], [Geometry.fit((45, 70), (64, 64))]))
    maps = cupy.empty((3, 5, 8, 9), dtype)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()  # the uploads are on the default stream, which ours does not wait for
    calls.clear()
    with stream:
        stream.begin_capture()
        chain.cut(descriptor, stream=stream)
        chain.decode(maps, stream=stream)
        graph = stream.end_capture()
    assert dict(calls) == {"launch": 2}

    transforms = rotated_transforms(BOXES, ANGLES, (16, 24)).astype(np.float32)
    given = scores(3).astype(dtype)
    given[1, 2, 3, 4] = np.nan
    for count in (2, 0, 1):
        chain.requested[...] = chain.request(transforms[:count])
        maps[...] = given
        graph.launch(stream)
        stream.synchronize()
        images = crop_rotated(frame(), transforms[:count], (16, 24), *NORMALISATION)
        np.testing.assert_allclose(chain.images.get()[:count], images, rtol=0, atol=CROP_TOLERANCE)
        landmarks, peaks = chain.result(chain.found.get(), count)
        assert landmarks.shape == (count, 5, 2)
        expected = decode_landmarks(given[:count], 6, 2.0, to_source=transforms[:count])
        np.testing.assert_allclose(landmarks, expected, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(peaks, given[:count].max(axis=(2, 3)))


def test_a_request_is_written_to_the_callers_memory(fake: Fake) -> None:
    chain = chain_of(3, np.float32)
    memory = np.full(19, 7, np.float32)
    request = chain.request(rotated_transforms(BOXES, ANGLES, (16, 24)), out=memory)
    assert request is memory
    assert request[-1:].view(np.int32) == 2


def test_refuses_what_there_is_no_room_for(fake: Fake) -> None:
    cupy, _ = fake
    with pytest.raises(InputError, match="room for a face and a landmark, got 0 and 5"):
        chain_of(0, np.float32)
    chain = chain_of(1, np.float32)
    with pytest.raises(InputError, match="2 faces are more than the 1 that there is room for"):
        chain.request(np.zeros((2, 2, 3)))
    for maps in (cupy.zeros((2, 5, 8, 9), np.float32), cupy.zeros((1, 5, 8, 9), np.float16)):
        with pytest.raises(InputError, match=r"prepared for maps of \(1, 5, H, W\) float32, got"):
            chain.decode(maps, stream=None)
