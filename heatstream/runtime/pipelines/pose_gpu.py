"""The pipeline on a GPU: all steps from the uploaded frame to the packed people in one CUDA graph.

A frame passes five objects::

    GpuPosePipeline   takes a free slot                           pose_gpu.py
    FrameSlot         copies the frame into page-locked memory    frame_slot.py
    ShapePlan         the graph: letterbox, and the two below     shape_plan.py
    GpuRun            the network                                 engines/tensorrt_engine.py, torch_engine.py
    PoseDecoder       peaks, grouping, refine, pack               kernels/cuda/pose_decoder.py

Two frames are in flight, so that one is copied while the other is in the network. It finds what
:class:`heatstream.runtime.pipelines.pose.CpuPosePipeline` finds with the same model file, up to the rounding of FP16.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import EngineError, InputError
from heatstream.kernels import DecodeSettings
from heatstream.results import Result
from heatstream.runtime.engines.base import LARGEST_BATCH, GpuEngine
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.graphs import GraphRecorder
from heatstream.runtime.pipelines.base import (
    PosePipeline,
    frame_geometry,
    of_one_size,
    settings_for,
)
from heatstream.runtime.pipelines.frame_slot import FrameSlot, GpuFrame
from heatstream.runtime.pipelines.shape_plan import PosePlanConfig

__all__ = ["GpuPosePipeline"]

FRAMES_IN_FLIGHT = 2
"""Frames in flight: one is copied and unpacked while the other is in the network."""

CLOSE_SECONDS = 5.0
"""How long to wait for frames in flight when the pipeline is closed."""


class GpuPosePipeline(PosePipeline):
    """Finds the people in BGR frames of any size, on a GPU. Any number of threads may call it.

    Nothing is allocated on the device once every slot has seen two frames of a size; :meth:`warm_up` sees to that.

    Args:
        engine: the network; the pipeline closes it.
        cuda: the GPU that it is on.
        settings: how to decode; what the model file recommends when left out.
        flip: look at the mirrored frame too; see :class:`heatstream.runtime.pipelines.pose.CpuPosePipeline`.
        reason: why this engine and device were chosen, human-readable.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the network finds landmarks in boxes instead of people, or the settings ask for another skeleton.
    """

    def __init__(
        self,
        engine: GpuEngine,
        cuda: CudaDevice,
        settings: DecodeSettings | Mapping[str, Any] | None = None,
        *,
        flip: bool = False,
        reason: str = "",
    ) -> None:
        self._engine = engine
        self.settings = settings_for(engine.info, settings)
        self.flip = flip
        self._reason = reason
        self._cuda = cuda
        self._recorder = GraphRecorder(cuda, engine.name)
        self._closed = False
        self._warming = threading.Lock()
        self._free: queue.LifoQueue[FrameSlot | None] = queue.LifoQueue()  # the latest used one is the warmest
        work = PosePlanConfig(cuda, engine, self.settings, flip, self._recorder)
        with cuda.current(), cuda.errors("preparing the pipeline"):
            for _ in range(FRAMES_IN_FLIGHT):
                self._free.put(FrameSlot(work))

    @property
    def engine(self) -> GpuEngine:
        """The network."""
        return self._engine

    @property
    def reason(self) -> str:
        """Why this engine and device were chosen, human-readable."""
        return self._reason

    @property
    def graph_refusal(self) -> str:
        """Why frames are launched call by call; empty where they are replayed as graphs."""
        return self._recorder.refusal

    @property
    def parallel_runs(self) -> int:
        """How many frames may be in flight."""
        return FRAMES_IN_FLIGHT

    @property
    def largest_batch(self) -> int:
        """As many as the engine takes in a run, half of that in a flip test."""
        return max(1, min(LARGEST_BATCH, self.engine.largest_batch // (1 + self.flip)))

    def batch(self, frames: Sequence[object]) -> list[Result]:
        """Find the people in several frames, those of one input size in one graph; see :class:`PosePipeline`."""
        if self.largest_batch == 1:
            return super().batch(frames)
        sizes = [frame_geometry(self.info, _size_of(frame)).input_size for frame in frames]
        results: dict[int, Result] = {}
        for chosen in of_one_size(sizes, self.largest_batch):
            with self._slot() as slot:
                results.update(zip(chosen, slot.run_batch([frames[index] for index in chosen]), strict=True))
        return [results[index] for index in range(len(frames))]

    def __call__(self, frame: object) -> Result:
        """Find the people in a frame; see :class:`PosePipeline`.

        The times are the host's: handing the frame over (which copies it into page-locked memory), waiting for the
        GPU, which copies, runs the network and decodes, and unpacking the people. :meth:`stage_times` looks into the
        GPU.
        """
        with self.run_on_device(frame) as found:
            return found.result

    @contextmanager
    def run_on_device(self, frame: object) -> Iterator[GpuFrame]:
        """Find the people in a frame and keep it on the device for a further stage, as long as the block lasts.

        Work that the block puts on the frame's stream needs to be waited for by whoever reads its results, not by us:
        the slot's next frame comes after it on the same stream.

        Args:
            frame: what :class:`PosePipeline` takes.

        Raises:
            InputError: the frame is not (H, W, 3) uint8, or lies on another GPU.
            EngineError: the device failed, or has no memory left.
        """
        with self._slot() as slot:
            yield slot.run(frame)

    def warm_up(self, height: int, width: int) -> None:
        """Make everything ready for frames of this size in px: build the engine if need be, allocate, record graphs.

        Without it the first frames take that time.

        Raises:
            EngineError: the device failed, has no memory left, or an engine could not be built.
        """
        black = np.zeros((height, width, 3), np.uint8)
        with self._warming, self._slot() as one, self._slot() as other:
            for slot in (one, other) * 3:  # launched, recorded, replayed
                slot.run(black)

    def stage_times(self, frame: object, repeats: int = 100) -> dict[str, NDArray[np.float64]]:
        """How long the GPU takes for each stage of a frame, by its own clock.

        Args:
            frame: what :class:`PosePipeline` takes.
            repeats: how often to measure.

        Returns:
            (repeats,) float64 seconds of ``"upload"``, ``"preprocess"``, ``"engine"``, ``"decode"`` and ``"download"``,
            each a graph of its own, and of ``"frame"``, the whole frame as a call runs it. Where the engine refuses to
            be recorded they are launched call by call, and a stage's time holds the host's.

        Raises:
            InputError: the frame is not (H, W, 3) uint8, or lies on another GPU.
            EngineError: the device failed, or has no memory left.
        """
        with self._slot() as slot:
            return slot.stage_times(frame, repeats)

    def _close(self) -> None:
        """Give the memory back and close the engine, once the frames in flight are done."""
        if self._closed:
            return
        self._closed = True
        with self._cuda.current():
            for _ in range(FRAMES_IN_FLIGHT):
                try:
                    slot = self._free.get(timeout=CLOSE_SECONDS)
                except queue.Empty:  # a thread hangs in the driver: its slot goes with the process
                    break
                assert slot is not None
                slot.close()
            self._free.put(None)  # threads that wait for a slot learn that the pipeline is closed
            self.engine.close()

    @contextmanager
    def _slot(self) -> Iterator[FrameSlot]:
        """A free slot, with its device current and the device's errors as ours."""
        slot = self._free.get()
        try:
            if slot is None:
                raise EngineError(f"the pipeline of {self.info.name} is closed: load the model again")
            with self._cuda.current(), self._cuda.errors(f"finding people with {self.info.name}"):
                yield slot
        finally:
            self._free.put(slot)


def _size_of(frame: object) -> tuple[int, int]:
    """(height, width) px of a frame, wherever it lies."""
    shape = tuple(getattr(frame, "shape", ()))
    if len(shape) != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {shape or type(frame).__name__}")
    return int(shape[0]), int(shape[1])
