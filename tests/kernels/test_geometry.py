"""Frames to network input and keypoints back, against the reference and against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatstream.errors import InputError
from heatstream.kernels import Geometry, letterbox
from heatstream.kernels.geometry import LONGEST_ASPECT, Convention, similarity

SIDES = st.integers(1, 5000)
# The reference computes its transforms from float32 points: about seven digits of the largest coordinate.
SEVEN_DIGITS = 3e-6


def test_sizes_transforms_and_points_equal_the_reference(golden: Callable[[str], Any]) -> None:
    file = golden("decode_final_geometry.npz")
    assert len(file["cases_int"]) > 0
    for index, (sizes, scales) in enumerate(zip(file["cases_int"], file["cases_float"], strict=True)):
        width, height, base, resized_width, resized_height, center_x, center_y, map_width, map_height = map(int, sizes)
        geometry = Geometry.reference((height, width), base, scale=scales[0], smallest_scale=scales[1])
        assert geometry.input_size == (resized_height, resized_width)
        assert geometry.center == (center_x, center_y)
        inverse = geometry.inverse((map_height, map_width))
        for ours, reference in (
            (geometry.forward, file["affine_forward"][index]),
            (inverse, file["affine_inverse"][index]),
        ):
            np.testing.assert_allclose(ours, reference, atol=SEVEN_DIGITS * max(width, height, resized_width))
        points, expected = file["points_in"][index], file["points_out"][index]
        moved = geometry.to_source(points[..., :2], (map_height, map_width))
        np.testing.assert_allclose(moved, expected[..., :2], atol=1e-4 * max(width, height))


def test_rotated_transforms_equal_the_reference(golden: Callable[[str], Any]) -> None:
    file = golden("decode_final_affine_rot.npz")
    for index in range(len(file["rot"])):
        width, height = map(int, file["output_size"][index])
        arguments: Any = (tuple(file["center"][index]), file["scale"][index][0] * 200, (height, width))
        for inverse, name in ((False, "forward"), (True, "inverse")):
            ours = similarity(*arguments, rotation=file["rot"][index], inverse=inverse)
            np.testing.assert_allclose(ours, file[name][index], atol=SEVEN_DIGITS * np.abs(file[name][index]).max())


def test_warped_pictures_equal_the_reference(golden: Callable[[str], Any]) -> None:
    # OpenCV's bilinear weights changed with version 5; each file holds what its version gave.
    version5 = int(cv2.__version__.split(".")[0]) >= 5
    file = golden("decode_final_geometry.npz" if version5 else "decode_final_warp_opencv4.npz")
    pictures = [name.removesuffix("_in") for name in file if name.startswith("warp") and name.endswith("_in")]
    assert pictures
    for name in pictures:
        base, scale, smallest = file[f"{name}_params"]
        frame = file[f"{name}_in"]
        geometry = Geometry.reference(frame.shape[:2], int(base), scale=scale, smallest_scale=smallest)
        planes = letterbox(frame, geometry, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        bgr = planes[0, ::-1].transpose(1, 2, 0) * 255
        np.testing.assert_allclose(bgr, file[f"{name}_out"], atol=1e-3)


@given(width=SIDES, height=SIDES, base=st.sampled_from([64, 100, 256, 512, 640]))
def test_reference_geometry_keeps_the_aspect_and_fills_the_short_side(width: int, height: int, base: int) -> None:
    geometry = Geometry.reference((height, width), base)
    assert min(geometry.input_size) == -(-base // 64) * 64
    assert all(side % 64 == 0 for side in geometry.input_size)
    forward = geometry.forward
    assert forward[0, 0] == pytest.approx(forward[1, 1])
    assert forward[0, 1] == 0


@given(width=SIDES, height=SIDES, input_width=st.integers(1, 1000), input_height=st.integers(1, 1000))
def test_fitted_geometry_holds_the_whole_frame_in_the_middle(
    width: int, height: int, input_width: int, input_height: int
) -> None:
    forward = Geometry.fit((height, width), (input_height, input_width)).forward
    corners = np.array([[0, 0, 1], [width, height, 1]]) @ forward.T
    assert corners.min() >= -1e-6
    assert (corners <= np.array([input_width, input_height]) + 1e-6).all()
    np.testing.assert_allclose(corners.mean(axis=0), [input_width / 2, input_height / 2], atol=1e-6)


@given(width=SIDES, height=SIDES, x=st.floats(0, 1), y=st.floats(0, 1))
def test_there_and_back_again(width: int, height: int, x: float, y: float) -> None:
    geometry = Geometry.reference((height, width), 256)
    point = np.array([x * width, y * height])
    on_map = (geometry.forward[:, :2] @ point + geometry.forward[:, 2]) / 2
    rows, columns = geometry.input_size
    back = geometry.to_source(on_map[None].astype(np.float32), (rows // 2, columns // 2))
    np.testing.assert_allclose(back[0], point, atol=1e-5 * max(width, height) * max(1, max(width, height) / 256))


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (1024, 1024), (2160, 3840), (480, 641), (128, 128)])
@pytest.mark.parametrize("convention", ["exact", "official"])
def test_a_dot_comes_back_where_it_was(size: tuple[int, int], convention: Convention) -> None:
    """The centre of a soft dot, through the letterbox and back; the official warp is off by half its factor's pixel."""
    x, y, width = size[1] // 2 + 3.5, size[0] // 2 + 2.5, max(4.0, 3 * min(size) / 256)
    down, along = (
        np.exp(-((np.arange(side) + 0.5 - middle) ** 2) / (2 * width**2))
        for side, middle in zip(size, (y, x), strict=True)
    )
    picture = np.repeat((255 * np.outer(down, along)).astype(np.uint8)[:, :, None], 3, axis=2)
    for geometry in (
        Geometry.reference(size, 256, convention=convention),
        Geometry.fit(size, (256, 384), convention=convention),
    ):
        plane = letterbox(picture, geometry, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))[0, 0]
        rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]] + 0.5
        centre = np.array([(plane * columns).sum(), (plane * rows).sum()]) / plane.sum()
        found = geometry.to_source(centre.astype(np.float32), geometry.input_size)
        shift = (1 / geometry.forward[0, 0] - 1) / 2 if convention == "official" else 0
        # The dot's rim is cut by the rounding to grey levels, unevenly between pixels; 0.03 px was the most.
        np.testing.assert_allclose(found - (x, y), shift, atol=0.05)


