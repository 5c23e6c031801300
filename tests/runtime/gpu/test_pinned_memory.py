"""Page-locked memory: CuPy's, or on boards whose GPU shares the CPU's memory the very same bytes, through PyCUDA."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.pinned_memory import PinnedBuffer
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from tests.fakes.cupy import make_cupy
from tests.fakes.gpu import FakeGpu, make_gpu
from tests.fakes.runtime import spot


def add_pycuda(monkeypatch: pytest.MonkeyPatch, cupy: Any) -> tuple[list[str], list[Any]]:
    """PyCUDA, and a board that shares its memory; what contexts were used for, and what was allocated."""
    contexts: list[str] = []
    allocated: list[Any] = []

    class Allocation:
        """What owns the memory; ``base`` of the array, as in PyCUDA."""

        freed = False

        def __init__(self, size: int) -> None:
            self.memory = bytearray(size)
            cupy.pinned[self.get_device_pointer()] = size

        def get_device_pointer(self) -> int:
            return np.frombuffer(self.memory, np.uint8).ctypes.data

        def free(self) -> None:
            assert contexts[-1] == "push"
            self.freed = True

    def pagelocked_empty(size: int, dtype: Any, mem_flags: int) -> Any:
        assert contexts[-1] == "push"
        assert mem_flags == 2
        owner = Allocation(size)
        allocated.append(owner)
        return SharedArray(owner)

    class SharedArray(np.ndarray):
        def __new__(cls, owner: Allocation) -> SharedArray:
            array = np.frombuffer(owner.memory, np.uint8).view(cls)
            array.owner = owner  # type: ignore[attr-defined]
            return array

        @property
        def base(self) -> Any:  # type: ignore[override]
            return self.owner  # type: ignore[attr-defined]

    class Context:
        def push(self) -> None:
            contexts.append("push")

        def pop(self) -> None:
            contexts.append("pop")

    driver: Any = ModuleType("pycuda.driver")
    driver.init = lambda: None
    driver.Device = lambda index: SimpleNamespace(retain_primary_context=Context)
    driver.host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    driver.pagelocked_empty = pagelocked_empty
    package = ModuleType("pycuda")
    package.__spec__ = importlib.machinery.ModuleSpec("pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda device: {"name": b"Orin", "integrated": 1})
    return contexts, allocated


def test_a_discrete_gpu_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    make_gpu((cupy, calls), monkeypatch, tmp_path)
    memory = PinnedBuffer(CudaDevice(0), 100)
    assert memory.mapped is None
    assert len(memory.bytes) == 100
    assert calls["pin"] == 1
    memory.close()


def test_a_board_that_shares_its_memory_maps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    make_gpu((cupy, calls), monkeypatch, tmp_path)
    contexts, allocated = add_pycuda(monkeypatch, cupy)
    memory = PinnedBuffer(CudaDevice(0), 100)
    memory.bytes[:] = 7
    assert memory.mapped is not None
    assert np.asarray(memory.mapped).tolist() == [7] * 100
    memory.close()
    assert allocated[0].freed
    assert contexts == ["push", "pop"] * 2
    assert calls["pin"] == 0


@pytest.mark.emulator
def test_a_frame_in_mapped_memory_is_not_copied(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pycuda(monkeypatch, gpu.cupy)
    copy = gpu.cupy.cuda.MemoryPointer.copy_from_host_async

    def copy_small_things(self: Any, mem: int, size: int, stream: Any = None) -> None:
        assert size < 1000, "a frame was copied"
        copy(self, mem, size, stream)

    monkeypatch.setattr(gpu.cupy.cuda.MemoryPointer, "copy_from_host_async", copy_small_things)
    cuda = CudaDevice(0)
    with GpuPosePipeline(gpu.engine(cuda), cuda) as pipeline:
        pipeline.warm_up(90, 150)
        for size in ((90, 150), (70, 50)):  # other sizes need no other graph
            assert len(pipeline(spot(*size, 30, 33, radius=8)).poses) == 1
    assert gpu.graphs["capture"] == 2
