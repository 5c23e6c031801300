"""The kernels on a GPU, through CuPy: the emulator's cases, CUDA graphs, determinism.

With HEATSTREAM_TEST_ALLOCATIONS=1 every array is an allocation of its own, so that compute-sanitizer sees where it ends
(tools/on_gpu.sh).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heatstream.kernels import DecodeSettings, Geometry, decode_poses
from heatstream.kernels import letterbox as letterbox_reference
from heatstream.kernels.cuda.crops import crop_macros, crop_rotated
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.landmark_decoder import LandmarkDecoder
from heatstream.kernels.cuda.landmarks import decode_landmarks, landmark_macros
from heatstream.kernels.cuda.letterbox import describe, letterbox, letterbox_macros
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.reference.crops import crop_rotated as crops_reference
from heatstream.kernels.reference.crops import rotated_transforms
from heatstream.kernels.reference.landmarks import decode_landmarks as landmarks_reference
from heatstream.model_info import IMAGENET_MEAN, IMAGENET_STD
from tests.fakes.decode_cases import (
    CASES,
    DEFAULT,
    TO_SOURCE,
    Case,
    assert_same,
    crowd,
    expected_people,
    make_case,
    network,
    run,
    skeletons_of_any_size,
)

pytestmark = pytest.mark.gpu

# Of grey: how far crops may be from the reference's. OpenCV 4 rounds a warp's coordinates to 1/32 px.
CROP_LEVELS = 0.05 if int(cv2.__version__.partition(".")[0]) >= 5 else 24

FILES = ["ae_decode_coco_tagdim1", "ae_decode_coco_tagdim2", "ae_decode_crowdpose", "ae_decode_adversarial"]


@pytest.fixture(scope="module", autouse=True)
def cupy() -> Iterator[Any]:
    """CuPy on a machine with a GPU."""
    module = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        devices = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        # Nothing here can run on a CPU; test_decode_gpu.py has what can.
        pytest.skip(f"there is no usable NVIDIA GPU: {error}")
    if not devices:
        # As above: the driver is there, the GPU is not.
        pytest.skip("there is no NVIDIA GPU")
    if os.environ.get("HEATSTREAM_TEST_ALLOCATIONS"):
        module.cuda.set_allocator(None)
    with skeletons_of_any_size():
        yield module


# ---- The emulator's cases ------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.builds(make_case, **CASES))
def test_maps_of_all_kinds(cupy: Any, case: Case) -> None:
    found = run(case.on(cupy.asarray), case.wanted, CupyDevice(), capacity=7)
    assert_same(found, expected_people(case.working, case.wanted, 7), case.wanted)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("project", [False, True])
def test_network_maps(cupy: Any, dtype: type, flip: bool, project: bool) -> None:
    maps, working = network(2, dtype, flip=flip, project=project, upload=cupy.asarray)
    assert_same(run(maps, DEFAULT, CupyDevice()), expected_people(working, DEFAULT, 64), DEFAULT)


@pytest.mark.parametrize("adjust", ["none", "quarter", "h3r"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("name", FILES)
def test_reference_scenes(cupy: Any, golden: Callable[[str], Any], name: str, dtype: type, adjust: Any) -> None:
    file = golden(f"{name}.npz")
    wanted = DecodeSettings(adjust=adjust)
    tolerance = 1e-3 if dtype == np.float32 else 0.05
    for scene in json.loads(str(file["meta"])):
        maps = tuple(file[f"{scene}_{part}"][None].astype(dtype) for part in ("det", "tag"))
        (found,) = decode_poses(*(cupy.asarray(array) for array in maps), wanted)
        (expected,) = decode_poses(*maps, wanted)
        np.testing.assert_array_equal(found.scores, expected.scores, err_msg=scene)
        np.testing.assert_array_equal(found.keypoint_scores, expected.keypoint_scores, err_msg=scene)
        np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=0, atol=tolerance, err_msg=scene)


def test_the_letterbox(cupy: Any) -> None:
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((90, 121), (60, 31), (33, 300))]
    geometries = [Geometry.fit(frame.shape[:2], (64, 96)) for frame in frames]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    on_gpu = [cupy.asarray(frame) for frame in frames]
    out = cupy.empty((3, 3, 64, 96), np.float32)
    kernels = CupyDevice().kernels("letterbox", letterbox_macros(out))
    descriptors = cupy.asarray(describe(on_gpu, geometries))
    letterbox(kernels, descriptors, out, mean, std, stream=cupy.cuda.get_current_stream())
    for found, frame, geometry in zip(out.get(), frames, geometries, strict=True):
        grey_levels = (
            np.abs(found - letterbox_reference(frame, geometry, mean, std)[0]) * np.reshape(std, (3, 1, 1)) * 255
        )
        assert grey_levels.max() < 6.1  # what versions of OpenCV differ by


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_crops(cupy: Any, dtype: type) -> None:
    """Of a frame with padded rows; the third is not counted."""
    frame = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    boxes = np.array([[10.3, 20, 40, 45.5], [-9, 5, 140, 90], [0, 0, 9, 9]])
    transforms = rotated_transforms(boxes, np.array([0.4, -2.0, 0]), (64, 48)).astype(np.float32)
    on_gpu = cupy.asarray(frame)[:, 2:127]
    out = cupy.zeros((3, 3, 64, 48), dtype)
    crop_rotated(
        CupyDevice().kernels("crops", crop_macros(out)),
        cupy.asarray(describe([on_gpu], [Geometry.fit(on_gpu.shape[:2], (64, 64))])),
        cupy.asarray(transforms),
        cupy.asarray(np.array([2], np.int32)),
        out,
        IMAGENET_MEAN,
        IMAGENET_STD,
        stream=cupy.cuda.get_current_stream(),
    )
    found = out.get().astype(np.float32)
    expected = crops_reference(frame[:, 2:127], transforms[:2], (64, 48), IMAGENET_MEAN, IMAGENET_STD)
    allowed = CROP_LEVELS / (255 * np.asarray(IMAGENET_STD))
    assert (np.abs(found[:2] - expected) <= allowed[:, None, None] + (2e-3 if dtype == np.float16 else 0)).all()
    assert not found[2].any()


def test_the_landmarks(cupy: Any) -> None:
    maps = np.random.default_rng(1).normal(0, 3, (3, 98, 32, 32)).astype(np.float16)
    positions = cupy.empty((3, 98, 2), np.float32)
    on_gpu = cupy.asarray(maps)
    kernels = CupyDevice().kernels("landmarks", landmark_macros(on_gpu))
    decode_landmarks(kernels, on_gpu, positions, stream=cupy.cuda.get_current_stream())
    np.testing.assert_allclose(positions.get(), landmarks_reference(maps), rtol=1e-5, atol=1e-3)


# ---- CUDA graphs ---------------------------------------------------------------------------------------------------


class Captured:
    """The decode of two images as a graph, with the memory that it reads and writes."""

    def __init__(self, cupy: Any, capacity: int = 32) -> None:
        heatmaps, tags = crowd(3, 0)
        self.heatmaps, self.tags = cupy.asarray(heatmaps), cupy.asarray(tags)
        maps = DeviceMaps.plain(self.heatmaps, self.tags)
        chain = PoseDecoder.prepare(maps, DEFAULT, capacity=capacity)
        to_source = cupy.asarray(np.tile(TO_SOURCE, (2, 1, 1)))
        self.packed = cupy.empty(chain.packed_shape, np.int32)
        self.dtype = chain.packed_dtype
        self.stream = cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.Device().synchronize()

        def refuse(size: int) -> None:
            raise AssertionError(f"{size} bytes were allocated while a graph was captured")

        # In this mode the driver refuses every call that waits or allocates, on any thread.
        with cupy.cuda.using_allocator(refuse), self.stream:
            self.stream.begin_capture(mode=cupy.cuda.runtime.streamCaptureModeGlobal)
            chain.launch(maps, to_source, self.packed, stream=self.stream)
            self.graph = self.stream.end_capture()
        self.arguments = maps, chain, to_source  # alive as long as the graph

    def replay(self, working: Any) -> bytes:
        """Copy maps in, run, copy the people out."""
        self.heatmaps.set(working[0], stream=self.stream)
        self.tags.set(working[1], stream=self.stream)
        self.graph.launch(self.stream)
        people: np.ndarray = self.packed.get(stream=self.stream)
        self.stream.synchronize()
        return people.tobytes()


def test_a_graph_is_replayed_on_changing_inputs(cupy: Any) -> None:
    """A crowd, nobody, broken maps, a crowd again; nothing was allocated and nobody waited while it was captured."""
    captured = Captured(cupy)
    frames = [crowd(3, 9), crowd(4, 0), crowd(5, 2), crowd(3, 9)]
    frames[2][0][1, 3, 5, 7] = np.nan
    for working in frames:
        assert captured.replay(working) == expected_people(working, DEFAULT, 32).tobytes()


def test_a_captured_landmark_chain_serves_any_number_of_faces(cupy: Any) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    scores = np.random.default_rng(2).normal(0, 3, (3, 68, 16, 16)).astype(np.float16)
    boxes, angles = np.array([[10.3, 20, 40, 45.5], [-9, 5, 140, 90], [0, 0, 9, 9]]), np.array([0.4, -2.0, 0])
    transforms = rotated_transforms(boxes, angles, (64, 64)).astype(np.float32)
    chain = LandmarkDecoder.prepare(
        capacity=3, num_landmarks=68, input_size=(64, 64), mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    on_gpu, maps = cupy.asarray(frame), cupy.asarray(scores)
    descriptor = cupy.asarray(describe([on_gpu], [Geometry.fit(frame.shape[:2], (64, 64))]))
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture(mode=cupy.cuda.runtime.streamCaptureModeGlobal)
        chain.cut(descriptor, stream=stream)
        chain.decode(maps, stream=stream)
        graph = stream.end_capture()
    allowed = CROP_LEVELS / (255 * np.asarray(IMAGENET_STD)) + 2e-3
    for count in (3, 0, 1):
        chain.requested.set(chain.request(transforms[:count]), stream=stream)
        graph.launch(stream)
        landmarks, peaks = chain.result(chain.found.get(stream=stream), count)
        stream.synchronize()
        crops = crops_reference(frame, transforms[:count], (64, 64), IMAGENET_MEAN, IMAGENET_STD)
        difference = np.abs(chain.images.get()[:count].astype(np.float32) - crops)
        assert (difference <= allowed[:, None, None]).all()
        expected = landmarks_reference(scores[:count], to_source=transforms[:count])
        np.testing.assert_allclose(landmarks, expected, rtol=1e-5, atol=1e-3)
        np.testing.assert_array_equal(peaks, scores[:count].max(axis=(2, 3)))


@pytest.mark.slow
def test_a_thousand_runs_give_the_same_bytes(cupy: Any) -> None:
    captured = Captured(cupy)
    working = crowd(6, 12)
    assert {captured.replay(working) for _ in range(1000)} == {expected_people(working, DEFAULT, 32).tobytes()}