@pytest.mark.parametrize("size", [(1, 20000), (3000, 1), (1, 64), (2, 33)])
def test_a_thin_frame_lies_whole_in_an_input_of_bounded_size(size: tuple[int, int]) -> None:
    for scale in (1.0, 2.0):
        geometry = Geometry.reference(size, 256, scale=scale)
        assert max(geometry.input_size) == LONGEST_ASPECT * min(geometry.input_size) == LONGEST_ASPECT * 256 * scale
        corners = np.array([[0, 0, 1], [*size[::-1], 1]]) @ geometry.forward.T
        assert corners.min() >= -1e-6
        assert (corners <= np.array(geometry.input_size[::-1]) + 1e-6).all()


@pytest.mark.parametrize("frame_size", [(0, 10), (10, 0), (-1, 10)])
def test_refuses_empty_frames(frame_size: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        Geometry.reference(frame_size, 256)
    with pytest.raises(InputError):
        Geometry.fit(frame_size, (64, 64))


def test_letterbox_reads_frames_of_any_strides() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 20:80] = frame
    geometry = Geometry.reference((40, 60), 64)
    expected = letterbox(frame, geometry, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    views = {
        "part of a wider frame": wide[:, 20:80],
        "turned and turned back": frame[::-1].copy()[::-1],
        "planes": np.ascontiguousarray(frame.transpose(2, 0, 1)).transpose(1, 2, 0),
        "RGB read backwards": np.ascontiguousarray(frame[..., ::-1])[..., ::-1],
    }
    for name, view in views.items():
        actual = letterbox(view, geometry, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
        np.testing.assert_array_equal(actual, expected, err_msg=name)


def test_letterbox_normalises_rgb() -> None:
    frame = np.full((64, 64, 3), (10, 100, 200), np.uint8)  # B, G, R
    planes = letterbox(frame, Geometry.reference((64, 64), 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = (np.array([200, 100, 10]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert planes.shape == (1, 3, 64, 64)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(planes[0, :, 32, 32], expected, rtol=1e-6)
