"""The doctor: tells what is so, survives whatever it meets."""

from __future__ import annotations

import ctypes
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heatstream.demo import machine_checks as checks
from heatstream.demo.machine_checks import Finding, examine
from heatstream.engine_builder.trt.gpus import Gpu


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_it_finds_what_this_suite_itself_needs_and_is_quick() -> None:
    start = time.perf_counter()
    found = by_name(examine())
    assert time.perf_counter() - start < 3
    for name in ("Python", "CPU", "OpenCV", "OpenCV FFMPEG", "ONNX Runtime"):
        assert found[name].state == "ok", found[name]
    for name in ("CuPy", "TensorRT", "TensorRT-RTX", "torch", "NVIDIA driver", "NVRTC", "Device auto"):
        assert name in found


def test_whatever_is_not_there_says_how_to_get_it() -> None:
    for finding in examine():
        assert bool(finding.remedy) == (finding.state != "ok") or finding.name == "GPU"
        assert finding.detail
        assert "\n" not in finding.detail + finding.remedy


def test_a_check_that_breaks_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_driver() -> Any:
        raise OSError("segment lost")

    monkeypatch.setattr(checks, "CHECKS", (broken_driver, *checks.CHECKS))
    findings = examine()
    assert findings[0] == Finding("broken driver", "bad", "the check itself failed: OSError: segment lost")
    assert "Python" in by_name(findings)


@pytest.mark.parametrize(("library", "remedy"), [("cv2", "headless"), ("onnxruntime", "pip install onnxruntime")])
def test_a_core_library_that_does_not_load_is_broken(
    monkeypatch: pytest.MonkeyPatch, library: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (broken,) = [finding for finding in examine() if finding.state == "bad"]
    assert broken.detail.startswith("does not load")
    assert remedy in broken.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="displays are found by environment variables on Linux")
@pytest.mark.parametrize(
    ("toolkit", "environment", "state"),
    [
        ("QT5", {}, "none"),
        ("QT5", {"DISPLAY": ":0"}, "ok"),
        ("QT5", {"WAYLAND_DISPLAY": "wayland-0"}, "ok"),
        ("", {"DISPLAY": ":0"}, "none"),
    ],
)
def test_a_window_needs_a_toolkit_and_a_display(
    monkeypatch: pytest.MonkeyPatch, toolkit: str, environment: dict[str, str], state: str
) -> None:
    monkeypatch.setattr(os, "environ", environment)
    assert checks._display(toolkit).state == state


@pytest.mark.skipif(os.name != "posix", reason="the fake program is a shell script")
@pytest.mark.parametrize(
    ("script", "lines"),
    [
        (
            "echo 'NVIDIA H200, 143771 MiB, 580.1, 9.0'",
            ["NVIDIA H200, 143771 MiB, driver 580.1, compute capability 9.0"],
        ),
        ("echo 'no devices were found'; exit 6", []),
        ("echo 'something else'", []),
        ("sleep 60", []),
    ],
    ids=["a GPU", "fails", "other words", "hangs"],
)
def test_nvidia_smi_is_understood_or_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, lines: list[str]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(checks, "NVIDIA_SMI_TIMEOUT_S", 0.5)
    assert checks._nvidia_smi() == lines


def test_the_driver_tells_its_cuda_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802 - the driver's own name
            version._obj.value = 13010
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    monkeypatch.setattr(checks, "_nvidia_smi", lambda: ["a GPU"])
    assert [(f.name, f.state, f.detail) for f in checks._nvidia()] == [
        ("GPU 0", "ok", "a GPU"),
        ("NVIDIA driver", "ok", "understands CUDA up to 13.1"),
    ]


@pytest.mark.parametrize(
    ("gpu", "installed", "state", "detail"),
    [
        (None, (), "ok", "the CPU, with ONNX Runtime: there is no NVIDIA GPU here"),
        (Gpu("Orin", "sm_87"), (), "none", "the CPU, though there is a GPU .Orin.: CuPy, NVRTC and one of"),
        (Gpu("Orin", "sm_87"), ("cupy", "torch", "tensorrt"), "ok", r"cuda:0 \(Orin, sm_87\) with TensorRT$"),
        (Gpu("Orin", "sm_87"), ("cupy", "torch"), "ok", "with PyTorch"),
    ],
)
def test_it_tells_what_device_auto_comes_to(
    monkeypatch: pytest.MonkeyPatch, gpu: Gpu | None, installed: tuple[str, ...], state: str, detail: str
) -> None:
    monkeypatch.setattr("heatstream.engine_builder.trt.gpus.local_gpu", lambda index=0: gpu)
    monkeypatch.setattr(checks, "_nvrtc", lambda: iter([Finding("NVRTC", "ok", "")]))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    (finding,) = checks._device_choice()
    assert finding.state == state
    assert re.search(detail, finding.detail)
