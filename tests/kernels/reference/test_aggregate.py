"""Averaging of resolutions, mirror images and scales, against the reference and against the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heatstream.errors import InputError
from heatstream.kernels import aggregate, merge_flipped, merge_scales
from heatstream.kernels.reference.aggregate import resample
from heatstream.skeletons import COCO_17

OF_ITS_RANGE = 1e-4
Maps = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def flip_test() -> Callable[[np.ndarray, tuple[int, int] | None], tuple[Maps, Maps]]:
    """The plain and the flip-tested maps of one input, from the reference network with the reference weights."""
    torch = pytest.importorskip("torch", reason="torch runs the reference network")
    from heatstream import models
    from tests.fakes.golden_weights import fill_golden_weights

    network = models.create("swahr-w32")
    fill_golden_weights(network)
    network.eval()

    def run(images: np.ndarray, size: tuple[int, int] | None) -> Maps:
        with torch.no_grad():
            output = network(torch.from_numpy(np.ascontiguousarray(images)))
        quarter, half = (heatmaps.numpy() for heatmaps in output.heatmaps)
        return aggregate((quarter, half), output.tags.numpy(), size=size)

    def both(images: np.ndarray, size: tuple[int, int] | None) -> tuple[Maps, Maps]:
        plain = run(images, size)
        return plain, merge_flipped(plain, run(images[..., ::-1], size), COCO_17.flip_indices)

    return both


def assert_near(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, atol=OF_ITS_RANGE * np.ptp(expected))


def test_aggregation_equals_the_reference(golden: Callable[[str], Any], flip_test: Any) -> None:
    images = golden("swahr_forward_w32.npz")["input"]
    expected = golden("swahr_aggregate_w32.npz")
    plain, (heatmaps, tags) = flip_test(images, images.shape[2:])
    assert_near(heatmaps[..., ::4, ::4], expected["proj_final_heatmaps_sub4"])
    assert_near(tags[..., ::4, ::4, :], expected["proj_tags_sub4"])
    assert_near(heatmaps[..., 1::16, :], expected["proj_final_heatmaps_rows"])
    assert_near(tags[..., 1::16, :, :], expected["proj_tags_rows"])
    assert_near(plain[0][..., 1::16, :], expected["noflip_final_heatmaps_rows"])
    assert_near(plain[1][..., 1::16, :, :], expected["noflip_tags_rows"])
    _, (heatmaps, tags) = flip_test(images, None)
    assert_near(heatmaps, expected["noproj_final_heatmaps"])
    assert_near(tags[..., 1::4, :, :], expected["noproj_tags_rows"])


@pytest.mark.parametrize(("name", "size"), [("proj", (64, 128)), ("noproj", None)])
def test_multiple_scales_equal_the_reference(
    golden: Callable[[str], Any], flip_test: Any, name: str, size: tuple[int, int] | None
) -> None:
    file = golden("swahr_multiscale_w32.npz")
    passes = [(scale, *flip_test(file[f"input_{scale:g}"], size)[1]) for scale in (2, 1, 0.5)]
    heatmaps, tags = merge_scales(passes)
    assert_near(heatmaps[..., 1::8, :], file[f"{name}_final_heatmaps_rows"])
    assert_near(tags[..., 1::8, :, :], file[f"{name}_tags_rows"])


@pytest.mark.parametrize("size", [(8, 12), (4, 6), (5, 9), (1, 1)])
def test_resampling_is_bilinear_between_pixel_centres(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype(np.float32)
    y = np.clip((np.arange(size[0]) + 0.5) * 4 / size[0] - 0.5, 0, 3)
    x = np.clip((np.arange(size[1]) + 0.5) * 6 / size[1] - 0.5, 0, 5)
    top, left = np.minimum(y.astype(int), 2), np.minimum(x.astype(int), 4)
    down, right = (y - top)[:, None], x - left
    rows = maps[:, :, top] * (1 - down) + maps[:, :, top + 1] * down
    expected = rows[..., left] * (1 - right) + rows[..., left + 1] * right
    np.testing.assert_allclose(resample(maps, size), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6), (8, 12)])
def test_the_networks_maps_stay_as_they_are(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    quarter, tags = rng.normal(size=(2, 1, 3, 4, 6)).astype(np.float32)
    half = rng.normal(size=(1, 3, *size)).astype(np.float32)
    before = [maps.copy() for maps in (quarter, half, tags)]
    average, _ = aggregate((quarter, half), tags)
    np.testing.assert_array_equal(average, (resample(quarter, size) + half) * np.float32(0.5))
    for maps, copy in zip((quarter, half, tags), before, strict=True):
        np.testing.assert_array_equal(maps, copy)


def test_mirroring_swaps_left_and_right() -> None:
    maps = np.random.default_rng(0).normal(size=(1, 17, 4, 6)).astype(np.float32)
    swapped = maps[:, list(COCO_17.flip_indices)][..., ::-1]
    heatmaps, tags = merge_flipped((maps, maps[..., None]), (swapped, swapped[..., None]), COCO_17.flip_indices)
    np.testing.assert_allclose(heatmaps, maps, atol=1e-6)
    np.testing.assert_array_equal(tags[..., 0], tags[..., 1])


def test_refuses_maps_that_do_not_belong_together() -> None:
    quarter, half = np.zeros((1, 17, 4, 4), np.float32), np.zeros((1, 14, 8, 8), np.float32)
    with pytest.raises(InputError, match="must agree"):
        aggregate((quarter, half), quarter)
    maps = np.zeros((1, 17, 4, 4), np.float32)
    with pytest.raises(InputError, match="scale 1"):
        merge_scales([(2.0, maps, maps[..., None]), (0.5, maps, maps[..., None])])
    with pytest.raises(InputError, match="scale 1"):
        merge_scales([])
