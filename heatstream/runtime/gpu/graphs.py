"""CUDA graphs: work on a stream that is recorded once and replayed by one call.

A library may refuse to be recorded, and a recording may be voided by another thread: one that waits for the whole
device does so, whatever stream it works on. So recordings are tried a few times, some frames apart. Where none succeeds
the work is launched call by call, which is slower and gives the same result; that is said once.
"""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from heatstream.errors import EngineError
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["GraphRecorder", "preparing"]

preparing = threading.RLock()
"""Held while a graph is recorded, and by whoever loads or builds an engine, makes a context, or asks for memory or
gives it back: TensorRT, torch and the driver may wait for the whole device there, which voids every recording of the
process and is an error in the thread that waits."""

ATTEMPTS = 3
PAUSE = 30
"""Frames between two of them."""


class GraphRecorder:
    """Records work as graphs, as long as nobody refuses.

    Attributes:
        refusal: why nothing is recorded any more; empty while graphs are.

    Args:
        cuda: the GPU.
        name: what is recorded, for people: the name of the engine.
    """

    def __init__(self, cuda: CudaDevice, name: str) -> None:
        self._cuda = cuda
        self._name = name
        self._failures = 0
        self._pause = 0
        self.refusal = ""

    def record(self, launch: Callable[[], object], stream: Any, *, unable: str = "") -> Any | None:
        """The graph of what `launch` puts on a stream; it is not run. Everything must have been launched once before.

        Args:
            launch: puts work on the stream, and on streams of a library that fork from it and join it again.
            stream: not the default one.
            unable: why this cannot be recorded, where that is known beforehand.

        Returns:
            CuPy's graph, ready on the device; None where recording was refused, or cannot be tried now: ask again with
            the next frame.
        """
        if unable:
            self._refuse(unable)
        if self.refusal:
            return None
        if self._pause:
            self._pause -= 1
            return None
        if not preparing.acquire(blocking=False):  # an engine that is being built must not hold up frames
            return None
        try:
            return self._capture(launch, stream)
        # CuPy's CUDARuntimeError and CUDADriverError are RuntimeErrors; some of its checks raise a plain one.
        except (RuntimeError, EngineError, self._cuda.cupy.cuda.memory.OutOfMemoryError) as error:
            self._failures += 1
            self._pause = PAUSE
            if self._failures == ATTEMPTS:
                self._refuse(" ".join(str(error).split()))
            return None
        finally:
            preparing.release()

    def _capture(self, launch: Callable[[], object], stream: Any) -> Any:
        with _no_garbage_collection():
            # Of this thread alone: what other threads allocate meanwhile is their affair.
            stream.begin_capture(mode=self._cuda.cupy.cuda.runtime.streamCaptureModeThreadLocal)
            try:
                launch()
            except BaseException:
                with suppress(RuntimeError):  # says once more that the recording is void
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        graph.upload(stream)  # or the first replay would do it
        return graph

    def _refuse(self, reason: str) -> None:
        if not self.refusal:
            self.refusal = reason
            warnings.warn(
                f"no CUDA graph of {self._name} could be recorded ({reason}): frames are launched step by step, which "
                "takes more of the CPU",
                RuntimeWarning,
                stacklevel=3,
            )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """What a collection finalises may wait for the device, or give its memory back."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
