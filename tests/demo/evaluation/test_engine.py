"""``heatstream build --verify``: engine and model file on photographs, with the GPU's part played by a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.demo.evaluation.engine import samples_of
from heatstream.engine_builder.trt import gpus
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.plan_file import Plan, read_record
from heatstream.model_info import ModelInfo
from heatstream.runtime.engines import tensorrt_engine
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.gpu import device as cuda
from tests.demo.conftest import spot, write_model
from tests.demo.helpers import Command

pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows alone")

SIZE = "128x192"
HERE = Gpu("a GPU", "sm_89")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures of one white spot each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), spot(50.35 + 20.1 * index, 62.7))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.onnx")


@pytest.fixture
def on_a_gpu(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``on_a_gpu(drift)``: this machine has a GPU, whose heatmaps are off by so much in one place."""

    class FakeCuda:
        gpu = HERE

    def arrange(drift: float) -> None:
        class FakeEngine:
            def __init__(self, plan: Plan, toolkit: Any, cuda: FakeCuda) -> None:
                self.info: ModelInfo = plan.record.model
                self._engine = OnnxEngine(model, 1)

            def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
                maps = self._engine.run(images)
                maps["heatmaps_quarter"][0, 0, 0, 0] += drift
                return maps

            def close(self) -> None:
                self._engine.close()

        monkeypatch.setattr(tensorrt_engine, "TensorRTEngine", FakeEngine)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(gpus, "local_gpu", lambda: HERE)
    monkeypatch.setattr(cuda, "CudaDevice", FakeCuda)
    return arrange


def test_the_outcome_is_shown_and_kept(
    heatstream: Command, on_a_gpu: Callable[[float], None], model: Path, photos: Path, tmp_path: Path
) -> None:
    on_a_gpu(0.0)
    ended = heatstream("build", model, "--size", SIZE, "--output", tmp_path, "--verify", photos)
    assert (ended.code, ended.err) == (0, "")
    assert "  verified on 3 photographs of photos against the model file on the CPU" in ended.out
    assert "heatmaps_quarter: drifts by at most 0.0e+00 of its range" in ended.out
    assert "people: 3 of 3 found as well, and 0 more" in ended.out
    assert "keypoints moved by 0 px (median)" in ended.out
    (path,) = tmp_path.glob("*.engine")
    outcome = read_record(path).verification
    assert outcome is not None
    assert (outcome.frames, outcome.matched, outcome.limit) == (3, 3, 0.02)


def test_an_engine_that_drifts_is_deleted_unless_forced(
    heatstream: Command, on_a_gpu: Callable[[float], None], model: Path, photos: Path, tmp_path: Path
) -> None:
    on_a_gpu(0.5)
    arguments = ("build", model, "--size", SIZE, "--output", tmp_path, "--verify", photos)
    refused = heatstream(*arguments)
    assert refused.code == 2
    (line,) = refused.err.splitlines()
    assert "of the range of heatmaps_quarter where 0.02 is allowed, and was deleted" in line
    assert not list(tmp_path.glob("*.engine")) + list(tmp_path.glob("*.json"))
    kept = heatstream(*arguments, "--force")
    assert kept.code == 0
    assert "beyond the limit, and kept because of --force" in kept.out
    (path,) = tmp_path.glob("*.engine")
    assert read_record(path).verification is not None


def test_without_a_gpu_it_is_said_before_the_work(
    heatstream: Command, monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpus, "local_gpu", lambda: None)
    ended = heatstream("build", model, "--output", tmp_path / "engines", "--verify", tmp_path)
    assert ended.code == 2
    assert "--verify runs the engine, which needs an NVIDIA GPU, and this machine has none" in ended.err
    assert not (tmp_path / "engines").exists()


def test_landmarks_are_compared_in_whole_pictures(photos: Path) -> None:
    class Landmarks:
        info = ModelInfo(
            "net", "300w-68", (64, 96), task="landmarks", outputs={"landmarks": 4}, decode={"topk": 1}, batch=None
        )

    samples = samples_of(Landmarks(), photos, 2)  # type: ignore[arg-type]
    assert [sample.images.shape for sample in samples] == [(1, 3, 64, 96)] * 2
    maps = np.zeros((1, 68, 16, 24), np.float32)
    maps[:, :, 3, 5] = 1
    found = samples[0].decode({"landmarks": maps})
    assert found.shape == (1, 68, 3)
    np.testing.assert_allclose(found, np.broadcast_to([20, 12, 1], found.shape))
