"""decode_poses on CuPy arrays, and what the chain may not do while it launches, with a fake of CuPy."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.decode_gpu import Scene, measure, report
from benchmarks.kernel_table import DOCUMENT
from benchmarks.traffic import predicted_table
from heatstream.errors import InputError, MissingExtraError
from heatstream.kernels import DecodeSettings, aggregate, decode_poses
from heatstream.kernels.cuda import device
from heatstream.kernels.cuda import pose_decoder as decode_gpu
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.cuda.nvrtc import nvrtc
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.synthetic import make_scene
from tests.fakes.cupy import make_cupy

pytestmark = pytest.mark.emulator

Cupy = Any


def maps(people: int = 4, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    scenes = [make_scene(np.random.default_rng(seed), people, size=(40, 72), tag_size=1) for seed in (1, 2)]
    heatmaps, tags = np.stack([scene.heatmaps for scene in scenes]), np.stack([scene.tags for scene in scenes])
    return heatmaps.astype(dtype), tags.astype(dtype)


# ---- decode_poses on CuPy arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float16, np.float16), (np.float16, np.float64)])
@pytest.mark.parametrize("settings", [None, DecodeSettings(adjust="none", refine=False, max_people=3)], ids=str)
def test_cupy_arrays_give_the_same_people(
    fake: tuple[Cupy, Counter[str]], dtypes: tuple[type, type], settings: DecodeSettings | None
) -> None:
    cupy, calls = fake
    heatmaps, tags = maps()
    heatmaps, tags = heatmaps.astype(dtypes[0]), tags.astype(dtypes[1])
    expected = decode_poses(heatmaps, tags, settings)
    assert not calls
    found = decode_poses(cupy.asarray(heatmaps), cupy.asarray(tags), settings)
    assert calls["copy"] == 1  # all images together
    for one, other in zip(found, expected, strict=True):
        assert len(one) == len(other) > 3
        for name in ("keypoints", "keypoint_scores", "scores"):  # in the order in which they were started
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
            assert type(getattr(one, name)) is np.ndarray
        assert one.skeleton == other.skeleton


def test_cupy_arrays_that_are_not_contiguous(fake: tuple[Cupy, Counter[str]]) -> None:
    cupy, _ = fake
    heatmaps, tags = maps()
    found = decode_poses(cupy.asarray(heatmaps)[:, :, ::2, ::2], cupy.asarray(tags)[:, :, ::2, ::2])
    expected = decode_poses(heatmaps[:, :, ::2, ::2], tags[:, :, ::2, ::2])
    assert [poses.keypoints.tolist() for poses in found] == [poses.keypoints.tolist() for poses in expected]


def test_broken_maps_give_nobody_and_one_warning(fake: tuple[Cupy, Counter[str]]) -> None:
    cupy, _ = fake
    heatmaps, tags = maps()
    heatmaps[0, 3, 5, 7] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN or infinite") as caught:
        found = decode_poses(cupy.asarray(heatmaps), cupy.asarray(tags))
    assert len(caught) == 1
    assert len(found[0]) == 0 < len(found[1])


def test_no_images(fake: tuple[Cupy, Counter[str]]) -> None:
    cupy, calls = fake
    assert decode_poses(cupy.zeros((0, 17, 8, 8)), cupy.zeros((0, 17, 8, 8, 1))) == []
    assert calls["launch"] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cupy, heatmaps, tags: (cupy.asarray(heatmaps), tags), "both lie on the GPU .*; tags are not CuPy's"),
        (lambda cupy, heatmaps, tags: (heatmaps, cupy.asarray(tags)), "heatmaps are not CuPy's"),
        (lambda cupy, heatmaps, tags: (cupy.asarray(heatmaps), cupy.asarray(tags)[:1]), "tags must have shape"),
        (
            lambda cupy, heatmaps, tags: (cupy.asarray(heatmaps), cupy.zeros((*heatmaps.shape, 3))),
            r"the kernels take heatmaps .* and tags \(B, K, H, W, 1 or 2\)",
        ),
        (
            lambda cupy, heatmaps, tags: (cupy.asarray(heatmaps), cupy.asarray(tags), DecodeSettings(max_people=40)),
            "at most 32 people per joint, got max_people = 40",
        ),
    ],
)
def test_refuses(fake: tuple[Cupy, Counter[str]], call: Callable[..., tuple[Any, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_poses(*call(fake[0], *maps()))


def test_numpy_arrays_never_import_cupy() -> None:
    """A module that could be imported, and would say so."""
    program = (
        "import sys, numpy as np; from heatstream.kernels import decode_poses\n"
        "assert not decode_poses(np.zeros((1, 17, 8, 8)), np.zeros((1, 17, 8, 8, 1)))[0].keypoints.size\n"
        "assert 'cupy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_gpu_benchmark_runs_to_its_end(fake: tuple[Cupy, Counter[str]]) -> None:
    """Where there is a GPU its minutes are dear; the figures that come out here mean nothing."""
    result = measure(
        fake[0],
        people=[0, 2],
        sides=[48],
        batches=[2],
        runs=2,
        seconds=0.0,
        copy_bytes=1 << 10,
        frames=[(30, 40)],
        short_side=64,
        torch_device="cpu",
    )
    assert [(case["batch"], case["people"]) for case in result["cases"]] == [(2, 0), (2, 2)]
    assert result["cases"][1]["groups"] == sum(map(len, decode_poses(*maps_of_benchmark(2))))
    table, plot = report(result)
    for way in ("decode", "reference", "plain", "tile_peaks", "select_peaks", "group", "refine", "pack"):
        assert table.count(f"| {way} |") == 2
    ElementTree.fromstring(plot)


def test_the_predictions_in_the_documentation_are_current() -> None:
    assert predicted_table(4.8e6) in DOCUMENT.read_text(encoding="utf-8")


def maps_of_benchmark(people: int) -> tuple[np.ndarray, np.ndarray]:
    scene = Scene.make(people, 48, 2)
    quarter, half, tags = (array.astype(np.float32) for array in (scene.quarter, scene.half, scene.tags))
    return aggregate((quarter, half), tags)


# ---- Loading --------------------------------------------------------------------------------------------------------


def test_modules_are_loaded_once_per_device_and_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        nvrtc()
    except MissingExtraError as error:
        pytest.skip(str(error))  # NVRTC's wheels exist for Linux alone; the message names what is missing
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(device, "_load", functools.cache(device._load.__wrapped__))
    for _ in range(2):
        for half in (0, 1):
            assert set(CupyDevice().kernels("landmarks", {"HALF_MAPS": half})) == {"decode_landmarks"}
    assert calls["load"] == 2
    with cupy.cuda.Device(1):
        CupyDevice().kernels("landmarks", {"HALF_MAPS": 1})
    assert calls["load"] == 3


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtraError, match=r"cupy is needed for running the CUDA kernels"):
        CupyDevice()


# ---- Launching ------------------------------------------------------------------------------------------------------


def prepared(cupy: Cupy, dtype: type = np.float32) -> tuple[PoseDecoder, DeviceMaps, Any, Any]:
    arrays = tuple(cupy.asarray(array) for array in maps(dtype=dtype))
    device_maps = DeviceMaps.plain(*arrays)
    chain = PoseDecoder.prepare(device_maps, DecodeSettings(), capacity=32)
    to_source = cupy.asarray(np.tile(np.eye(2, 3), (2, 1, 1)))
    return chain, device_maps, to_source, cupy.empty(chain.packed_shape, np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_launch_allocates_nothing_and_waits_for_nothing(fake: tuple[Cupy, Counter[str]], dtype: type) -> None:
    cupy, calls = fake
    chain, device_maps, to_source, packed = prepared(cupy, dtype)
    assert calls["allocate"] > 0  # the memory was asked for before
    calls.clear()
    chain.launch(device_maps, to_source, packed, stream=cupy.cuda.get_current_stream())
    assert dict(calls) == {"launch": 6}  # the counters' memset and five kernels
    assert packed[0, 0] == len(decode_poses(*maps(dtype=dtype))[0])


@pytest.mark.parametrize(
    ("mistake", "kind"),
    [
        (lambda cupy, buffers: cupy.zeros(3), "allocate"),
        (lambda cupy, buffers: cupy.cuda.alloc(64), "allocate"),
        (lambda cupy, buffers: buffers.scores + 1, "allocate"),
        (lambda cupy, buffers: buffers.counts.astype(np.float32), "allocate"),
        (lambda cupy, buffers: cupy.asarray(np.zeros(3)), "allocate"),
        (lambda cupy, buffers: cupy.cuda.get_current_stream().synchronize(), "wait"),
        (lambda cupy, buffers: cupy.cuda.Device().synchronize(), "wait"),
        (lambda cupy, buffers: cupy.cuda.runtime.deviceSynchronize(), "wait"),
        (lambda cupy, buffers: buffers.counts.get(), "wait"),
        (lambda cupy, buffers: int(buffers.counts[0, 0]), "wait"),
        (lambda cupy, buffers: buffers.counts.data.memset(0, buffers.counts.nbytes), "wait"),
    ],
)
def test_a_launcher_that_allocates_or_waits_is_counted(
    fake: tuple[Cupy, Counter[str]],
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[Cupy, Any], object],
    kind: str,
) -> None:
    """The test above can fail: one step of the chain makes a mistake, and the count says which."""
    cupy, calls = fake
    chain, device_maps, to_source, packed = prepared(cupy)
    select_peaks = decode_gpu.select_peaks

    def careless(kernels: Any, maps: Any, buffers: Any, *, stream: Any) -> None:
        mistake(cupy, buffers)
        select_peaks(kernels, maps, buffers, stream=stream)

    monkeypatch.setattr(decode_gpu, "select_peaks", careless)
    calls.clear()
    chain.launch(device_maps, to_source, packed, stream=cupy.cuda.get_current_stream())
    assert calls[kind] > 0


def test_without_refine_its_kernel_is_not_launched(fake: tuple[Cupy, Counter[str]]) -> None:
    cupy, calls = fake
    chain, device_maps, to_source, packed = prepared(cupy)
    chain = PoseDecoder.prepare(device_maps, replace(chain.settings, refine=False), capacity=32)
    assert "refine" not in chain.kernels
    calls.clear()
    chain.launch(device_maps, to_source, packed, stream=cupy.cuda.get_current_stream())
    assert dict(calls) == {"launch": 5}
