"""Compute capabilities: how a person writes them, and which engines run where."""

from __future__ import annotations

from typing import Any

import pytest

from heatstream.engine_builder.trt import gpus
from heatstream.engine_builder.trt.gpus import Gpu, local_gpu, parse_targets, pci_bus_id
from heatstream.errors import InputError


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("sm_89", ("sm_89",)),
        ("sm_120,sm_89", ("sm_89", "sm_120")),
        (" 8.9 , 12.0, SM121", ("sm_89", "sm_120", "sm_121")),
        ("75,sm75,7.5", ("sm_75",)),
    ],
)
def test_targets_are_understood_and_sorted(text: str, targets: tuple[str, ...]) -> None:
    assert parse_targets(text) == targets


@pytest.mark.parametrize("text", ["", "sm_89,", "ada", "8,9", "8.9.1", "sm_8", "native"])
def test_what_is_no_compute_capability_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a compute capability: write sm_89"):
        parse_targets(text)


class _Driver:
    """libcuda, as far as it is asked."""

    def __init__(self, gpus: list[tuple[bytes, int, int]]) -> None:
        self.gpus = gpus

    def cuInit(self, flags: int) -> int:  # noqa: N802 (the driver's names)
        return 0 if self.gpus else 100

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0 if index < len(self.gpus) else 101

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        name.value = self.gpus[device.value][0]
        return 0

    def cuDeviceGetPCIBusId(self, address: Any, length: int, device: Any) -> int:  # noqa: N802
        address.value = b"0000:%02x:00.0" % (device.value + 1)
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        value._obj.value = self.gpus[device.value][{75: 1, 76: 2}[attribute]]
        return 0


def test_the_driver_is_asked_for_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _Driver([(b"Orin", 8, 7), (b"NVIDIA GeForce RTX 5090", 12, 0)])
    monkeypatch.setattr(gpus, "_driver", lambda: driver)
    assert [local_gpu(index) for index in range(3)] == [
        Gpu("Orin", "sm_87"),
        Gpu("NVIDIA GeForce RTX 5090", "sm_120"),
        None,
    ]
    assert [pci_bus_id(index) for index in range(3)] == ["0000:01:00.0", "0000:02:00.0", None]


@pytest.mark.parametrize("driver", [None, _Driver([])])
def test_no_driver_and_no_gpu_are_no_gpu(monkeypatch: pytest.MonkeyPatch, driver: Any) -> None:
    monkeypatch.setattr(gpus, "_driver", lambda: driver)
    assert local_gpu() is None
