"""``heatstream export --precision int8``: from a folder of photographs to a file that engines are built from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from heatstream.engine_builder.trt.model_source import read_model
from tests.demo.helpers import Command

pytest.importorskip("torch", reason="torch comes with the extra train")
pytest.importorskip("onnxscript", reason="onnxscript comes with the extra train")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty soft pictures of several sizes, and a file that is none."""
    folder, random = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for index in range(20):
        coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, (96 + index, 72), interpolation=cv2.INTER_CUBIC))
    (folder / "labels.json").touch()
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--precision", "int8"), "none come with heatstream: give a folder of what the network will see, --calibrate"),
        (("--precision", "int8", "--calibrate", "absent"), "absent cannot be read"),
        (
            ("--precision", "int8", "--calibrate", "photos", "--images", "5"),
            "holds 5 photographs and INT8 is calibrated",
        ),
        (("--calibrate", "photos"), "and fp32 was asked for: leave them out"),
    ],
)
def test_without_enough_photographs_it_is_refused(
    heatstream: Command, monkeypatch: pytest.MonkeyPatch, photos: Path, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(photos.parent)
    ended = heatstream("export", "swahr-tiny", "--checkpoint", "swahr-tiny", *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert words in line
    assert list(photos.parent.iterdir()) == [photos]


@pytest.mark.slow
def test_an_int8_file_becomes_an_int8_engine(
    heatstream: Command, monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path
) -> None:
    model = tmp_path / "int8.onnx"
    arguments = ("--precision", "int8", "--calibrate", photos, "--images", "16", "--size", "64x64", "-o", model)
    ended = heatstream("export", "swahr-tiny", "--checkpoint", "swahr-tiny", *arguments)
    assert ended.code == 0
    assert "calibrated on 16 photographs of photos" in ended.out
    assert "convolutions in INT8" in ended.out
    origin = read_model(model).info.quantisation
    assert origin is not None
    assert len(origin["images"]) == len(set(origin["images"])) == 16
    assert {"0.png", "19.png"} < set(origin["images"]), "spread over the whole folder"

    if importlib.util.find_spec("tensorrt_rtx") is None:
        return  # tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows alone
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built = heatstream("build", model, "--backend", "tensorrt-rtx", "--report")
    assert built.code == 0
    assert ", int8, for sm_86, sm_89, sm_120" in built.out
    (header,) = [line.split() for line in built.out.splitlines() if line.split()[:1] == ["layer"]]
    (everything,) = [line.split() for line in built.out.splitlines() if line.split()[:1] == ["all"]]
    counts = dict(zip(header[1:], map(int, everything[1:]), strict=True))
    assert counts["int8"] == 89 - len(origin["left_out"]), "88 convolutions, and the transposed one"
    assert built.out.count("because INT8 would make the maps drift too far: ") == len(origin["left_out"])
