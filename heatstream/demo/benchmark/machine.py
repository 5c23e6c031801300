"""What a figure depends on besides the model: the machine, its clocks, and the libraries."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from heatstream.demo.machine_checks import processor_name
from heatstream.demo.nvml import gpus
from heatstream.runtime.engines.onnx_engine import usable_cores
from heatstream.version import __version__

__all__ = ["Machine", "describe_machine", "software"]

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
JETSON_MODEL = Path("/proc/device-tree/model")

LIBRARIES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "numpy": ("numpy",),
    "opencv": ("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13"),
}
"""Libraries that speed depends on, and the packages they come in."""


@dataclass(frozen=True)
class Machine:
    """A machine, as far as speed depends on it.

    Attributes:
        cpu: what the processor calls itself.
        cores: that this process may use.
        memory_gib: of the machine.
        system: operating system and architecture.
        board: name of the board where it has one of its own, such as a Jetson.
        governor: what sets the CPU's clock; None where it does not tell.
        cpu_mhz: the clock at the start, the mean over the cores; None where it does not tell.
        load: processes that wanted to run in the last minute, per core: the work of others.
        gpus: NVIDIA's GPUs: name, memory, driver, clocks; empty without one.
    """

    cpu: str
    cores: int
    memory_gib: float
    system: str
    board: str | None
    governor: str | None
    cpu_mhz: float | None
    load: float
    gpus: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


def describe_machine() -> Machine:
    """This machine, now."""
    cores = usable_cores()
    return Machine(
        cpu=processor_name(),
        cores=cores,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        board=_text(JETSON_MODEL),
        governor=_text(GOVERNOR),
        cpu_mhz=_clock_mhz(),
        load=round(psutil.getloadavg()[0] / cores, 2),
        gpus=tuple(gpus()),
    )


def software() -> dict[str, str]:
    """Versions of Python, heatstream and the libraries that are installed and that speed depends on."""
    versions = {"heatstream": __version__, "python": platform.python_version()}
    for library, packages in LIBRARIES.items():
        for package in packages:
            try:
                versions[library] = metadata.version(package)
                break
            except metadata.PackageNotFoundError:
                continue
    return versions


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _clock_mhz() -> float | None:
    """None where the system does not tell, as in many virtual machines."""
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return round(clock.current) if clock is not None and clock.current else None
