"""The fake for CuPy has the names of the real one, where that is installed, and behaves like a GPU."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.fakes.cupy import make_cupy

FAKE_OWN = {"Stream": {"submit", "put", "flush"}, "Event": set(), "MemoryPointer": {"array"}, "Graph": {"works"}}
"""What the fake's classes have for itself."""


@pytest.fixture
def real() -> Any:
    """CuPy, which loads without a GPU."""
    return pytest.importorskip("cupy", reason="CuPy comes with the extra gpu")


def test_every_name_is_the_real_ones(real: Any) -> None:
    fake, _ = make_cupy()
    compared = 0

    def compare(own: Any, theirs: Any, path: str) -> None:
        nonlocal compared
        for name, value in vars(own).items():
            if name.startswith("_") or f"{path}.{name}" in ("cupy.graphs", "cupy.pinned", "cupy.streams"):
                continue
            assert hasattr(theirs, name), f"{path}.{name}"
            compared += 1
            if isinstance(value, SimpleNamespace):
                compare(value, getattr(theirs, name), f"{path}.{name}")
            elif inspect.isclass(value) and name in ("Stream", "Event", "MemoryPointer", "Graph"):
                public = {member for member in vars(value) if not member.startswith("_")} - FAKE_OWN[name]
                assert public <= set(dir(getattr(theirs, name))), name

    compare(fake, real, "cupy")
    assert compared > 30


def test_work_is_done_when_its_stream_is_waited_for() -> None:
    cupy, _ = make_cupy()
    array, stream = cupy.zeros(3, np.float32), cupy.cuda.Stream(non_blocking=True)
    array.set(np.ones(3, np.float32), stream=stream)
    assert np.asarray(array).tolist() == [0, 0, 0]
    event = cupy.cuda.Event(block=True)
    event.record(stream)
    event.synchronize()
    assert np.asarray(array).tolist() == [1, 1, 1]


@pytest.mark.parametrize("mistake", [lambda cupy, stream: cupy.empty(1), lambda cupy, stream: stream.synchronize()])
def test_a_capture_forbids_allocating_and_waiting(mistake: Any) -> None:
    cupy, _ = make_cupy()
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Unsupported"):
        mistake(cupy, stream)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated"):
        stream.end_capture()
    assert not stream.is_capturing()


def test_a_copy_needs_page_locked_memory() -> None:
    cupy, _ = make_cupy()
    array = cupy.empty(8, np.uint8)
    with pytest.raises(AssertionError, match="page-locked"):
        array.data.copy_from_host_async(np.zeros(8, np.uint8).ctypes.data, 8, cupy.cuda.Stream(non_blocking=True))
