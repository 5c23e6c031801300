"""Letterbox: where a frame lands in the network's input, and in which numbers."""

from __future__ import annotations

import numpy as np

from heatstream.kernels.geometry import Geometry
from heatstream.kernels.reference.letterbox import letterbox

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def test_channels_become_normalised_planes_in_rgb() -> None:
    frame = np.full((64, 64, 3), (10, 100, 200), np.uint8)  # BGR
    images = letterbox(frame, Geometry.fit((64, 64), (64, 64)), MEAN, STD)
    assert images.shape == (1, 3, 64, 64)
    assert images.dtype == np.float32
    expected = (np.array([200, 100, 10]) / 255 - MEAN) / STD
    np.testing.assert_allclose(images[0, :, 32, 32], expected, rtol=1e-6)


def test_the_border_is_black() -> None:
    images = letterbox(np.full((32, 64, 3), 255, np.uint8), Geometry.fit((32, 64), (64, 64)), MEAN, STD)
    black = -np.array(MEAN) / STD
    np.testing.assert_allclose(images[0, :, 2, 32], black, rtol=1e-6)
    np.testing.assert_allclose(images[0, :, 61, 32], black, rtol=1e-6)
    assert (images[0, :, 32, 32] > black).all()


def test_the_frame_is_only_read() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    before = frame.copy()
    letterbox(frame, Geometry.reference((40, 60), 64), MEAN, STD)
    np.testing.assert_array_equal(frame, before)
