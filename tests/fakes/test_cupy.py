"""The fake for CuPy has the names of the real one, where that is installed, and behaves like a GPU."""

from __future__ import annotations

import inspect
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.fakes.cupy import make_cupy

FAKE_OWN = {
    "Stream": {"submit", "put", "put_upload", "flush"},
    "Event": set(),
    "MemoryPointer": {"array"},
    "Graph": {"works"},
}
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
    array, stream = cupy.empty(3, np.float32), cupy.cuda.Stream(non_blocking=True)
    array.set(np.ones(3, np.float32), stream=stream)
    assert np.asarray(array).tolist() != [1, 1, 1]
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


def test_an_upload_on_the_default_stream_comes_when_something_orders_it() -> None:
    cupy, _ = make_cupy()
    array, ours, event = cupy.asarray([1, 2]), cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
    ours.synchronize()
    assert np.asarray(array).tolist() != [1, 2]
    event.record(cupy.cuda.get_current_stream())
    ours.wait_event(event)
    ours.synchronize()
    assert np.asarray(array).tolist() == [1, 2]


@pytest.mark.parametrize("copy", ["copy_from_host_async", "copy_to_host_async"])
def test_copies_of_cupys_own_refuse_a_capture_with_a_plain_error(copy: str) -> None:
    cupy, _ = make_cupy()
    memory, stream = cupy.cuda.alloc_pinned_memory(8), cupy.cuda.Stream(non_blocking=True)
    array = cupy.empty(8, np.uint8)
    stream.begin_capture(mode=cupy.cuda.runtime.streamCaptureModeThreadLocal)
    with pytest.raises(
        RuntimeError, match=r"the current stream is capturing, so (H2D|D2H) transfers are disallowed"
    ) as raised:
        getattr(array.data, copy)(np.frombuffer(memory, np.uint8).ctypes.data, 8, stream)
    assert not isinstance(raised.value, cupy.cuda.runtime.CUDARuntimeError)
    stream.end_capture()


def test_who_waits_for_the_device_voids_the_captures_of_others_and_gets_an_error() -> None:
    cupy, _ = make_cupy()
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture(mode=cupy.cuda.runtime.streamCaptureModeThreadLocal)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            cupy.cuda.Device(0).synchronize()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert "Unsupported" in str(errors[0])
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated"):
        stream.end_capture()


def test_a_copy_needs_page_locked_memory() -> None:
    cupy, _ = make_cupy()
    array = cupy.empty(8, np.uint8)
    with pytest.raises(AssertionError, match="page-locked"):
        array.data.copy_from_host_async(np.zeros(8, np.uint8).ctypes.data, 8, cupy.cuda.Stream(non_blocking=True))
