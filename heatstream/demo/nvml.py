"""What NVIDIA's management library (NVML) tells of the GPUs; nothing where there is no driver.

Jetson boards have no such library: see :mod:`heatstream.demo.benchmark.tegrastats`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from heatstream.engine_builder.trt.gpus import pci_bus_id

__all__ = ["gpu_reader", "gpus"]

MIB = 2**20


def gpus() -> list[dict[str, Any]]:
    """Name, memory, compute capability, driver and clocks (MHz: now and at most) of every GPU."""
    with _library() as nvml:
        if nvml is None:
            return []
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [_describe(nvml, handle) for handle in handles]


def gpu_reader(device: int = 0) -> Callable[[], dict[str, float]] | None:
    """A function that reads the GPU's meters at the moment it is called; None where there are none.

    It gives what the GPU tells of: ``gpu_memory_mib`` (of this process where the driver knows, else of all),
    ``gpu_percent`` (share of time in which a kernel ran), ``gpu_power_w``, ``gpu_clock_mhz``.

    Args:
        device: number of the GPU as CUDA counts.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        # CUDA counts the fastest GPU first and leaves out what CUDA_VISIBLE_DEVICES hides; NVML counts by PCI bus.
        handle = nvml.nvmlDeviceGetHandleByPciBusId(pci_bus_id(device))
    except Exception:  # no library, no driver, no such GPU: errors of NVML share a base class that we may not have
        return None
    readings: dict[str, Callable[[], float]] = {
        "gpu_memory_mib": lambda: _memory(nvml, handle) / MIB,
        "gpu_percent": lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        "gpu_power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "gpu_clock_mhz": lambda: float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
    }

    def read() -> dict[str, float]:
        values = {}
        for name, reading in readings.items():
            value = _told(nvml, reading)
            if value is not None:
                values[name] = value
        return values

    return read


@contextmanager
def _library() -> Iterator[Any]:
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # as above
        yield None
        return
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def _describe(nvml: Any, handle: Any) -> dict[str, Any]:
    found = {
        "name": _told(nvml, lambda: nvml.nvmlDeviceGetName(handle)),
        "memory_mib": _told(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total // MIB),
        "compute_capability": _told(nvml, lambda: "{}.{}".format(*nvml.nvmlDeviceGetCudaComputeCapability(handle))),
        "driver": _told(nvml, nvml.nvmlSystemGetDriverVersion),
        "clock_mhz": _told(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        "max_clock_mhz": _told(nvml, lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        "memory_clock_mhz": _told(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        "power_limit_w": _told(nvml, lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000),
    }
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}


def _told(nvml: Any, question: Callable[[], Any]) -> Any:
    """The answer, or None: every GPU and driver leaves some questions open."""
    try:
        return question()
    except nvml.NVMLError:
        return None


def _memory(nvml: Any, handle: Any) -> int:
    for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
        if process.pid == os.getpid() and process.usedGpuMemory:
            return int(process.usedGpuMemory)
    return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
