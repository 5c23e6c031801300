"""What ``heatstream doctor`` looks at: the machine, video in and out, and the engines.

Every check returns findings and never raises; none opens a camera, makes a CUDA context or imports a large
library, so that all of them together take about a second.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

from heatstream.demo.nvml import gpus

__all__ = ["CHECKS", "Finding", "examine", "processor_name"]


@dataclass(frozen=True)
class Finding:
    """What is so, about one thing.

    Attributes:
        name: the thing.
        state: ``ok`` it works; ``none`` it is not here and only some uses want it; ``bad`` it should work and
            does not.
        detail: what was found, or what is missing.
        remedy: how to get it; empty where there is nothing to do.
    """

    name: str
    state: Literal["ok", "none", "bad"]
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run every check, side by side, and give what they found in their order."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        return [finding for found in pool.map(_safely, CHECKS) for finding in found]


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        return list(check())
    except Exception as error:  # a broken driver may fail in any way; the rest must be told
        return [Finding(name, "bad", f"the check itself failed: {type(error).__name__}: {error}")]


def processor_name() -> str:
    """What the CPU calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines())
        for key, _, value in lines:
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _python() -> Iterator[Finding]:
    version = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("Python", "ok", f"{version}, {sys.executable}")


def _processor() -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("CPU", "ok", f"{processor_name()}, {usable} cores usable")
    yield Finding("Memory", "ok", f"{psutil.virtual_memory().total / 2**30:.1f} GiB")


def _opencv() -> Iterator[Finding]:
    try:
        import cv2
    except ImportError as error:
        yield Finding(
            "OpenCV",
            "bad",
            f"does not load: {error}",
            "without a display: pip uninstall opencv-python && pip install opencv-python-headless; "
            "on Debian or Ubuntu with one: apt install libgl1 libglib2.0-0",
        )
        return
    yield Finding("OpenCV", "ok", cv2.__version__)
    registry = cv2.videoio_registry
    works = {registry.getBackendName(b) for b in registry.getBackends() if registry.hasBackend(b)}
    for name, purpose, remedy in (
        ("FFMPEG", "video files and RTSP/HTTP streams", "pip install --force-reinstall opencv-python"),
        ("V4L2", "USB cameras", "pip install --force-reinstall opencv-python"),
        (
            "GSTREAMER",
            "GStreamer pipelines and CSI cameras",
            "an OpenCV built with GStreamer: JetPack brings one, the wheels on PyPI do not have it",
        ),
    ):
        if name == "V4L2" and sys.platform != "linux":
            continue
        if name in works:
            yield Finding(f"OpenCV {name}", "ok", purpose)
        else:
            yield Finding(f"OpenCV {name}", "none", f"not in this OpenCV; only for {purpose}", remedy)
    yield _display(cv2.currentUIFramework() if hasattr(cv2, "currentUIFramework") else "?")


def _display(toolkit: str) -> Finding:
    """Whether a window can be shown; ``toolkit`` is what OpenCV was built with, empty in a headless build."""
    if not toolkit:
        return Finding(
            "Window",
            "none",
            "this OpenCV is a headless build; results go to files",
            "pip uninstall opencv-python-headless && pip install opencv-python",
        )
    screens = {key: os.environ[key] for key in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(key)}
    if sys.platform == "linux" and not screens:
        return Finding(
            "Window",
            "none",
            "no display: DISPLAY and WAYLAND_DISPLAY are not set; results go to files",
            "run from a desktop, or over `ssh -X`",
        )
    return Finding("Window", "ok", ", ".join([toolkit, *(f"{k}={v}" for k, v in screens.items())]))


def _cameras() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("Cameras", "none", "are not listed on this system", "try: heatstream run 0")
        return
    # Many cameras have a second node for metadata; index 0 is the one that gives pictures.
    nodes = [
        node
        for node in sorted(Path("/sys/class/video4linux").glob("video*"), key=lambda node: int(node.name[5:]))
        if not (node / "index").exists() or (node / "index").read_text().strip() == "0"
    ]
    if not nodes:
        yield Finding("Cameras", "none", "no /dev/video*", "plug one in, or give a file or a URL to heatstream run")
    for node in nodes:
        name = (node / "name").read_text(errors="replace").strip()
        device = Path("/dev", node.name)
        if os.access(device, os.R_OK | os.W_OK):
            yield Finding(f"Camera {node.name[5:]}", "ok", f"{name}: heatstream run {node.name[5:]}")
        else:
            yield Finding(
                f"Camera {node.name[5:]}",
                "bad",
                f"{name}: {device} may not be opened by this user",
                "sudo usermod -aG video $USER, then log in again",
            )


