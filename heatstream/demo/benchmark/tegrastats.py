"""Power and load of a Jetson board, from NVIDIA's program tegrastats."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Callable

__all__ = ["TegraStats", "parse_line"]

INTERVAL_MS = 200
BOARD_RAILS = ("VDD_IN", "POM_5V_IN")
"""Rails that feed the whole module, on boards that have one; elsewhere the rails are added up."""


def parse_line(line: str) -> dict[str, float]:
    """What a line tells of: ``board_power_w``, ``gpu_power_w``, ``gpu_percent``, ``gpu_memory_mib`` (all memory in use,
    which CPU and GPU share)."""
    found: dict[str, float] = {}
    rails = {
        name: int(milliwatts) / 1000
        for name, milliwatts in re.findall(r"\b((?:VDD|VIN|POM)_\w+) (\d+)(?:mW)?/\d+(?:mW)?", line)
    }
    if rails:
        whole = next((rails[name] for name in BOARD_RAILS if name in rails), None)
        found["board_power_w"] = sum(rails.values()) if whole is None else whole
    gpu = [watts for name, watts in rails.items() if "GPU" in name]
    if gpu:
        found["gpu_power_w"] = sum(gpu)
    for key, pattern in (("gpu_percent", r"\bGR3D_FREQ (\d+)%"), ("gpu_memory_mib", r"\bRAM (\d+)/\d+MB")):
        match = re.search(pattern, line)
        if match:
            found[key] = float(match[1])
    return found


class TegraStats:
    """Runs tegrastats and keeps its newest line; does nothing where it is absent."""

    def __init__(self) -> None:
        self._latest: dict[str, float] = {}
        self._process: subprocess.Popen[str] | None = None
        program = shutil.which("tegrastats")
        if program is not None:
            self._process = subprocess.Popen(
                [program, "--interval", str(INTERVAL_MS)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            threading.Thread(target=self._follow, name="heatstream-tegrastats", daemon=True).start()

    @property
    def reader(self) -> Callable[[], dict[str, float]] | None:
        """A function that gives what was read last; None where tegrastats is absent."""
        return None if self._process is None else lambda: self._latest

    def close(self) -> None:
        """End the program."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _follow(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._latest = parse_line(line)
