"""What the pipeline asks of an engine: a network that is ready to run on some device."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.model_file import ModelInfo

__all__ = ["Engine"]


class Engine(Protocol):
    """A network on a device. :class:`heatstream.runtime.onnx_engine.OnnxEngine` is the one for CPUs."""

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        ...

    @property
    def name(self) -> str:
        """The library and the device, for people: ``"ONNX Runtime, CPU, 4 threads"``."""
        ...

    @property
    def parallel_runs(self) -> int:
        """How many calls of :meth:`run` may overlap, from different threads, and gain by it; 1 if none may."""
        ...

    def side_by_side(self) -> Engine:
        """The same network for that many overlapping calls: most frames per second rather than least latency.

        It may be this engine itself, and is closed with it.
        """
        ...

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network and wait for the result.

        Args:
            images: (B, 3, height, width) float32, RGB, normalised as :attr:`info` says.

        Returns:
            The maps by name, (B, K, height / stride, width / stride) float32; the caller's own memory.

        Raises:
            InputError: the images have a shape that this network does not take.
            EngineError: the device failed.
        """
        ...

    def close(self) -> None:
        """Give the network's memory back. Closing twice is harmless; running afterwards raises EngineError."""
        ...
