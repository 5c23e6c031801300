"""A slot of the GPU pipeline: a stream, page-locked memory that frames are copied from, and a plan per input size."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.frames import check_frame
from heatstream.kernels.cuda.maps import Array
from heatstream.results import Result, StageTimes
from heatstream.runtime.gpu.frames import device_frame
from heatstream.runtime.gpu.graphs import preparing
from heatstream.runtime.gpu.pinned_memory import PinnedBuffer
from heatstream.runtime.pipelines.base import frame_geometry
from heatstream.runtime.pipelines.shape_plan import PosePlanConfig, ShapePlan, Upload

__all__ = ["FrameSlot", "GpuFrame"]

MOST_PLANS = 4
"""Input sizes that a slot stays ready for."""


@dataclass(frozen=True, eq=False)
class GpuFrame:
    """A frame that was looked at, while it is still on the device; valid until its slot is given back.

    Attributes:
        result: its people.
        pixels: (H, W, 3) uint8, BGR, in device memory.
        descriptors: (1, DESCRIPTOR_BYTES) uint8 in device memory: `pixels` as the kernels take a frame.
        stream: CuPy's; further work on the frame belongs on it. The people's work on it is done.
    """

    result: Result
    pixels: Array
    descriptors: Array
    stream: Any


class FrameSlot:
    """One frame in flight. Used by one thread at a time, on the device of its pipeline.

    Args:
        work: what to do.
    """

    def __init__(self, work: PosePlanConfig) -> None:
        events = work.cuda.cupy.cuda.Event
        self._work = work
        self._stream = work.cuda.stream()
        self._done = events(block=True, disable_timing=True)  # waits asleep, not spinning on a core
        self._arrived = events(disable_timing=True)
        self._host = PinnedBuffer(work.cuda, 1)
        self._frame: Array = work.cuda.cupy.empty(1, np.uint8)
        self._plans: OrderedDict[tuple[int, int], ShapePlan] = OrderedDict()

    def run(self, frame: object) -> GpuFrame:
        """Find the people in a frame and wait for them.

        Args:
            frame: (H, W, 3) uint8, BGR: NumPy's, or on the device.

        Raises:
            InputError: the frame has another shape or type, or lies on another device.
            EngineError: the engine could not be made ready.
        """
        start = time.perf_counter()
        cuda = self._work.cuda
        with cuda.range("heatstream take"):
            pixels, upload, plan = self._take(frame)
        taken = time.perf_counter()
        with cuda.range("heatstream run"):
            plan.start(upload)
            self._done.record(self._stream)
            self._done.synchronize()
        finished = time.perf_counter()
        with cuda.range("heatstream unpack"):
            poses = plan.people()
        end = time.perf_counter()
        stages = {"host copy": taken - start, "gpu": finished - taken, "unpack": end - finished}
        result = Result(poses, StageTimes(stages, latency=end - start))
        if isinstance(frame, np.ndarray):
            result = replace(result, frame=frame)
        return GpuFrame(result, pixels, plan.descriptors, self._stream)

    def stage_times(self, frame: object, repeats: int) -> dict[str, NDArray[np.float64]]:
        """See :meth:`heatstream.runtime.pipelines.pose_gpu.GpuPosePipeline.stage_times`."""
        self.run(frame)  # everything has run once
        _, upload, plan = self._take(frame)
        launches = {**plan.stages(upload), "frame": lambda: plan.launch(upload)}
        replays = {name: plan.recorded(launch) for name, launch in launches.items()}
        cuda = self._work.cuda.cupy.cuda
        events = {name: (cuda.Event(), cuda.Event()) for name in replays}
        times = {name: np.empty(repeats) for name in replays}
        for repeat in range(repeats):
            for name, replay in replays.items():
                replays["frame"]()  # keeps the GPU busy until the rest is launched, so that no launch is measured
                before, after = events[name]
                before.record(self._stream)
                replay()
                after.record(self._stream)
            self._stream.synchronize()
            for name, (before, after) in events.items():
                times[name][repeat] = cuda.get_elapsed_time(before, after) / 1e3
        return times

    def close(self) -> None:
        """Give the memory back; nothing may be running."""
        with preparing:
            while self._plans:
                self._plans.popitem()[1].close()
            self._host.close()
            self._frame = None

    def _take(self, frame: object) -> tuple[Array, Upload, ShapePlan]:
        """The frame's pixels on the device, what of them has to be copied there, and the plan for its input size."""
        if isinstance(frame, self._work.cuda.cupy.ndarray) or not isinstance(frame, np.ndarray):
            pixels, size = device_frame(frame, self._work.cuda, self._stream, self._arrived), 0
        else:
            pixels, size = self._stage(check_frame(frame))
        height, width = pixels.shape[:2]
        geometry = frame_geometry(self._work.engine.info, (height, width))
        plan = self._plan(geometry.input_size)
        plan.describe(pixels, geometry)
        return pixels, Upload(self._host, self._frame, size), plan

    def _stage(self, frame: NDArray[np.uint8]) -> tuple[Array, int]:
        """Copy a frame into page-locked memory, which grows with the largest frame."""
        size = frame.nbytes
        if size > len(self._host.bytes):
            self._stream.synchronize()  # a further stage may still be reading the old one
            with preparing, self._stream:
                for plan in self._plans.values():
                    plan.forget()  # graphs know the old memory
                self._host.close()
                self._host = PinnedBuffer(self._work.cuda, size)
                if self._host.mapped is None:
                    self._frame = self._work.cuda.cupy.empty(size, np.uint8)
        np.copyto(self._host.bytes[:size].reshape(frame.shape), frame)
        if self._host.mapped is not None:
            return self._host.mapped[:size].reshape(frame.shape), 0
        return self._frame[:size].reshape(frame.shape), size

    def _plan(self, size: tuple[int, int]) -> ShapePlan:
        if size not in self._plans:
            if len(self._plans) == MOST_PLANS:
                self._stream.synchronize()  # likewise
            with preparing, self._stream:  # what a plan uploads is there before its kernels read it
                if len(self._plans) == MOST_PLANS:
                    self._plans.popitem(last=False)[1].close()
                self._plans[size] = ShapePlan(self._work, size, self._stream)
        self._plans.move_to_end(size)
        return self._plans[size]