def _nvidia() -> Iterator[Finding]:
    driver = _cuda_driver_version()
    found = gpus()
    for index, gpu in enumerate(found):
        words = (
            gpu["name"],
            f"{gpu['memory_mib']} MiB",
            f"driver {gpu['driver']}",
            f"compute capability {gpu['compute_capability']}",
        )
        yield Finding(f"GPU {index}", "ok", ", ".join(words))
    if driver is None:
        hint = (
            "install NVIDIA's driver (in a container: start it with --gpus all)"
            if found
            else "only with an NVIDIA GPU: install NVIDIA's driver"
        )
        yield Finding("NVIDIA driver", "none", "libcuda is not here; everything runs on the CPU", hint)
    else:
        yield Finding("NVIDIA driver", "ok", f"understands CUDA up to {driver // 1000}.{driver % 1000 // 10}")
        if not found:
            yield Finding("GPU", "none", "NVIDIA's management library names none; Jetson boards have no such library")


def _cuda_driver_version() -> int | None:
    """1000 * major + 10 * minor, or None without a driver; makes no CUDA context."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        version = ctypes.c_int()
        return version.value if library.cuDriverGetVersion(ctypes.byref(version)) == 0 else None
    return None


def _onnx_runtime() -> Iterator[Finding]:
    from heatstream.engine_builder.export.onnx_session import import_onnxruntime

    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        yield Finding("ONNX Runtime", "bad", f"does not load: {error}", "pip install onnxruntime")
        return
    providers = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
    yield Finding("ONNX Runtime", "ok", f"{onnxruntime.__version__}, providers: {providers}")


def _optional_libraries() -> Iterator[Finding]:
    """Installed or not, by their package metadata: importing them would take seconds and touch the GPU."""
    jetson = Path("/etc/nv_tegra_release").exists()
    gpu = "pip install 'heatstream[jetson]'" if jetson else "pip install 'heatstream[gpu]'"
    for name, module, packages, purpose, remedy in (
        ("CuPy", "cupy", ("cupy-cuda13x", "cupy-cuda12x", "cupy"), "CUDA kernels", gpu),
        (
            "TensorRT",
            "tensorrt",
            ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
            "engines on NVIDIA GPUs",
            "comes with JetPack: sudo apt install python3-libnvinfer" if jetson else gpu,
        ),
        (
            "TensorRT-RTX",
            "tensorrt_rtx",
            ("tensorrt-rtx", "tensorrt-rtx-cu13"),
            "engines on GeForce and RTX GPUs",
            "pip install 'heatstream[rtx]'",
        ),
        ("torch", "torch", ("torch",), "training and export", "pip install 'heatstream[train]'"),
    ):
        if importlib.util.find_spec(module) is None:
            yield Finding(name, "none", f"not installed; only for {purpose}", remedy)
        else:
            yield Finding(name, "ok", f"{_version(packages)}, for {purpose}")


def _nvrtc() -> Iterator[Finding]:
    from heatstream.errors import MissingExtraError
    from heatstream.kernels.cuda.nvrtc import nvrtc

    try:
        compiler = nvrtc()
    except MissingExtraError:
        yield Finding("NVRTC", "none", "not installed; only for CUDA kernels", "pip install 'heatstream[gpu]'")
        return
    version = ".".join(map(str, compiler.version))
    if compiler.include:
        yield Finding("NVRTC", "ok", f"{version}, for CUDA kernels: {compiler.path}")
    else:
        yield Finding(
            "NVRTC",
            "bad",
            f"{version} has no cuda_fp16.h beside it: {compiler.path}",
            "pip install nvidia-cuda-runtime",
        )


def _device_choice() -> Iterator[Finding]:
    """What `--device auto` comes to, from what is installed; whether the GPU works shows when it is used."""
    from heatstream.engine_builder.trt.gpus import local_gpu

    gpu = local_gpu()
    if gpu is None:
        yield Finding(
            "Device auto", "ok", "the CPU, with ONNX Runtime: there is no NVIDIA GPU here, or no driver for it"
        )
        return
    installed = [name for name in ("tensorrt", "tensorrt_rtx", "torch") if importlib.util.find_spec(name) is not None]
    nvrtc_state = next(_nvrtc())
    if importlib.util.find_spec("cupy") is None or nvrtc_state.state != "ok" or not installed:
        missing = "CuPy, NVRTC and one of TensorRT, TensorRT-RTX and torch"
        detail = f"the CPU, though there is a GPU ({gpu.name}): {missing} are needed"
        yield Finding("Device auto", "none", detail, "pip install 'heatstream[gpu]'")
        return
    engine = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX", "torch": "PyTorch"}[installed[0]]
    yield Finding("Device auto", "ok", f"cuda:0 ({gpu.name}, {gpu.target}) with {engine}")


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "installed"


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *(_python, _processor, _opencv, _cameras),
    *(_onnx_runtime, _nvidia, _optional_libraries, _nvrtc, _device_choice),
)
"""In the order in which the table shows them."""
