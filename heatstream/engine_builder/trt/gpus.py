"""The GPUs of this machine and the ones an engine is built for, by compute capability: ``"sm_89"`` for 8.9.

NVIDIA's driver library is asked directly: no CUDA context is made, and no other library is needed.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

from heatstream.errors import InputError

__all__ = ["JETSONS", "PORTABLE", "RTX_GPUS", "Gpu", "local_gpu", "parse_targets", "pci_bus_id"]

PORTABLE = ("sm_86", "sm_89", "sm_120")
"""What TensorRT-RTX builds for unless told otherwise: the desktop and laptop GPUs of its support matrix from 8.6 on."""

RTX_GPUS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121")
"""What TensorRT-RTX 1.7 has engines for, where its module is not to be asked."""

JETSONS = {"sm_72": "Jetson Xavier", "sm_87": "Jetson Orin", "sm_101": "Jetson Thor", "sm_110": "Jetson Thor"}
"""Boards whose engines are built on them, by JetPack's TensorRT; Thor has two numbers, that of CUDA 12 and of 13."""

DRIVERS = ("libcuda.so.1", "nvcuda.dll")
NAME_LENGTH = 256
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine.

    Attributes:
        name: as the driver has it, for example ``"Orin"``.
        target: its compute capability, for example ``"sm_87"``.
    """

    name: str
    target: str


def local_gpu(index: int = 0) -> Gpu | None:
    """A GPU of this machine; None where there is no driver or no such GPU."""
    driver = _driver()
    device = ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
        return None
    name = ctypes.create_string_buffer(NAME_LENGTH)
    major, minor = ctypes.c_int(), ctypes.c_int()
    failed = (
        driver.cuDeviceGetName(name, NAME_LENGTH, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
    )
    return None if failed else Gpu(name.value.decode(errors="replace"), f"sm_{major.value}{minor.value}")


def pci_bus_id(index: int = 0) -> str | None:
    """Where a GPU sits, for example ``"0000:3b:00.0"``: NVIDIA's other libraries count them in another order."""
    driver = _driver()
    device, address = ctypes.c_int(), ctypes.create_string_buffer(32)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
        return None
    failed = driver.cuDeviceGetPCIBusId(address, len(address), device)
    return None if failed else address.value.decode()


def _driver() -> ctypes.CDLL | None:
    for name in DRIVERS:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def parse_targets(text: str) -> tuple[str, ...]:
    """Compute capabilities from a user's text: ``"sm_89,sm_120"``, ``"8.9"`` and ``"89"`` are all understood.

    Returns:
        The targets, each once, the oldest first.

    Raises:
        InputError: one of them is not a compute capability.
    """
    targets = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", part.strip().lower())
        if match is None:
            raise InputError(f"{part.strip()!r} is not a compute capability: write sm_89, or several as sm_89,sm_120")
        targets.add(f"sm_{match[1]}{match[2]}")
    return tuple(sorted(targets, key=_number))


def _number(target: str) -> int:
    return int(target.removeprefix("sm_"))
