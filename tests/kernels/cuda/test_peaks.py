"""The CUDA peaks on the CPU, through their launchers, against the references: averages, peaks, positions and tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings, aggregate, merge_flipped
from heatstream.kernels.cuda.maps import DeviceMaps, decode_macros
from heatstream.kernels.cuda.peaks import PeakBuffers, select_peaks, tile_peaks
from heatstream.kernels.reference.peaks import find_peaks
from heatstream.kernels.reference.subpixel import refine_positions
from heatstream.kernels.settings import Plateaus
from heatstream.skeletons import COCO_17
from tests.kernels.cuda.emulated import Order, blank, kernels

pytestmark = pytest.mark.emulator

FloatArray = NDArray[np.float32]
DEFAULT = DecodeSettings()
NOT_FINITE = 1


def run(maps: DeviceMaps, wanted: DecodeSettings, order: Order = "forward") -> PeakBuffers:
    compiled = kernels("peaks", decode_macros(maps, wanted), order)
    buffers = blank(PeakBuffers, PeakBuffers.layout(maps, wanted.max_people))
    buffers.state[:] = buffers.overflow[:] = 0
    buffers.check(maps, wanted.max_people)
    tile_peaks(compiled, maps, buffers, threshold=wanted.detection_threshold, stream=None)
    select_peaks(compiled, maps, buffers, stream=None)
    return buffers


def check(
    found: PeakBuffers, heatmaps: FloatArray, tags: FloatArray, wanted: DecodeSettings, *, rounding: float = 0.0
) -> None:
    """Compare with the references on maps of the working size; values may differ by `rounding`."""
    for image, (maps, planes) in enumerate(zip(heatmaps, tags, strict=True)):
        assert found.state[image] == 0
        expected = find_peaks(
            maps,
            threshold=wanted.detection_threshold,
            nms_kernel=wanted.nms_kernel,
            capacity=wanted.max_people,
            plateaus=wanted.plateaus,
        )
        there = np.arange(wanted.max_people) < expected.counts[:, None]
        joint = np.nonzero(there)[0]
        x, y = expected.pixels[there].T
        np.testing.assert_array_equal(found.counts[image], expected.counts)
        np.testing.assert_array_equal(
            found.pixels[image], expected.pixels[..., 1] * maps.shape[2] + expected.pixels[..., 0]
        )
        np.testing.assert_allclose(found.scores[image], expected.scores, rtol=0, atol=rounding)
        assert found.overflow[image] == expected.overflow
        positions = refine_positions(maps, joint, expected.pixels[there], wanted.adjust)
        np.testing.assert_allclose(found.positions[image][there], positions, rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.tags[image][there], planes[joint, y, x], rtol=0, atol=10 * rounding)
        for unused in (found.positions[image][~there], found.tags[image][~there]):
            np.testing.assert_array_equal(unused, 0)


def random_maps(
    rng: np.random.Generator, shape: Sequence[int], *, levels: int | None = None, dtype: type = np.float32
) -> NDArray[Any]:
    """Noise, or noise of so few levels that plateaus and ties are everywhere."""
    values = rng.random(shape) if levels is None else rng.integers(0, levels, shape) / levels
    return values.astype(dtype)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 4),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    levels=st.sampled_from([None, 1, 2, 5, 50]),
    threshold=st.sampled_from([0.1, 0.0, 0.5, 0.9]),
    plateaus=st.sampled_from(["first", "all"]),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_plain_maps(
    seed: int, images: int, size: tuple[int, int], levels: int | None, threshold: float, plateaus: Plateaus, dtype: type
) -> None:
    rng = np.random.default_rng(seed)
    heatmaps = random_maps(rng, (images, 17, *size), levels=levels, dtype=dtype)
    tags = rng.normal(size=(images, 17, *size, 1)).astype(dtype)
    wanted = replace(DEFAULT, detection_threshold=threshold, plateaus=plateaus)
    found = run(DeviceMaps.plain(heatmaps, tags), wanted)
    check(found, heatmaps.astype(np.float32), tags.astype(np.float32), wanted)


@pytest.mark.parametrize(
    ("joints", "tag_size", "wanted"),
    [
        (1, 1, DecodeSettings(max_people=1, nms_kernel=1, adjust="none")),
        (14, 2, DecodeSettings(max_people=32, nms_kernel=3, adjust="h3r")),
        (133, 2, DecodeSettings(max_people=5, nms_kernel=9, adjust="quarter")),
    ],
)
@pytest.mark.parametrize("levels", [None, 4])
def test_other_settings(joints: int, tag_size: int, wanted: DecodeSettings, levels: int | None) -> None:
    rng = np.random.default_rng(joints)
    heatmaps = random_maps(rng, (1, joints, 33, 47), levels=levels)
    tags = rng.normal(size=(*heatmaps.shape, tag_size)).astype(np.float32)
    check(run(DeviceMaps.plain(heatmaps, tags), wanted), heatmaps, tags, wanted)


@pytest.mark.parametrize(
    ("value", "size"), [(0.0, (40, 40)), (1.0, (40, 40)), (1.0, (1, 1)), (0.1, (40, 40)), (3e38, (7, 150))]
)
def test_constant_maps(value: float, size: tuple[int, int]) -> None:
    """The threshold itself is no peak, and of a plateau the first pixel is, or every one."""
    heatmaps = np.full((2, 17, *size), value, np.float32)
    tags = np.zeros((*heatmaps.shape, 1), np.float32)
    for wanted in (DEFAULT, replace(DEFAULT, plateaus="all")):
        check(run(DeviceMaps.plain(heatmaps, tags), wanted), heatmaps, tags, wanted)


@pytest.mark.parametrize("best", ["anywhere", "first", "last"])
def test_more_keys_than_one_round_takes(best: str) -> None:
    """64 tiles of at least 30 peaks each are merged in two rounds, whichever tile holds the best."""
    wanted = DecodeSettings(max_people=30, nms_kernel=1, adjust="none")
    heatmaps = random_maps(np.random.default_rng(0), (1, 1, 256, 250))
    if best != "anywhere":
        ascending = np.sort(heatmaps, axis=None).reshape(heatmaps.shape)
        heatmaps = np.ascontiguousarray(ascending[..., ::-1, ::-1]) if best == "first" else ascending
    tags = np.zeros((*heatmaps.shape, 1), np.float32)
    for order in ("forward", "backward"):  # in which tiles come together
        check(run(DeviceMaps.plain(heatmaps, tags), wanted, order), heatmaps, tags, wanted)


def test_zeros_of_both_signs_are_equal() -> None:
    wanted = replace(DEFAULT, detection_threshold=-0.5, adjust="none")
    heatmaps = random_maps(np.random.default_rng(0), (1, 17, 20, 20), levels=2) * np.float32(-0.0)
    heatmaps[..., ::3] = 0
    tags = np.zeros((*heatmaps.shape, 1), np.float32)
    check(run(DeviceMaps.plain(heatmaps, tags), wanted), heatmaps, tags, wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["heatmaps", "tags"])
@pytest.mark.parametrize("place", [(0, 0), (34, 44), (17, 31)])
def test_an_image_that_is_not_finite_holds_nothing(value: float, where: str, place: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    heatmaps = random_maps(rng, (3, 17, 35, 45))
    tags = rng.normal(size=(*heatmaps.shape, 1)).astype(np.float32)
    (heatmaps if where == "heatmaps" else tags)[(1, 16, *place)] = value
    found = run(DeviceMaps.plain(heatmaps, tags), DEFAULT)
    np.testing.assert_array_equal(found.state, [0, NOT_FINITE, 0])
    for array in (found.counts, found.scores, found.pixels, found.positions, found.tags, found.overflow):
        np.testing.assert_array_equal(array[1], 0)
    sound = replace(
        found, **{name: getattr(found, name)[::2] for name in PeakBuffers.layout(DeviceMaps.plain(heatmaps, tags), 1)}
    )
    check(sound, heatmaps[::2], tags[::2], DEFAULT)


def network_maps(
    rng: np.random.Generator, runs: int, size: tuple[int, int], dtype: type, joints: int = 17
) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[Any]]:
    height, width = size
    quarter = random_maps(rng, (runs, joints, height, width), dtype=dtype)
    half = random_maps(rng, (runs, joints, 2 * height, 2 * width), dtype=dtype)
    return (quarter, half), rng.normal(size=quarter.shape).astype(dtype)


def reference_pass(
    heatmaps: tuple[NDArray[Any], NDArray[Any]], tags: NDArray[Any], size: tuple[int, int] | None, flip: bool
) -> tuple[FloatArray, FloatArray]:
    quarter, half = (maps.astype(np.float32) for maps in heatmaps)
    maps, planes = aggregate((quarter, half), tags.astype(np.float32), size=size)
    if not flip:
        return maps, planes
    return merge_flipped((maps[::2], planes[::2]), (maps[1::2], planes[1::2]), COCO_17.flip_indices)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (9, 13), (20, 17)])
def test_network_maps(size: tuple[int, int], flip: bool, project: bool, dtype: type) -> None:
    """Bit for bit: the kernels resample as OpenCV does."""
    heatmaps, tags = network_maps(np.random.default_rng(3), 4, size, dtype)
    to = (4 * size[0], 4 * size[1]) if project else None
    maps = DeviceMaps.network(heatmaps, tags, size=to, flip_indices=COCO_17.flip_indices if flip else None)
    check(run(maps, DEFAULT), *reference_pass(heatmaps, tags, to, flip), DEFAULT)


@pytest.mark.parametrize("place", ["quarter", "half", "tags"])
@pytest.mark.parametrize("mirrored", [0, 1])
def test_network_maps_that_are_not_finite(place: str, mirrored: int) -> None:
    (quarter, half), tags = network_maps(np.random.default_rng(3), 4, (9, 13), np.float16)
    {"quarter": quarter, "half": half, "tags": tags}[place][2 + mirrored, 4, -1, -1] = np.nan
    maps = DeviceMaps.network((quarter, half), tags, size=(36, 52), flip_indices=COCO_17.flip_indices)
    np.testing.assert_array_equal(run(maps, DEFAULT).state, [0, NOT_FINITE])


@pytest.mark.parametrize("name", ["coco_tagdim1", "coco_tagdim2", "crowdpose"])
def test_reference_scenes(golden: Callable[[str], Any], name: str) -> None:
    """The first scenes, one of them at full size."""
    file = golden(f"ae_decode_{name}.npz")
    scene = next(key[:-4] for key in file if key.endswith("_det"))
    heatmaps, tags = file[f"{scene}_det"][None], file[f"{scene}_tag"][None]
    found = run(DeviceMaps.plain(heatmaps, tags), DEFAULT)
    check(found, heatmaps.astype(np.float32), tags.astype(np.float32), DEFAULT)


@pytest.mark.parametrize("order", ["backward", 1, 2])
def test_the_order_of_threads_does_not_matter(order: Order) -> None:
    heatmaps, tags = network_maps(np.random.default_rng(3), 2, (9, 17), np.float16)
    heatmaps = tuple(np.round(maps * 8) / 8 for maps in heatmaps)  # with ties
    maps = DeviceMaps.network(heatmaps, tags, size=(36, 68), flip_indices=COCO_17.flip_indices)
    expected, found = run(maps, DEFAULT), run(maps, DEFAULT, order)
    for field in fields(found):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


MAPS, TAGS = np.zeros((1, 17, 8, 8), np.float32), np.zeros((1, 17, 8, 8, 1), np.float32)
QUARTER, HALF = np.zeros((2, 17, 4, 4), np.float16), np.zeros((2, 17, 8, 8), np.float16)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DeviceMaps.plain(MAPS[0], TAGS), r"take heatmaps \(B, K, H, W\)"),
        (lambda: DeviceMaps.plain(MAPS, np.zeros((1, 17, 8, 8, 3), np.float32)), "1 or 2"),
        (lambda: DeviceMaps.plain(MAPS.astype(np.float64), TAGS), "float16 or float32, got float64"),
        (
            lambda: DeviceMaps.plain(MAPS, TAGS.astype(np.float16)),
            r"tags must be a contiguous .* float32, got .* float16",
        ),
        (lambda: DeviceMaps.plain(MAPS[..., ::2], TAGS[..., ::2, :]), "heatmaps must be .*, not contiguous"),
        (lambda: DeviceMaps.network((QUARTER, QUARTER), QUARTER), "heatmaps at 1/2 must be"),
        (lambda: DeviceMaps.network((QUARTER, HALF), HALF), "tags must be"),
        (lambda: DeviceMaps.network((QUARTER[:1], HALF[:1]), QUARTER[:1], flip_indices=range(17)), "in pairs"),
        (lambda: DeviceMaps.network((QUARTER, HALF), QUARTER, size=(16, 17)), "projected to twice that"),
        (lambda: decode_macros(DeviceMaps.plain(MAPS, TAGS), DecodeSettings(max_people=33)), "at most 32 people"),
        (lambda: decode_macros(DeviceMaps.plain(MAPS, TAGS), DecodeSettings(nms_kernel=27)), "at most 25 px"),
    ],
)
def test_refuses_what_the_kernels_would_misread(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


def test_refuses_buffers_of_another_size() -> None:
    maps = DeviceMaps.plain(MAPS, TAGS)
    buffers = blank(PeakBuffers, PeakBuffers.layout(maps, 30))
    buffers.check(maps, 30)
    with pytest.raises(InputError, match=r"counts must be a contiguous \(1, 17\) int32, got \(1, 17\) int64"):
        replace(buffers, counts=buffers.counts.astype(np.int64)).check(maps, 30)
