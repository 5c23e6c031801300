"""What ``heatstream doctor`` looks at: the machine, video in and out, and the engines.

Every check returns findings and never raises; none opens a camera, makes a CUDA context or imports a large
library, so that all of them together take about a second.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import itertools
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

from heatstream.demo.nvml import gpus
from heatstream.extras import TEGRA_RELEASE, gpu_extra

__all__ = ["CHECKS", "Finding", "examine", "processor_name"]

DPKG_STATUS = Path("/var/lib/dpkg/status")
JETPACKS = {35: "5", 36: "6", 38: "7"}
"""By the major release of Jetson Linux."""


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


def _heatstream() -> Iterator[Finding]:
    from heatstream.version import __version__

    yield Finding("heatstream", "ok", f"{__version__}, {Path(__file__).parents[1]}")


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


def _gpu_engines() -> Iterator[Finding]:
    """What can run on each GPU, installed or not."""
    from heatstream.engine_builder.trt.gpus import RTX_GPUS, local_gpu

    for index in itertools.count():
        gpu = local_gpu(index)
        if gpu is None:
            return
        rtx = ["TensorRT-RTX"] if gpu.target in RTX_GPUS else []
        engines = ", ".join(["TensorRT", *rtx, "PyTorch"])
        capability = f"{gpu.target[3:-1]}.{gpu.target[-1]}"
        yield Finding(
            f"Engines on cuda:{index}", "ok", f"{gpu.name}, compute capability {capability}: {engines} can run on it"
        )


def _jetpack() -> Iterator[Finding]:
    """Of Jetson boards: what NVIDIA's packages say, and the release of Jetson Linux below it."""
    if not TEGRA_RELEASE.exists():
        return
    text = TEGRA_RELEASE.read_text(errors="replace")
    release = re.search(r"R(\d+).*?REVISION: ([\d.]+)", text)
    if release is None:
        yield Finding(
            "JetPack", "bad", f"{TEGRA_RELEASE} is not understood: {' '.join(text.split())[:80]}", "report it"
        )
        return
    packages = DPKG_STATUS.read_text(errors="replace") if DPKG_STATUS.exists() else ""
    package = re.search(r"^Package: nvidia-jetpack$.*?^Version: ([^\n+]+)", packages, re.MULTILINE | re.DOTALL)
    jetpack = package[1] if package else JETPACKS.get(int(release[1]), "of an unknown version")
    yield Finding("JetPack", "ok", f"{jetpack}, Jetson Linux {release[1]}.{release[2]}")


def _engine_cache() -> Iterator[Finding]:
    from heatstream.engine_builder.trt.cache import engine_folder
    from heatstream.engine_builder.trt.plan_file import read_record
    from heatstream.errors import EngineFileError

    folder = engine_folder()
    paths = sorted(folder.glob("*.engine"))
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    count = f"{len(paths)} engine{'s' if len(paths) != 1 else ''}, {megabytes:.1f} MB" if paths else "no engines yet"
    yield Finding("Engine cache", "ok", f"{folder}: {count}")
    for path in paths:
        try:
            spec = read_record(path).spec
        except EngineFileError as error:
            yield Finding("Engine", "bad", error.reason, f"delete {path}")
            continue
        machine = ", ".join(spec.targets) + (f" ({spec.gpu})" if spec.gpu else "")
        size = f"{spec.size[0]}x{spec.size[1]}"
        yield Finding(
            "Engine", "ok", f"{spec.name}, {size}, {spec.precision}, {spec.backend} {spec.version}, {machine}"
        )


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
    jetson = TEGRA_RELEASE.exists()
    gpu = f"pip install 'heatstream[{gpu_extra()}]'"
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
    from heatstream.engine_builder.trt.gpus import RTX_GPUS, local_gpu

    gpu = local_gpu()
    if gpu is None:
        yield Finding(
            "Device auto", "ok", "the CPU, with ONNX Runtime: there is no NVIDIA GPU here, or no driver for it"
        )
        return
    usable = ["tensorrt", "tensorrt_rtx", "torch"] if gpu.target in RTX_GPUS else ["tensorrt", "torch"]
    installed = [name for name in usable if importlib.util.find_spec(name) is not None]
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
    *(_heatstream, _python, _processor, _opencv, _cameras),
    *(_onnx_runtime, _nvidia, _gpu_engines, _jetpack, _optional_libraries, _nvrtc, _device_choice, _engine_cache),
)
"""In the order in which the table shows them."""
