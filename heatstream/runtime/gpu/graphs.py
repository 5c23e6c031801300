"""CUDA graphs: work on a stream that is recorded once and replayed by one call.

A library may refuse to be recorded. Then its work is launched call by call, which is slower and gives the same result;
the first refusal is said once, and nothing is recorded any more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from heatstream.errors import EngineError
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["GraphRecorder"]


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
        self.refusal = ""

    def record(self, launch: Callable[[], object], stream: Any, *, unable: str = "") -> Any | None:
        """The graph of what `launch` puts on a stream; it is not run. Everything must have been launched once before.

        Args:
            launch: puts work on the stream, and on streams of a library that fork from it and join it again.
            stream: not the default one.
            unable: why this cannot be recorded, where that is known beforehand.

        Returns:
            CuPy's graph; None where recording was refused, now or before.
        """
        if unable:
            self._refuse(unable)
        if self.refusal:
            return None
        cuda = self._cuda.cupy.cuda
        # Of this thread alone: what other threads allocate meanwhile is their affair.
        stream.begin_capture(mode=cuda.runtime.streamCaptureModeThreadLocal)
        ended = False
        try:
            launch()
            ended = True
            return stream.end_capture()
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError, EngineError) as error:
            self._refuse(" ".join(str(error).split()))
            return None
        finally:
            if not ended:
                with suppress(cuda.runtime.CUDARuntimeError):  # says once more that the recording is void
                    stream.end_capture()

    def _refuse(self, reason: str) -> None:
        if not self.refusal:
            self.refusal = reason
            warnings.warn(
                f"no CUDA graph of {self._name} could be recorded ({reason}): frames are launched step by step, which "
                "takes more of the CPU",
                RuntimeWarning,
                stacklevel=2,
            )
