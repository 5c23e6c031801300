"""The doctor: tells what is so, survives whatever it meets."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heatstream.demo import machine_checks as checks
from heatstream.demo.machine_checks import Finding, examine
from heatstream.engine_builder.trt.cache import build_engine
from heatstream.engine_builder.trt.gpus import RTX_GPUS, Gpu
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.toolkit import Toolkit, open_toolkit
from tests.demo.helpers import REPOSITORY
from tests.fakes.gpu import SPOTS_MODEL
from tests.fakes.tensorrt import make_tensorrt


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_it_finds_what_this_suite_itself_needs() -> None:
    found = by_name(examine())
    for name in ("heatstream", "Python", "CPU", "OpenCV", "OpenCV FFMPEG", "ONNX Runtime"):
        assert found[name].state == "ok", found[name]
    for name in ("CuPy", "TensorRT", "TensorRT-RTX", "torch", "NVIDIA driver", "NVRTC", "Device auto"):
        assert name in found


def test_it_loads_no_large_library() -> None:
    """Which would take seconds; in a process of its own, because others have loaded them here."""
    code = (
        "import sys; from heatstream.demo.machine_checks import examine; examine(); "
        "print({'torch', 'cupy', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout == "set()\n"


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
def test_the_driver_tells_its_cuda_version(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802 - the driver's own name
            version._obj.value = 13010
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    gpu = {"name": "NVIDIA H200", "memory_mib": 143771, "driver": "580.1", "compute_capability": "9.0"}
    monkeypatch.setattr(checks, "gpus", lambda: [gpu])
    assert [(f.name, f.state, f.detail) for f in checks._nvidia()] == [
        ("GPU 0", "ok", "NVIDIA H200, 143771 MiB, driver 580.1, compute capability 9.0"),
        ("NVIDIA driver", "ok", "understands CUDA up to 13.1"),
    ]


@pytest.mark.parametrize(
    ("gpu", "installed", "state", "detail"),
    [
        (None, (), "ok", "the CPU, with ONNX Runtime: there is no NVIDIA GPU here"),
        (Gpu("Orin", "sm_87"), (), "none", "the CPU, though there is a GPU .Orin.: CuPy, NVRTC and one of"),
        (Gpu("Orin", "sm_87"), ("cupy", "torch", "tensorrt"), "ok", r"cuda:0 \(Orin, sm_87\) with TensorRT$"),
        (Gpu("Orin", "sm_87"), ("cupy", "torch"), "ok", "with PyTorch"),
        (Gpu("RTX 4070", "sm_89"), ("cupy", "torch", "tensorrt_rtx"), "ok", "with TensorRT-RTX"),
        (Gpu("H200", "sm_90"), ("cupy", "torch", "tensorrt_rtx"), "ok", "with PyTorch"),
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


def test_it_tells_what_can_run_on_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Gpu("RTX 4070", "sm_89"), Gpu("H200", "sm_90"), Gpu("RTX 5090", "sm_120")]
    monkeypatch.setattr(
        "heatstream.engine_builder.trt.gpus.local_gpu", lambda index=0: gpus[index] if index < len(gpus) else None
    )
    assert [(finding.name, finding.detail) for finding in checks._gpu_engines()] == [
        ("Engines on cuda:0", "RTX 4070, compute capability 8.9: TensorRT, TensorRT-RTX, PyTorch can run on it"),
        ("Engines on cuda:1", "H200, compute capability 9.0: TensorRT, PyTorch can run on it"),
        ("Engines on cuda:2", "RTX 5090, compute capability 12.0: TensorRT, TensorRT-RTX, PyTorch can run on it"),
    ]


def test_what_doctor_knows_of_rtx_is_what_its_module_lists() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu13 has wheels for Linux on x86-64 and for Windows alone")
    assert open_toolkit("tensorrt-rtx").known_targets == RTX_GPUS


@pytest.mark.parametrize(
    ("release", "packages", "detail"),
    [
        (
            "# R36 (release), REVISION: 4.3, GCID: 1",
            "Package: nvidia-jetpack\nVersion: 6.2+b77\n",
            "6.2, Jetson Linux 36.4.3",
        ),
        ("# R38 (release), REVISION: 2.0, GCID: 1", "", "7, Jetson Linux 38.2.0"),
        (None, "", None),
    ],
)
def test_it_tells_jetpacks_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str | None, packages: str, detail: str | None
) -> None:
    if release is not None:
        (tmp_path / "release").write_text(release)
    (tmp_path / "status").write_text(f"Package: bash\nVersion: 5\n\n{packages}")
    monkeypatch.setattr(checks, "TEGRA_RELEASE", tmp_path / "release")
    monkeypatch.setattr(checks, "DPKG_STATUS", tmp_path / "status")
    assert [finding.detail for finding in checks._jetpack()] == ([] if detail is None else [detail])


def test_it_lists_the_engines_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("heatstream.engine_builder.trt.cache.engine_folder", lambda: tmp_path)
    (empty,) = checks._engine_cache()
    assert empty.detail == f"{tmp_path}: no engines yet"
    toolkit = Toolkit("tensorrt", make_tensorrt("10.3.0"))
    build_engine(read_model(SPOTS_MODEL), toolkit, Gpu("Orin", "sm_87"), precision="fp32", folder=tmp_path)
    (tmp_path / "broken.engine").write_bytes(b"?")
    cache, broken, engine = checks._engine_cache()
    assert cache.detail.startswith(f"{tmp_path}: 2 engines, ")
    assert (broken.state, broken.remedy) == ("bad", f"delete {tmp_path / 'broken.engine'}")
    assert engine.detail == "spots, 64x128, fp32, tensorrt 10.3.0, sm_87 (Orin)"
