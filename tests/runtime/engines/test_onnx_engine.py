"""ONNX Runtime as the engine, on the tiny model files of make_models.py, and loading by name or file."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import heatstream
from heatstream.catalog import bundled_path
from heatstream.errors import EngineError, HeatstreamError, InputError, ModelFileError, UnknownNameError
from heatstream.runtime.engines.onnx_engine import OnnxEngine, usable_cores
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.fakes.runtime import MODELS, FakeEngine, spot


def test_it_gives_what_the_description_promises() -> None:
    engine = OnnxEngine(MODELS / "spots.onnx", threads=1)
    assert engine.info.name == "spots"
    assert engine.name == "ONNX Runtime, CPU, 1 thread"
    images = np.random.default_rng(0).random((1, 3, 64, 128), np.float32)
    maps = engine.run(images)
    expected = FakeEngine().run(images)
    assert list(maps) == ["heatmaps_quarter", "heatmaps_half", "tags"]
    for name, values in maps.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_all_usable_cores_by_default() -> None:
    assert OnnxEngine(MODELS / "spots.onnx").name.endswith(f" {usable_cores()} thread{'s' * (usable_cores() > 1)}")


def test_an_fp16_file_may_keep_its_weights_beside_it(tmp_path: Path) -> None:
    model = onnx.load(bundled_path("swahr-tiny"))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024)
    images = np.random.default_rng(0).random((1, 3, 128, 128), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        maps = OnnxEngine(tmp_path / "model.onnx", threads=1).run(images)
    for name, values in OnnxEngine(bundled_path("swahr-tiny"), threads=1).run(images).items():
        np.testing.assert_array_equal(maps[name], values)


def test_a_full_disk_costs_an_fp16_file_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    images = np.random.default_rng(0).random((1, 3, 128, 128), np.float32)
    with pytest.warns(RuntimeWarning, match=r"swahr-tiny.onnx takes a fifth longer.*No space left.*set TMPDIR"):
        slow = OnnxEngine(bundled_path("swahr-tiny"), threads=1)
    maps = slow.run(images)
    monkeypatch.undo()
    for name, values in OnnxEngine(bundled_path("swahr-tiny"), threads=1).run(images).items():
        np.testing.assert_allclose(maps[name], values, atol=0.02)  # of FP16


@pytest.mark.parametrize(
    ("model", "shape", "dtype"),
    [
        ("spots.onnx", (1, 3, 64, 100), np.float32),
        ("spots.onnx", (1, 3, 0, 64), np.float32),
        ("spots.onnx", (2, 3, 64, 64), np.float32),
        ("spots.onnx", (1, 1, 64, 64), np.float32),
        ("spots.onnx", (3, 64, 64), np.float32),
        ("spots.onnx", (1, 3, 64, 64), np.float64),
        ("spots_64x128.onnx", (1, 3, 128, 64), np.float32),
    ],
)
def test_images_that_do_not_fit_are_refused(model: str, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(InputError, match=f"{model} takes"):
        OnnxEngine(MODELS / model, threads=1).run(np.zeros(shape, dtype))


def test_a_closed_engine_says_so() -> None:
    engine = OnnxEngine(MODELS / "spots.onnx", threads=1)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.run(np.zeros((1, 3, 64, 64), np.float32))


def _text(folder: Path) -> Path:
    path = folder / "text.onnx"
    path.write_text("this is no network\n" * 20)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.onnx"
    path.touch()
    return path


def _half(folder: Path) -> Path:
    path = folder / "half.onnx"
    data = (MODELS / "spots.onnx").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def _stored(name: str) -> Callable[[Path], Path]:
    return lambda folder: MODELS / name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda folder: folder / "none.onnx", ModelFileError, "there is no model file"),
        (lambda folder: folder, ModelFileError, "is a folder"),
        (_empty, ModelFileError, "is empty"),
        (_text, ModelFileError, "is not an ONNX file, or is damaged"),
        (_half, HeatstreamError, "half.onnx"),
        (_stored("no_metadata.onnx"), ModelFileError, "does not describe itself"),
        (_stored("other_joints.onnx"), ModelFileError, "heatmaps_quarter"),
        (_stored("other_size.onnx"), ModelFileError, "images"),
        (_stored("other_output.onnx"), ModelFileError, "labels"),
        (_stored("other_settings.onnx"), ModelFileError, "decode settings of another version"),
    ],
)
def test_a_file_that_cannot_serve_is_one_line(
    make: Callable[[Path], Path],
    error: type[HeatstreamError],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(error, match=message) as caught:
        heatstream.load(make(tmp_path), threads=1)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # ONNX Runtime itself prints nothing


@pytest.mark.parametrize("name", ["spots.onnx", "spots_64x128.onnx"])
def test_a_file_alone_is_enough(name: str) -> None:
    with heatstream.load(str(MODELS / name), threads=1) as pipeline:
        assert isinstance(pipeline, CpuPosePipeline)
        assert pipeline.settings.max_people == 5
        poses = pipeline(spot(96, 128, 40, 60, radius=8)).poses
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0], np.tile((40, 60), (17, 1)), atol=3)


@pytest.mark.parametrize(
    ("name", "device", "threads", "error", "message"),
    [
        ("swahr-tin", "auto", None, UnknownNameError, "swahr-tiny"),
        ("swahr-w48", "auto", None, ModelFileError, "heatstream export swahr-w48"),
        (MODELS / "spots.onnx", "cpu", 0, InputError, "from 1 to 256"),
        (MODELS / "spots.onnx", "cpu", 100_000, InputError, "from 1 to 256"),
        (MODELS / "spots.onnx", "cpu", "two", InputError, "from 1 to 256, got 'two'"),
    ],
)
def test_what_cannot_be_loaded(
    name: str | Path, device: str, threads: Any, error: type[HeatstreamError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        heatstream.load(name, device, threads)
    assert "\n" not in str(caught.value)


def test_loading_for_a_flip_and_multi_scale_test() -> None:
    with heatstream.load(MODELS / "spots.onnx", flip=True, scales=(1, 2)) as pipeline:
        (person,) = pipeline(spot(64, 64, 21, 41)).poses.keypoints
    np.testing.assert_allclose(person, np.tile((21, 41), (17, 1)), atol=3.0)
    with pytest.raises(InputError, match="spots takes images of 64x128 px alone"):
        heatstream.load(MODELS / "spots_64x128.onnx", scales=(1, 2))
