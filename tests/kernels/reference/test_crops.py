"""Boxes to crops and landmarks back: the official numbers, and what must hold anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.kernels import decode_landmarks
from heatstream.kernels.reference.crops import crop_boxes, crop_rectangles, crop_transforms, merge_flipped_landmarks
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD

GoldenFile = Callable[[str], Any]

TOLERANCE_PX = 1e-4
"""The reference computes with float32, of coordinates up to 640."""

UNCHANGED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def moved(points: Any, transforms: Any) -> Any:
    return points @ transforms[:, :, :2].transpose(0, 2, 1) + transforms[:, None, :, 2]


def test_rectangles_and_their_pixels_are_the_official_ones(golden: GoldenFile) -> None:
    reference = golden("h3r_geometry.npz")
    rectangles = crop_rectangles(reference["bbox"], float(reference["box_scale"]))
    np.testing.assert_allclose(rectangles, reference["rect"], rtol=0, atol=TOLERANCE_PX)
    np.testing.assert_array_equal(np.rint(rectangles), reference["crop_int_box"])


@pytest.mark.parametrize("size", [128, 160, 256])
def test_landmarks_go_back_as_the_official_ones(golden: GoldenFile, size: int) -> None:
    reference = golden("h3r_geometry.npz")
    transforms = crop_transforms(crop_rectangles(reference["bbox"]), (size, size))
    back = moved(reference[f"landmark_{size}"], transforms)
    np.testing.assert_allclose(back, reference[f"inverse_{size}"], rtol=0, atol=TOLERANCE_PX)


@pytest.mark.parametrize("size", [128, 160, 256])
def test_mirrored_landmarks_are_the_official_ones(golden: GoldenFile, size: int) -> None:
    reference = golden("h3r_geometry.npz")
    order = skeletons.WFLW_98.flip_indices
    np.testing.assert_array_equal(order, reference["flip_order"])
    flipped = reference[f"flipped_{size}"]
    both = merge_flipped_landmarks(flipped, reference[f"flip_in_{size}"], order, size)
    np.testing.assert_allclose(both, flipped, rtol=0, atol=TOLERANCE_PX)


@pytest.mark.parametrize("name", ["mobilenetv2_wflw98", "hrnet18_300w68"])
def test_from_picture_to_landmarks_as_the_official_detector(golden: GoldenFile, name: str) -> None:
    torch = pytest.importorskip("torch")
    from heatstream.models.networks.h3r import H3R
    from tests.fakes.golden_weights import H3R_GAINS, fill_golden_weights

    reference = golden(f"h3r_forward_{name}.npz")
    size = tuple(reference["e2e_input_size"].tolist())
    (skeleton,) = (s for s in skeletons.SKELETONS.values() if s.name.replace("-", "") == name.partition("_")[2])
    network = H3R(skeleton.num_keypoints, width=None if name.startswith("mobile") else 18).eval()
    fill_golden_weights(network, gain=H3R_GAINS[name.partition("_")[0]])
    frame = reference["e2e_image"][..., ::-1]

    def landmarks(rectangles: Any) -> tuple[Any, Any]:
        """In source px, without and with the flip test."""
        images = crop_boxes(frame, rectangles, size, IMAGENET_MEAN, IMAGENET_STD)
        if len(reference["e2e_data_sub2"]) == len(images):
            np.testing.assert_allclose(images[..., ::2, ::2], reference["e2e_data_sub2"], rtol=0, atol=1e-6)
        with torch.inference_mode():
            views = [network.landmarks(torch.from_numpy(x)).numpy() for x in (images, images[..., ::-1].copy())]
        plain, mirrored = (decode_landmarks(maps) for maps in views)
        merged = merge_flipped_landmarks(plain, mirrored, skeleton.flip_indices, size[1])
        transforms = crop_transforms(rectangles, size)
        return moved(plain, transforms), moved(merged, transforms)

    rectangles = crop_rectangles(reference["e2e_bbox"])
    np.testing.assert_allclose(rectangles, reference["e2e_rect"], rtol=0, atol=TOLERANCE_PX)
    whole = np.array([[0, 0, frame.shape[1], frame.shape[0]]])
    (plain, merged), (_, merged_whole) = landmarks(rectangles), landmarks(whole)
    for found, key in ((plain, "noflip"), (merged, "flip"), (merged_whole, "flip_nobox")):
        # Where the 9th and 10th pixel of a map are all but equal a landmark may jump; few are.
        close = np.abs(found - reference[f"e2e_landmarks_{key}"]).max(axis=-1) < 1e-3
        assert close.mean() > 0.99, key


def test_pixels_are_copied_where_sizes_agree_and_black_beyond_the_frame() -> None:
    frame = np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8)
    crops = crop_boxes(frame, np.array([[4, 2, 12, 10], [-4, -2, 4, 6], [40, 40, 48, 48]]), (8, 8), *UNCHANGED)
    pixels = np.rint(crops.transpose(0, 2, 3, 1)[..., ::-1] * 255)
    np.testing.assert_array_equal(pixels[0], frame[2:10, 4:12])
    np.testing.assert_array_equal(pixels[1, 2:, 4:], frame[:6, :4])
    assert not pixels[1, :2].any()
    assert not pixels[1, :, :4].any()
    assert not pixels[2].any()


@pytest.mark.parametrize("rectangle", [[5.4, 5.4, 5.4, 5.4], [2, 2, 3, 3]])
def test_the_smallest_crop_is_one_pixel(rectangle: list[float]) -> None:
    frame = np.full((9, 9, 3), 200, np.uint8)
    crop = crop_boxes(frame, np.array([rectangle]), (4, 6), *UNCHANGED)
    np.testing.assert_allclose(crop, np.full((1, 3, 4, 6), 200 / 255), rtol=1e-6)


def test_a_body_gets_the_smallest_rectangle_of_the_inputs_aspect() -> None:
    wide, tall = crop_rectangles(np.array([[0, 0, 59, 19], [0, 0, 9, 39]]), 1.0, aspect=0.75)
    np.testing.assert_allclose(wide, [0, -30, 60, 50])
    np.testing.assert_allclose(tall, [-10, 0, 20, 40])


def test_no_boxes_give_no_crops() -> None:
    crops = crop_boxes(np.zeros((9, 9, 3), np.uint8), crop_rectangles(np.zeros((0, 4))), (32, 32), *UNCHANGED)
    assert crops.shape == (0, 3, 32, 32)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], r"boxes must be \(N, 4\), x0 y0 x1 y1, got \(4,\)"),
        ([[0, 0, 9, 9], [5, 5, 3, 9]], "box 1 is empty or not finite"),
        ([[0, 0, np.nan, 9]], "box 0 is empty or not finite"),
    ],
)
def test_what_is_no_box_is_refused(boxes: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        crop_rectangles(np.array(boxes, float))
