"""Page-locked memory: copied from, or on boards whose GPU shares the CPU's memory read where it is."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.pinned_memory import PinnedBuffer
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from tests.fakes.cupy import make_cupy
from tests.fakes.gpu import FakeGpu, make_gpu
from tests.fakes.runtime import spot


def share_memory(monkeypatch: pytest.MonkeyPatch, cupy: Any) -> None:
    """A board whose GPU works in the CPU's memory."""
    properties = {"name": b"Orin", "integrated": 1, "unifiedAddressing": 1}
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", lambda device: properties)


def test_a_discrete_gpu_copies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    make_gpu((cupy, calls), monkeypatch, tmp_path)
    memory = PinnedBuffer(CudaDevice(0), 100)
    assert memory.mapped is None
    assert len(memory.bytes) == 100
    assert calls["pin"] == 1
    memory.close()


def test_a_board_that_shares_its_memory_reads_it_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cupy, calls = make_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    make_gpu((cupy, calls), monkeypatch, tmp_path)
    share_memory(monkeypatch, cupy)
    memory = PinnedBuffer(CudaDevice(0), 100)
    memory.bytes[:] = 7
    assert memory.mapped is not None
    assert memory.mapped.data.ptr == memory.address
    assert np.asarray(memory.mapped).tolist() == [7] * 100
    thread = threading.Thread(target=memory.close)  # whichever thread closes the pipeline
    thread.start()
    thread.join()
    gc.collect()
    assert not cupy.pinned


@pytest.mark.emulator
def test_a_frame_in_shared_memory_is_not_copied(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    share_memory(monkeypatch, gpu.cupy)
    runtime = gpu.cupy.cuda.runtime
    copy = runtime.memcpyAsync

    def copy_small_things(dst: int, src: int, size: int, kind: int, stream: int) -> None:
        assert kind != runtime.memcpyHostToDevice or size < 1000, "a frame was copied"
        copy(dst, src, size, kind, stream)

    monkeypatch.setattr(runtime, "memcpyAsync", copy_small_things)
    cuda = CudaDevice(0)
    with GpuPosePipeline(gpu.engine(cuda), cuda) as pipeline:
        pipeline.warm_up(90, 150)
        for size in ((90, 150), (70, 50)):  # other sizes need no other graph
            assert len(pipeline(spot(*size, 30, 33, radius=8)).poses) == 1
    assert gpu.graphs["capture"] == 2
