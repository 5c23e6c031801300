"""What the machine tells of memory and power."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from heatstream.demo.benchmark.meters import Meters, Reading, memory_reader
from heatstream.demo.benchmark.tegrastats import TegraStats, parse_line
from heatstream.demo.nvml import gpu_reader, gpus
from tests.fakes.patience import until

NANO = (
    "RAM 2448/7620MB (lfb 14x4MB) SWAP 0/3810MB (cached 0MB) CPU [13%@1510,6%@1510,off,off] EMC_FREQ 0%@2133 "
    "GR3D_FREQ 37%@[624] CV0@-256C CPU@48.4C VDD_IN 4940mW/4920mW VDD_CPU_GPU_CV 600mW/601mW VDD_SOC 1492mW/1490mW"
)
AGX = "RAM 9/30536MB GR3D_FREQ 0% VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 400mW/400mW VIN_SYS_5V0 3527mW/3527mW"
OLD = "RAM 1200/3964MB GR3D_FREQ 99%@921 POM_5V_IN 7291/7291 POM_5V_GPU 2300/2300 POM_5V_CPU 1100/1100"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (NANO, {"board_power_w": 4.94, "gpu_power_w": 0.6, "gpu_percent": 37.0, "gpu_memory_mib": 2448.0}),
        (AGX, {"board_power_w": 7.132, "gpu_power_w": 3.205, "gpu_percent": 0.0, "gpu_memory_mib": 9.0}),
        (OLD, {"board_power_w": 7.291, "gpu_power_w": 2.3, "gpu_percent": 99.0, "gpu_memory_mib": 1200.0}),
        ("something else", {}),
    ],
)
def test_a_line_of_tegrastats(line: str, expected: dict[str, float]) -> None:
    assert parse_line(line) == pytest.approx(expected)


def test_tegrastats_is_followed_and_ended(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\necho '{NANO}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    meter = TegraStats()
    reader = meter.reader
    assert reader is not None
    until(reader)
    assert reader()["board_power_w"] == pytest.approx(4.94)
    meter.close()
    assert meter.reader is None


def test_readings_have_a_mean_and_a_peak() -> None:
    values = iter([1.0, 3.0])
    meters = Meters([lambda: {"power": next(values)}])
    for _ in range(2):
        with meters.reading():  # each reads at once
            pass
    assert meters.readings() == {"power": Reading(2.0, 3.0)}


def test_memory_is_that_of_the_process() -> None:
    """Half of it is granted to what other tests have left, which may be freed at any time."""
    reader = memory_reader()
    before = reader()["memory_mib"]
    held = b"x" * (64 << 20)
    assert reader()["memory_mib"] - before == pytest.approx(64, abs=32)
    del held


class FakeNvml(SimpleNamespace):
    """NVIDIA's library on a machine with two GPUs, the first of which does not tell its power."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __getattr__(self, name: str) -> Any:
        if name in ("nvmlInit", "nvmlShutdown"):
            return lambda: None
        raise AttributeError(name)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 (the library's names)
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetHandleByPciBusId(self, pci_bus_id: str) -> int:  # noqa: N802
        return ["0000:01:00.0", "0000:3b:00.0"].index(pci_bus_id)

    def nvmlDeviceGetName(self, handle: int) -> bytes:  # noqa: N802
        return f"GPU {handle}".encode()

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "600.1"

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        return 9, 0

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=8 << 30, used=3 << 30)

    def nvmlDeviceGetClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        return 1000 * clock

    def nvmlDeviceGetMaxClockInfo(self, handle: int, clock: int) -> int:  # noqa: N802
        return 2000 * clock

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle == 0:
            raise self.NVMLError("not supported")
        return 250_500

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=90 + handle)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return []


def test_without_the_library_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus() == []
    assert gpu_reader() is None


@pytest.mark.parametrize(("device", "busy"), [(0, 91.0), (1, 90.0)])
def test_the_gpu_is_the_one_that_cuda_counts_so(monkeypatch: pytest.MonkeyPatch, device: int, busy: float) -> None:
    """The faster one sits on the later bus here, and CUDA counts it first."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    buses = ["0000:3b:00.0", "0000:01:00.0"]
    monkeypatch.setattr("heatstream.demo.nvml.pci_bus_id", lambda index: buses[index])
    reader = gpu_reader(device)
    assert reader is not None
    assert reader()["gpu_percent"] == busy


def test_what_a_gpu_does_not_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.setattr("heatstream.demo.nvml.pci_bus_id", lambda index: ["0000:01:00.0", "0000:3b:00.0"][index])
    first, second = gpu_reader(0), gpu_reader(1)
    assert first is not None
    assert second is not None
    assert "gpu_power_w" not in first()
    assert second() == {
        "gpu_memory_mib": 3072.0,
        "gpu_percent": 91.0,
        "gpu_power_w": 250.5,
        "gpu_clock_mhz": 1000.0,
    }
    assert gpus()[1] == {
        "name": "GPU 1",
        "memory_mib": 8192,
        "compute_capability": "9.0",
        "driver": "600.1",
        "clock_mhz": 1000,
        "max_clock_mhz": 2000,
        "memory_clock_mhz": 2000,
        "power_limit_w": 700.0,
    }
