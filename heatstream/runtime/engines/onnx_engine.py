"""ONNX Runtime on the CPU: the engine of machines without a GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.export.onnx_session import open_session, run_options
from heatstream.errors import EngineError, InputError, ModelFileError, first_line
from heatstream.model_info import INPUT_NAME, ModelInfo
from heatstream.runtime.engines.base import check_images
from heatstream.runtime.threads import interruptible

__all__ = ["OnnxEngine", "usable_cores"]

MOST_THREADS = 256
"""More than the cores of most machines; a hundred thousand would keep the system busy for minutes."""


def usable_cores() -> int:
    """How many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class OnnxEngine:
    """A heatstream model file in ONNX Runtime, on the CPU.

    Args:
        path: a model file that heatstream exported.
        threads: how many threads work on one frame; all usable cores when left out.
        short_side: base size in px, for a file of any size; the file's own when left out.

    Raises:
        ModelFileError: the file is missing, empty, not ONNX, not made by heatstream or contradicts itself.
        EngineError: ONNX Runtime cannot run this network.
        InputError: ``threads`` is not from 1 to 256, or the network does not take such a short side.
    """

    def __init__(self, path: str | Path, threads: int | None = None, *, short_side: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS):
            raise InputError(f"threads must be a whole number from 1 to {MOST_THREADS}, got {threads!r}")
        self._path = Path(path)
        self._threads = threads or usable_cores()
        self._session: Any | None = open_session(self._path, self._threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._info = ModelInfo.from_metadata(metadata, path=self._path)
        self._info.check_io(self._session.get_inputs(), self._session.get_outputs(), path=self._path)
        if short_side is not None:
            self._info = self._info.with_short_side(short_side)
        self._short_side = short_side
        self._output_names = list(self._info.outputs)
        self._sibling: OnnxEngine | None = None

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself, with the short side that was asked for."""
        return self._info

    @property
    def name(self) -> str:
        """The library and the device, for people."""
        return f"ONNX Runtime, CPU, {self._threads} thread{'s' if self._threads > 1 else ''}"

    @property
    def parallel_runs(self) -> int:
        """One for every core that it may use, and one more whose frame is being prepared or decoded meanwhile."""
        return min(self._threads, usable_cores()) + 1

    def for_throughput(self) -> OnnxEngine:
        """One thread per frame: several threads on one frame wait for each other at every operator."""
        if self._threads == 1:
            return self
        if self._sibling is None:
            self._sibling = OnnxEngine(self._path, 1, short_side=self._short_side)
        return self._sibling

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see :meth:`run`. Any number of threads may call it."""
        session = self._session
        if session is None:
            raise EngineError(f"the engine of {self._path} is closed: load the model again")
        check_images(images, self._info, self._path.name)
        options = run_options()
        try:
            with interruptible(lambda: setattr(options, "terminate", True)):
                outputs = session.run(self._output_names, {INPUT_NAME: images}, options)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise EngineError(f"ONNX Runtime failed on {self._path}: {first_line(error)}") from error
        maps = dict(zip(self._output_names, outputs, strict=True))
        self._check_maps(maps, images.shape)
        return maps

    def close(self) -> None:
        """Give the network's memory back."""
        self._session = None
        if self._sibling is not None:
            self._sibling.close()

    def _check_maps(self, maps: dict[str, NDArray[np.float32]], images_shape: tuple[int, ...]) -> None:
        joints = self._info.num_keypoints
        batch, _, height, width = images_shape
        for name, stride in self._info.outputs.items():
            expected = (batch, joints, height // stride, width // stride)
            if maps[name].shape != expected:
                raise ModelFileError(
                    f"{self._path} gives {name} of shape {maps[name].shape} where its description promises "
                    f"{expected}: export the model again"
                )
