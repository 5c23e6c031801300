"""``heatstream build``: what it says when it works, and in one line when it does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from heatstream.demo.commands.build import _print_layers
from heatstream.demo.terminal.build_progress import BuildView
from heatstream.engine_builder.trt.plan_file import load_plan
from tests.demo.conftest import write_model
from tests.demo.helpers import Command
from tests.engine_builder.trt.test_plan_file import RECORD

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows alone",
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@needs_rtx
def test_an_engine_is_built_then_found_then_built_again(heatstream: Command, tmp_path: Path) -> None:
    command = ("build", "swahr-tiny", "--size", "64x96", "--gpu", "8.9,sm_120", "--output", tmp_path)
    first = heatstream(*command)
    assert (first.code, first.err) == (0, "")
    assert "TensorRT-RTX" in first.out.splitlines()[0]
    (path,) = tmp_path.glob("*.engine")
    assert f"{path}: swahr-tiny, 64x96, 1 image, fp16, for sm_89, sm_120" in first.out
    assert "built, " in first.out

    second = heatstream(*command)
    assert "found, " in second.out

    path.write_bytes(path.read_bytes()[::-1])
    third = heatstream(*command)
    assert f"the engine {path} is damaged" in third.out
    assert load_plan(path)


@needs_rtx
def test_the_report_names_what_stays_in_fp32(heatstream: Command, tmp_path: Path, tiny_model: Path) -> None:
    clean = heatstream("build", tiny_model, "--short-side", "192", "--report")
    assert clean.code == 0
    assert ": tiny, 192x192, 1 image, " in clean.out
    assert "those of 1280x720 px need --size 192x384, of 640x480 px need --size 192x256" in clean.out
    assert "every layer computes in FP16" in clean.out
    large = write_model(tmp_path / "large.onnx", scale=1e5)
    warned = heatstream("build", large, "--size", "128")
    assert "layers compute in FP32, --report names them" in warned.err
    reported = heatstream("build", large, "--size", "128", "--report")
    assert "in FP32, though the engine is FP16: " in reported.out
    assert "elementwise" in reported.out


def test_the_report_has_what_the_inspector_told(capsys: pytest.CaptureFixture[str]) -> None:
    _print_layers(RECORD)
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert out == [
        *("layer fp16 fp32", "convolution 58", "elementwise 1", "all 58 1"),
        "in FP32, though the engine is FP16: node_mul",
        "what the builder made of them, fused:",
        *("kernel fp16", "caskconvolution 57", "all 57"),
    ]


def _refused(heatstream: Command, arguments: tuple[str, ...]) -> str:
    ended = heatstream("build", *arguments)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    return line


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_without_tensorrt_it_says_what_to_install(heatstream: Command) -> None:
    line = _refused(heatstream, ("swahr-tiny", "--backend", "tensorrt"))
    assert "tensorrt is needed" in line
    assert "pip install 'heatstream[gpu]'" in line


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("swahr-tin", "did you mean 'swahr-tiny'?"),
        ("swahr-w32", "swahr-w32 comes without weights: get them with `heatstream fetch"),
    ],
)
def test_a_model_without_a_file_is_one_line(heatstream: Command, model: str, words: str) -> None:
    assert words in _refused(heatstream, (model,))


@needs_rtx
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.onnx",), "there is no model file no.onnx"),
        (("swahr-tiny", "--size", "any:256"), "an engine has one size"),
        (("swahr-tiny", "--batch", "100000"), "--batch takes numbers from 1 to 1024, got 100000"),
        (("swahr-tiny", "--short-side", "300"), "a multiple of 64 px up to 2048, got 300: try 320"),
        (("swahr-tiny", "--short-side", "384", "--size", "384"), "leave one of them out"),
        (("h3r-mobile-68", "--short-side", "128"), "h3r-mobile-68 takes images of 128x128 px alone: leave it out"),
        (("swahr-tiny", "--size", "100x100"), "is not made of multiples of 32: try 96x96"),
        (("swahr-tiny", "--gpu", "ada"), "'ada' is not a compute capability"),
        (("swahr-tiny", "--gpu", "sm_42", "--backend", "tensorrt-rtx"), "has no engines for sm_42, but for sm_75"),
        (("swahr-tiny", "--gpu", "sm_90"), "has no engines for sm_90, but for sm_75"),
        (("swahr-tiny", "--gpu", "sm_87"), "(Jetson Orin) are built on the Jetson alone: run heatstream build there"),
        (("swahr-tiny", "--gpu", "sm_87", "--backend", "tensorrt"), "(Jetson Orin) are built on the Jetson alone"),
        (("swahr-tiny", "--precision", "fp32"), "is in FP16, and an FP32 engine could not be better"),
    ],
)
def test_what_cannot_be_is_one_line(heatstream: Command, arguments: tuple[str, ...], words: str) -> None:
    assert words in _refused(heatstream, arguments)


def test_bars_are_there_while_their_phases_last() -> None:
    view = BuildView()
    with view:
        view.started("Building", None, 2)
        view.started("Timing", "Building", 5)
        view.stepped("Timing", 2)
        bars = {task.description: (task.completed, task.total) for task in view._bar.tasks}
        assert bars == {"Building": (0, 2), "  Timing": (3, 5)}
        view.finished("Timing")
        view.stepped("a phase nobody announced", 1)
        view.finished("a phase nobody announced")
        assert [task.description for task in view._bar.tasks] == ["Building"]
