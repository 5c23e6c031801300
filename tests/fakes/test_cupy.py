"""The fake for CuPy has the names of the real one, where that is installed, and behaves like a GPU."""

from __future__ import annotations

import inspect
import re
import threading
import traceback
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.fakes.cupy import make_cupy

OWN = {"submit", "put", "put_upload", "flush", "works", "array"}
"""What the fake's classes have for themselves."""


@pytest.fixture(scope="module")
def real() -> Any:
    """CuPy, which loads without a GPU."""
    return pytest.importorskip("cupy", reason="CuPy comes with the extra test on Linux, on x86-64")


def arguments(function: Any) -> list[str] | None:
    """Names of the arguments after self, without their types; Cython has them in the docstring."""
    first = ((function.__doc__ or "").strip().splitlines() or [""])[0]
    inside = re.search(r"\((.*)\)", first)
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        if inside is None:
            return None
        names = [re.split(r"[=:]", part)[0].split()[-1] for part in inside[1].split(",") if part.strip()]
    return [name for name in names if name not in ("self", "*")]


def test_every_name_and_argument_is_that_of_the_real_one(real: Any) -> None:
    fake, _ = make_cupy()
    compared: Counter[str] = Counter()

    def compare(own: Any, theirs: Any, path: str) -> None:
        for name, value in vars(own).items():
            if (
                name.startswith("_")
                or name in OWN
                or f"{path}.{name}" in ("cupy.graphs", "cupy.pinned", "cupy.streams")
            ):
                continue
            place = f"{path}.{name}"
            assert hasattr(theirs, name), place
            other = getattr(theirs, name)
            compared["name"] += 1
            if isinstance(value, SimpleNamespace):
                compare(value, other, place)
            elif inspect.isclass(value):
                if issubclass(value, BaseException):
                    bases = [base.__name__ for base in value.__mro__]
                    assert bases == [base.__name__ for base in other.__mro__], place
                    compared["exception"] += 1
                else:
                    compare(value, other, place)
            elif isinstance(value, int) and not isinstance(value, bool):
                assert value == other, place
                compared["number"] += 1
            elif inspect.isfunction(value):
                given = arguments(other)
                if given is not None:
                    taken = [name for name in inspect.signature(value).parameters if name not in ("self", "args")]
                    kinds = {part.kind for part in inspect.signature(value).parameters.values()}
                    assert kinds & {inspect.Parameter.VAR_KEYWORD} or taken == given[: len(taken)], place
                    compared["arguments"] += 1

    compare(fake, real, "cupy")
    graph = real.cuda.Graph
    assert arguments(graph.launch) == arguments(graph.upload) == ["stream"]
    assert arguments(real.cuda.Stream.begin_capture) == ["mode"]
    assert compared["name"] > 40
    assert compared["arguments"] > 20
    assert compared["exception"] == 3
    assert compared["number"] == 5


@pytest.mark.parametrize(
    ("call", "asks"),
    [
        (lambda cupy, array, host, stream: array.data.copy_from_host_async(host, 8, stream), True),
        (lambda cupy, array, host, stream: array.data.copy_to_host_async(host, 8, stream), True),
        (lambda cupy, array, host, stream: array.data.copy_from_device_async(array.data, 8, stream), False),
        (lambda cupy, array, host, stream: array.data.memset_async(0, 8, stream), False),
        (
            lambda cupy, array, host, stream: cupy.cuda.runtime.memcpyAsync(array.data.ptr, host, 8, 1, stream.ptr),
            False,
        ),
    ],
    ids=["from host", "to host", "from device", "memset", "runtime"],
)
def test_the_calls_that_refuse_a_capture_are_the_real_ones(real: Any, call: Any, asks: bool) -> None:
    """Without a driver each fails in the first CUDA call that it makes: those that refuse ask after the capture."""
    host = np.zeros(8, np.uint8)
    owner = real.cuda.UnownedMemory(host.ctypes.data, 8, host, 0)
    array = real.ndarray(8, np.uint8, real.cuda.MemoryPointer(owner, 0))
    try:
        real.cuda.runtime.getDeviceCount()
    except real.cuda.runtime.CUDARuntimeError:
        with pytest.raises(real.cuda.runtime.CUDARuntimeError) as raised:
            call(real, array, host.ctypes.data, SimpleNamespace(ptr=1))
        called = [frame.name.rpartition(".")[2] for frame in traceback.extract_tb(raised.tb)]
        assert ("streamIsCapturing" in called) is asks

    fake, _ = make_cupy()
    memory, stream = fake.cuda.alloc_pinned_memory(8), fake.cuda.Stream(non_blocking=True)
    array, address = fake.empty(8, np.uint8), np.frombuffer(memory, np.uint8).ctypes.data
    stream.begin_capture(mode=fake.cuda.runtime.streamCaptureModeThreadLocal)
    if asks:
        with pytest.raises(RuntimeError, match="the current stream is capturing"):
            call(fake, array, address, stream)
    else:
        call(fake, array, address, stream)
    stream.end_capture()


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
