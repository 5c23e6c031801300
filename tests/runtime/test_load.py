"""Loading: each door gives its own kind of pipeline, and refuses the other's models in one sentence."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.catalog import bundled_path
from heatstream.errors import InputError, ModelFileError
from heatstream.kernels import DecodeSettings
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.fakes.runtime import MODELS, spot

POSES, LANDMARKS = MODELS / "spots.onnx", MODELS / "points.onnx"


def test_a_pose_model_finds_people() -> None:
    with heatstream.load(POSES, "cpu", 1) as pipeline:
        assert isinstance(pipeline, CpuPosePipeline)
        result = pipeline(spot(96, 128, 40, 60, radius=8))
    assert len(result.poses) == 1
    assert result.faces is None


def test_people_of_less_confidence_are_left_out() -> None:
    frame = spot(96, 128, 40, 60, radius=8)
    with heatstream.load(POSES, "cpu", 1, confidence=0.01) as pipeline:
        (score,) = pipeline(frame).poses.scores
    for confidence, found in ((0.9 * score, 1), (1.1 * score, 0)):
        with heatstream.load(POSES, "cpu", 1, confidence=confidence) as pipeline:
            assert len(pipeline(frame).poses) == found


def test_frames_are_brought_to_the_short_side_that_is_asked_for() -> None:
    frame = spot(96, 128, 40, 60, radius=8)
    with heatstream.load(POSES, "cpu", 1, short_side=128, faces=LANDMARKS) as pipeline:
        assert str(pipeline).startswith("spots (short side 128 px) and points (64x64 px)")
        (person,) = pipeline(frame).poses
    np.testing.assert_allclose(person.joint("nose"), (40, 60), atol=1)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_every_engine_on_the_cpu_takes_a_short_side(engine: str) -> None:
    if engine == "torch":
        pytest.importorskip("torch", reason="torch comes with the extra train")
    with heatstream.load(POSES, "cpu", 2, engine=engine, short_side=128) as pipeline:
        for each in (pipeline, pipeline.for_throughput()):
            assert isinstance(each, CpuPosePipeline)
            assert each.prepare(spot(96, 128, 40, 60)).size == (128, 192)


def test_with_a_model_for_faces_it_looks_for_these_too() -> None:
    with heatstream.load(POSES, "cpu", 1, faces=LANDMARKS) as pipeline:
        assert isinstance(pipeline, FaceCascade)
        result = pipeline(spot(96, 128, 40, 60, radius=8))
        assert str(pipeline) == f"{POSES.stem} (short side 64 px) and points (64x64 px) on {pipeline.engine.name}"
    assert result.faces is not None


def test_a_landmark_model_takes_boxes() -> None:
    with heatstream.load_landmarks(LANDMARKS, "cpu", 1) as pipeline:
        assert isinstance(pipeline, heatstream.LandmarkPipeline)
        faces = pipeline(spot(96, 128, 40, 60, radius=8), boxes=[(20, 40, 60, 80), (30, 50, 50, 70)])
        assert repr(pipeline) == f"LandmarkPipeline(points (64x64 px) on {pipeline.engine.name})"
    assert faces.boxes.tolist() == [[20, 40, 60, 80], [30, 50, 50, 70]]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (
            lambda: heatstream.load(LANDMARKS),
            "points finds landmarks in boxes, not people in frames: choose a pose model",
        ),
        (lambda: heatstream.load(LANDMARKS, faces=POSES), "points finds landmarks in boxes, not people in frames"),
        (lambda: heatstream.load(POSES, faces=POSES), "spots finds people in frames, not landmarks in boxes: choose"),
        (lambda: heatstream.load_landmarks(POSES), "spots finds people in frames, not landmarks in boxes: choose"),
        (lambda: heatstream.load(POSES, settings=DecodeSettings(skeleton="crowdpose-14")), "ask for crowdpose-14"),
        (lambda: heatstream.load(POSES, confidence=50), "confidence must be from 0 to 1, got 50"),
        (lambda: heatstream.load(POSES, confidence="high"), "confidence must be from 0 to 1, got 'high'"),  # type: ignore[arg-type]
        (lambda: heatstream.load(POSES, short_side=100), "a multiple of 64 px up to 2048, got 100: try 128"),
        (lambda: heatstream.load(LANDMARKS, short_side=128), "points takes images of 64x64 px alone: leave it out"),
        (lambda: heatstream.load(7), "a model is named by a text or a path, got int"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(load: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_is_made_a_model_file_once_and_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    checkpoint = tmp_path / "best.pt"
    shutil.copy(bundled_path("h3r-mobile-68").with_suffix(".pt"), checkpoint)
    with heatstream.load_landmarks(checkpoint, "cpu", 1) as pipeline:
        assert pipeline.engine.info.name == "h3r-mobile-68"
    (model,) = (tmp_path / "cache").rglob("*.onnx")
    made = model.stat().st_mtime_ns
    assert heatstream.load_landmarks(str(checkpoint), "cpu", 1).engine.info.weights == "best.pt"
    assert model.stat().st_mtime_ns == made


def test_what_is_no_checkpoint_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ModelFileError, match=r"runs/best\.PTH cannot be read: No such file"):
        heatstream.load("runs/best.PTH")
    (tmp_path / "mine.pt").write_bytes(b"words")
    with pytest.raises(
        ModelFileError, match=r"no model file could be made of it: .*; `heatstream export NAME"
    ) as caught:
        heatstream.load(tmp_path / "mine.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_a_name_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.onnx")
    shutil.copy(POSES, name)
    with pytest.raises(ModelFileError, match="is not UTF-8"):
        heatstream.load(os.fsdecode(name))
