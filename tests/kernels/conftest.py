"""A fake of CuPy, for whatever takes CuPy's arrays or launches kernels through CuPy."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.maps import Kernel
from tests.emulator.device import EmulatedDevice
from tests.fakes.cupy import make_cupy

Cupy = Any


def emulated_kernels(self: CupyDevice, source: str, macros: Mapping[str, int]) -> dict[str, Kernel]:
    """The emulator's kernels, put on the fake's streams."""

    def put(kernel: Kernel) -> Kernel:
        def call(grid: Any, block: Any, args: Any, *, stream: Any) -> None:
            stream.submit(lambda: kernel(grid, block, args, stream=stream))

        return call

    return {name: put(kernel) for name, kernel in EmulatedDevice().kernels(source, macros).items()}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> tuple[Cupy, Counter[str]]:
    """the fake CuPy in its place; kernels are the emulator's, and their launches are counted."""
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(CupyDevice, "kernels", emulated_kernels)
    return cupy, calls
