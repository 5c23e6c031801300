"""A fake of CuPy's module where there is no GPU: NumPy's memory, the emulator's kernels, and a count of every call
that allocates device memory or waits for the GPU.

It knows the calls that heatstream makes and a few that it must not make while it launches; an unknown name is an
AttributeError, and ``test_cupy.py`` compares names and signatures with CuPy's where that is installed. What is put on a
stream other than the default one runs when somebody waits for it, so that a result read too early is not there yet; an
upload on the default stream is not there either before something orders it. While a graph is captured, a thread may
neither allocate nor wait, and CuPy's own copies to and from the host refuse; a thread that waits for the whole device
voids every capture, and gets an error itself. What CuPy does inside its calls it cannot show: that is seen on a GPU.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["make_cupy"]

CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED = 900, 901  # of cudaError_t
MODES = {"Global": 0, "ThreadLocal": 1, "Relaxed": 2}
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2

Work = Callable[[], object]


def make_cupy() -> tuple[ModuleType, Counter[str]]:
    """The module and its counter, with the keys ``"allocate"``, ``"pin"``, ``"wait"``, ``"spin"`` (a wait that keeps a
    core busy), ``"copy"`` and ``"launch"``; copies on a stream are launches. ``graphs`` of the module counts too, with
    the keys ``"capture"`` and ``"replay"``."""
    calls: Counter[str] = Counter()
    graphs: Counter[str] = Counter()
    here = threading.local()  # the streams that are current in this thread, and the one that it captures
    streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
    captures: set[Stream] = set()  # of all threads
    pinned: dict[int, int] = {}  # address and size of page-locked memory
    numbers = itertools.count(1)

    class CUDARuntimeError(RuntimeError):
        def __init__(self, status: int, name: str = "cudaErrorUnknown") -> None:
            super().__init__(f"{name}: error {status}")
            self.status = status

    class CUDADriverError(RuntimeError):
        def __init__(self, status: int) -> None:
            super().__init__(f"CUDA_ERROR: error {status}")
            self.status = status

    class OutOfMemoryError(MemoryError):
        pass

    def count(kind: str) -> None:
        """A call that no graph can be captured with."""
        calls[kind] += 1
        for stream in list(captures):
            if stream.mode == MODES["Global"] and kind == "allocate":
                stream.void = True
        capturing = getattr(here, "capturing", None)
        if capturing is not None:
            capturing.void = True
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED, "cudaErrorStreamCaptureUnsupported")

    def wait_for_the_device() -> None:
        """In whatever mode, and by whatever thread."""
        count("wait")
        for stream in list(captures):
            stream.void = True
        if captures:
            raise CUDARuntimeError(CAPTURE_UNSUPPORTED, "cudaErrorStreamCaptureUnsupported")
        for stream in list(streams.values()):
            stream.flush()

    def refuse_capture(stream: Stream, direction: str) -> None:
        """As ``memory.pyx`` does, for all copies that are not from device to device."""
        if stream.is_capturing():
            raise RuntimeError(f"the current stream is capturing, so {direction} transfers are disallowed")

    def check_pinned(address: int, size: int) -> None:
        inside = any(start <= address and address + size <= start + length for start, length in list(pinned.items()))
        assert inside, "copies on a stream need page-locked memory"

    class UnownedMemory:
        def __init__(self, ptr: int, size: int, owner: object, device_id: int = -1) -> None:
            self.owner = owner
            self.array = np.frombuffer((ctypes.c_uint8 * size).from_address(ptr), np.uint8)

    class MemoryPointer:
        def __init__(self, memory: Any, offset: int = 0) -> None:
            assert offset == 0
            self.array: np.ndarray[Any, Any] = getattr(memory, "array", memory)

        @property
        def ptr(self) -> int:
            return self.array.ctypes.data

        def memset_async(self, value: int, size: int, stream: Any = None) -> None:
            assert size == self.array.nbytes
            target = plain(self.array).view(np.uint8)
            (stream or current()).submit(lambda: target.fill(value))

        def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
            target, origin = (plain(pointer.array) for pointer in (self, src))
            (stream or current()).submit(lambda: np.copyto(target, origin))

        def copy_from_host_async(self, mem: int, size: int, stream: Any = None) -> None:
            refuse_capture(stream or current(), "H2D")
            check_pinned(mem, size)
            assert size <= self.array.nbytes
            (stream or current()).submit(lambda: ctypes.memmove(self.ptr, mem, size))

        def copy_to_host_async(self, mem: int, size: int, stream: Any = None) -> None:
            refuse_capture(stream or current(), "D2H")
            check_pinned(mem, size)
            assert size <= self.array.nbytes
            (stream or current()).submit(lambda: ctypes.memmove(mem, self.ptr, size))

        def memset(self, value: int, size: int) -> None:
            count("wait")
            self.memset_async(value, size)

    class ndarray(np.ndarray):  # noqa: N801 (CuPy's name)
        def __new__(cls, shape: Any, dtype: DTypeLike = float, memptr: MemoryPointer | None = None) -> ndarray:
            if memptr is None:
                count("allocate")
                return np.ndarray.__new__(cls, shape, dtype)
            return np.ndarray.__new__(cls, shape, dtype, buffer=memptr.array)

        @property
        def data(self) -> MemoryPointer:  # type: ignore[override]
            return MemoryPointer(self)

        @property
        def device(self) -> Device:  # type: ignore[override]
            return Device(0)

        def get(self, stream: Any = None) -> np.ndarray[Any, Any]:
            refuse_capture(stream or current(), "D2H")
            count("wait")
            calls["copy"] += 1
            (stream or current()).flush()
            return np.array(self)

        def set(self, arr: np.ndarray[Any, Any], stream: Any = None) -> None:
            refuse_capture(stream or current(), "H2D")
            assert arr.shape == self.shape
            assert arr.dtype == self.dtype
            content, target = arr.copy(), plain(self)
            (stream or current()).submit(lambda: np.copyto(target, content))

        def __getitem__(self, key: Any) -> Any:
            return np.asarray(super().__getitem__(key)).view(ndarray)  # one element too, as CuPy has it

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
            if out is None:
                count("allocate")
            current().flush()  # it comes after what is on the stream
            inputs = tuple(plain(value) for value in inputs)
            target = None if out is None else tuple(plain(value) for value in out)
            return np.asarray(getattr(ufunc, method)(*inputs, out=target, **options)).view(ndarray)

        def astype(self, *args: Any, **options: Any) -> Any:
            count("allocate")
            current().flush()
            return plain(self).astype(*args, **options).view(ndarray)

        def item(self, *args: Any) -> Any:
            count("wait")
            return super().item(*args)

        __int__ = __float__ = __bool__ = item

    def plain(value: Any) -> Any:
        return np.ndarray.view(value, np.ndarray) if isinstance(value, ndarray) else value

    class Stream:
        """Work is done when somebody waits for it; that of the default stream at once, uploads excepted."""

        def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
            self.ptr = 0 if null else next(numbers)
            self.pending: list[Work] = []
            self.captured: list[Work] | None = None
            self.mode = MODES["Relaxed"]
            self.void = False
            streams[self.ptr] = self

        def submit(self, work: Work) -> None:
            calls["launch"] += 1
            self.put([work])

        def put(self, works: list[Work]) -> None:
            target = self.pending if self.captured is None else self.captured
            target.extend(works)
            if not self.ptr:
                self.flush()

        def put_upload(self, work: Work) -> None:
            """On the default stream too, done when that is waited for or has other work to do after it."""
            (self.pending if self.captured is None else self.captured).append(work)

        def flush(self) -> None:
            while self.pending and self.captured is None:
                self.pending.pop(0)()

        def begin_capture(self, mode: int | None = None) -> None:
            if not self.ptr:
                raise RuntimeError("cannot capture on the default (legacy) stream")
            graphs["capture"] += 1
            self.captured, self.void, here.capturing = [], False, self
            self.mode = MODES["Relaxed"] if mode is None else mode
            captures.add(self)

        def end_capture(self) -> Graph:
            assert self.captured is not None
            works, self.captured, here.capturing = self.captured, None, None
            captures.discard(self)
            if self.void:
                raise CUDARuntimeError(CAPTURE_INVALIDATED, "cudaErrorStreamCaptureInvalidated")
            return Graph(works)

        def is_capturing(self) -> bool:
            if self.void and self.captured is not None:
                raise RuntimeError("the stream was capturing, but an error has invalidated the capture sequence")
            return self.captured is not None

        def record(self, event: Event) -> None:
            event.record(self)

        def wait_event(self, event: Event) -> None:
            if event.stream is not None and event.stream is not self:
                self.put([event.stream.flush])

        def synchronize(self) -> None:
            count("wait")
            self.flush()

        def __enter__(self) -> Stream:
            stack().append(self)
            return self

        def __exit__(self, *error: object) -> None:
            stack().pop()

    null = Stream(null=True)

    def stack() -> list[Stream]:
        if not hasattr(here, "stack"):
            here.stack = [null]
        found: list[Stream] = here.stack
        return found

    def current() -> Stream:
        return stack()[-1]

    class Graph:
        def __init__(self, works: list[Work]) -> None:
            self.works = works
            self.uploaded = False

        def upload(self, stream: Any = None) -> None:
            self.uploaded = True

        def launch(self, stream: Any = None) -> None:
            graphs["replay"] += 1
            if not self.uploaded:
                graphs["late upload"] += 1
                self.uploaded = True
            (stream or current()).put(self.works)

    class Event:
        def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
            self.block, self.timed = block, not disable_timing
            self.time = 0.0
            self.stream: Stream | None = None

        def record(self, stream: Any = None) -> None:
            self.stream = stream or current()
            self.stream.put([lambda: setattr(self, "time", time.perf_counter())])

        def synchronize(self) -> None:
            count("wait")
            if not self.block:
                calls["spin"] += 1
            if self.stream is not None:
                self.stream.flush()

    def get_elapsed_time(start_event: Event, end_event: Event) -> float:
        assert start_event.timed
        assert end_event.timed
        return (end_event.time - start_event.time) * 1e3

    class Module:
        """A loaded cubin; its functions are no kernels, but their names."""

        def load(self, cubin: bytes) -> None:
            assert cubin.startswith(b"\x7fELF")
            calls["load"] += 1

        def get_function(self, name: str) -> str:
            return name

    class Device:
        compute_capability = "90"
        _current = 0

        def __init__(self, device: int | None = None) -> None:
            self.id = Device._current if device is None else device

        def __enter__(self) -> Device:
            self.before, Device._current = Device._current, self.id
            return self

        def __exit__(self, *error: object) -> None:
            Device._current = self.before

        def synchronize(self) -> None:
            wait_for_the_device()

    class PinnedMemory(bytearray):
        """A buffer, as CuPy's pointer to page-locked memory is one."""

    def alloc_pinned_memory(size: int) -> PinnedMemory:
        count("pin")
        memory = PinnedMemory(b"\x55" * size)
        address = np.frombuffer(memory, np.uint8).ctypes.data
        pinned[address] = size
        weakref.finalize(memory, pinned.pop, address)
        return memory

    def empty(shape: Any, dtype: DTypeLike = float) -> ndarray:
        count("allocate")
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = 0x55
        return array.view(ndarray)

    def zeros(shape: Any, dtype: DTypeLike = float) -> ndarray:
        array = empty(shape, dtype)
        target = plain(array)
        current().put_upload(lambda: target.fill(0))
        return array

    def asarray(a: Any, dtype: DTypeLike = None) -> ndarray:
        if hasattr(a, "__cuda_array_interface__"):
            interface = SimpleNamespace(__array_interface__=a.__cuda_array_interface__, owner=a)
            return np.asarray(interface).view(ndarray)
        if isinstance(a, ndarray):
            return a if dtype is None or a.dtype == dtype else a.astype(dtype)
        content = np.array(a, dtype, order="C")
        array = empty(content.shape, content.dtype)
        target = plain(array)
        current().put_upload(lambda: np.copyto(target, content))  # from a page-locked copy, as CuPy makes one
        return array

    def memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
        check_pinned(src if kind == HOST_TO_DEVICE else dst, size)
        streams[stream].submit(lambda: ctypes.memmove(dst, src, size))

    def ascontiguousarray(a: ndarray, dtype: DTypeLike = None) -> ndarray:
        count("allocate")  # at most
        current().flush()
        return np.ascontiguousarray(a, dtype).view(ndarray)

    def copyto(dst: ndarray, src: ndarray) -> None:
        current().submit(lambda: np.copyto(plain(dst), plain(src)))

    cupy = ModuleType("cupy")
    cupy.ndarray = ndarray  # type: ignore[attr-defined]
    cupy.empty = empty  # type: ignore[attr-defined]
    cupy.zeros = zeros  # type: ignore[attr-defined]
    cupy.asarray = asarray  # type: ignore[attr-defined]
    cupy.ascontiguousarray = ascontiguousarray  # type: ignore[attr-defined]
    cupy.copyto = copyto  # type: ignore[attr-defined]
    cupy.from_dlpack = lambda array: np.from_dlpack(array).view(ndarray)  # type: ignore[attr-defined]
    cupy.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        Device=Device,
        Event=Event,
        MemoryPointer=MemoryPointer,
        Stream=Stream,
        UnownedMemory=UnownedMemory,
        get_current_stream=current,
        function=SimpleNamespace(Module=Module),
        get_elapsed_time=get_elapsed_time,
        alloc=lambda size: count("allocate"),
        alloc_pinned_memory=alloc_pinned_memory,
        driver=SimpleNamespace(CUDADriverError=CUDADriverError),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvtx=SimpleNamespace(available=False),
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            deviceSynchronize=wait_for_the_device,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: {"name": b"no GPU", "integrated": 0, "unifiedAddressing": 1},
            memcpyAsync=memcpy_async,
            memcpyHostToDevice=HOST_TO_DEVICE,
            memcpyDeviceToHost=DEVICE_TO_HOST,
            **{f"streamCaptureMode{name}": mode for name, mode in MODES.items()},
        ),
    )
    cupy.graphs = graphs  # type: ignore[attr-defined]
    cupy.streams = streams  # type: ignore[attr-defined]  # by address, for the fake of TensorRT
    cupy.pinned = pinned  # type: ignore[attr-defined]  # for page-locked memory that is not CuPy's
    return cupy, calls
