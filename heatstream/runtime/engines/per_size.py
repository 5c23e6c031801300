"""Engines of one model file that takes any size: one per input size, found or built when frames first ask for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import EngineError
from heatstream.model_info import ModelInfo
from heatstream.runtime.engines.base import GpuEngine, GpuRun, check_images
from heatstream.runtime.gpu.graphs import preparing

__all__ = ["PerSizeEngine"]

MOST_ENGINES = 4
"""How many are kept loaded: what a camera or a video needs is one, photographs in both directions need a few."""


class PerSizeEngine:
    """Engines that differ in their input size alone, as one engine of any size.

    Args:
        info: of the model file.
        name: for people.
        open_engine: gives the engine for images of (height, width) px, and may take minutes to build it.
        largest_batch: how many images each of them takes in one run.
    """

    def __init__(
        self,
        info: ModelInfo,
        name: str,
        open_engine: Callable[[tuple[int, int]], GpuEngine],
        *,
        largest_batch: int = 1,
    ) -> None:
        self._info = info
        self._name = name
        self._open = open_engine
        self._largest_batch = largest_batch
        self._engines: OrderedDict[tuple[int, int], GpuEngine] = OrderedDict()
        self._closed = False

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self._info

    @property
    def name(self) -> str:
        """The library and the device, for people."""
        return self._name

    @property
    def parallel_runs(self) -> int:
        """Two, as of each engine."""
        return 2

    @property
    def largest_batch(self) -> int:
        """What each of them was built for."""
        return self._largest_batch

    def for_throughput(self) -> PerSizeEngine:
        """These engines themselves."""
        return self

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see :meth:`heatstream.runtime.engines.base.Engine.run`."""
        check_images(images, self._info, self._info.name)
        _, _, height, width = images.shape
        return self._at((height, width)).run(images)

    def ready(self, size: tuple[int, int], images: int, stream: Any) -> GpuRun:
        """See :meth:`heatstream.runtime.engines.base.GpuEngine.ready`."""
        return self._at(size).ready(size, images, stream)

    def close(self) -> None:
        """Close all engines."""
        with preparing:
            self._closed = True
            while self._engines:
                self._engines.popitem()[1].close()

    def _at(self, size: tuple[int, int]) -> GpuEngine:
        with preparing:  # two threads that ask for a new size wait for one build
            if self._closed:
                raise EngineError(f"the engines of {self._info.name} are closed: load the model again")
            if size not in self._engines:
                self._engines[size] = self._open(size)
                if len(self._engines) > MOST_ENGINES:
                    self._engines.popitem(last=False)[1].close()  # a run that still holds it keeps it alive
            self._engines.move_to_end(size)
            return self._engines[size]
