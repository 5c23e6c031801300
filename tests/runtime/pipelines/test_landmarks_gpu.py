"""Landmarks in a frame on the GPU, on the emulator: the same as on the CPU, by graphs, and where the frame lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import EngineError, InputError
from heatstream.results import Poses
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.pipelines import faces as faces_module
from heatstream.runtime.pipelines.face_regions import FaceRegions
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.landmarks_gpu import GpuLandmarkPipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from tests.fakes.gpu import FakeGpu
from tests.fakes.runtime import MODELS, spot

pytestmark = pytest.mark.emulator

MODEL = MODELS / "points.onnx"
BOXES = np.array([[40, 20, 99, 79], [60, 10, 139, 89], [50, 30, 89, 69]], float)
ANGLES = np.array([0.0, 0.7, -2.0])


@pytest.fixture
def cuda(gpu: FakeGpu) -> CudaDevice:
    return CudaDevice(0)


@pytest.fixture
def people(gpu: FakeGpu, cuda: CudaDevice) -> GpuPosePipeline:
    return GpuPosePipeline(gpu.engine(cuda), cuda)


@pytest.fixture
def landmarks(gpu: FakeGpu, cuda: CudaDevice) -> GpuLandmarkPipeline:
    return GpuLandmarkPipeline(gpu.engine(cuda, MODEL, batch=2), cuda, capacity=2)


def frame(x: float = 75) -> NDArray[np.uint8]:
    return spot(90, 150, x, 48, radius=10)


def test_it_finds_what_the_cpu_finds_in_more_boxes_than_fit_a_run(
    gpu: FakeGpu, people: GpuPosePipeline, landmarks: GpuLandmarkPipeline
) -> None:
    on_cpu = LandmarkPipeline(OnnxEngine(MODEL, 1))
    for place in (75, 70, 78):
        expected = on_cpu(frame(place), BOXES, ANGLES)
        with people.run_on_device(frame(place)) as looked:
            found = landmarks.run_on_frame(looked, BOXES, ANGLES)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.05)  # grey levels are not rounded alike
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        for name in ("boxes", "angles", "people"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert gpu.graphs["replay"] >= 5, "one run of the first frame was launched call by call"


def test_no_boxes_are_no_faces(people: GpuPosePipeline, landmarks: GpuLandmarkPipeline) -> None:
    with people.run_on_device(frame()) as looked:
        assert len(landmarks.run_on_frame(looked, np.zeros((0, 4)), np.zeros(0))) == 0


def test_numpy_frames_are_taken_too(landmarks: GpuLandmarkPipeline) -> None:
    expected = LandmarkPipeline(OnnxEngine(MODEL, 1))(frame(), BOXES)
    np.testing.assert_allclose(landmarks(frame(), BOXES).landmarks, expected.landmarks, atol=1e-3)


def test_what_cannot_be_looked_at_is_refused(people: GpuPosePipeline, landmarks: GpuLandmarkPipeline) -> None:
    with people.run_on_device(frame()) as looked:
        with pytest.raises(InputError, match="box 0 is empty"):
            landmarks.run_on_frame(looked, [(9, 9, 1, 1)], [0.0])
        with pytest.raises(InputError, match="angles"):
            landmarks.run_on_frame(looked, BOXES, [0.0])
        landmarks.close()
        landmarks.close()
        with pytest.raises(EngineError, match="the pipeline of points is closed: load the model again"):
            landmarks.run_on_frame(looked, BOXES, ANGLES)


def test_a_cascade_on_the_gpu_cuts_faces_from_the_frame_that_is_there(
    people: GpuPosePipeline, landmarks: GpuLandmarkPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def regions(poses: Poses, keypoints: Any) -> tuple[FaceRegions, NDArray[np.bool_]]:
        assert len(poses) == 1
        return FaceRegions(BOXES[:1], ANGLES[:1], np.zeros(1, np.int64)), np.ones(1, np.bool_)

    def refuse(*args: Any) -> None:
        raise AssertionError("the frame was cut on the CPU")

    monkeypatch.setattr(faces_module, "regions_of_poses", regions)
    monkeypatch.setattr(LandmarkPipeline, "prepare", refuse)
    with FaceCascade(people, landmarks) as cascade:
        found = cascade(frame())
    assert found.timing.per_face == found.timing.stages["faces"]
    assert list(found.timing.stages) == ["host copy", "gpu", "unpack", "faces"]
    assert len(found.poses) == 1
    assert found.faces is not None


def test_load_makes_such_a_cascade(gpu: FakeGpu, tmp_path: Path) -> None:
    from heatstream.runtime.load import load, load_landmarks

    with load(MODELS / "spots_64x128.onnx", "cuda", faces=MODEL, wait=True) as cascade:
        assert isinstance(cascade, FaceCascade)
        assert isinstance(cascade.poses, GpuPosePipeline)
        assert isinstance(cascade.landmarks, GpuLandmarkPipeline)
        assert len(cascade(frame()).poses) == 1
    with load_landmarks(MODEL, "cuda", flip=True) as flipped:
        assert type(flipped) is LandmarkPipeline
