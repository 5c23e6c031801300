"""A slot of the GPU pipeline: a stream, page-locked memory that frames are copied from, and a plan per input size."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
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
"""Input sizes, each with a number of frames, that a slot stays ready for."""


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
    """What is in flight together: one frame, or a batch. Used by one thread at a time, on the device of its pipeline.

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
        self._plans: OrderedDict[tuple[tuple[int, int], int], ShapePlan] = OrderedDict()

    def run(self, frame: object) -> GpuFrame:
        """Find the people in a frame and wait for them.

        Args:
            frame: (H, W, 3) uint8, BGR: NumPy's, or on the device.

        Raises:
            InputError: the frame has another shape or type, or lies on another device.
            EngineError: the engine could not be made ready.
        """
        (result,), (pixels, *_), plan = self._run([frame])
        return GpuFrame(result, pixels, plan.descriptors, self._stream)

    def run_batch(self, frames: Sequence[object]) -> list[Result]:
        """Find the people in several frames of one input size together, and wait for them.

        Args:
            frames: as of :meth:`run`, at most as many as the engine takes. Their number is filled up to a power of two,
                so that there are few sizes of batches to be ready for.

        Raises:
            InputError: as of :meth:`run`.
            EngineError: as of :meth:`run`.
        """
        count = 1 << (len(frames) - 1).bit_length()
        results, _, _ = self._run([*frames, *[frames[-1]] * (count - len(frames))])
        return results[: len(frames)]

    def _run(self, frames: Sequence[object]) -> tuple[list[Result], list[Array], ShapePlan]:
        start = time.perf_counter()
        cuda = self._work.cuda
        with cuda.range("heatstream take"):
            pixels, upload, plan = self._take(frames)
        taken = time.perf_counter()
        with cuda.range("heatstream run"):
            plan.start(upload)
            self._done.record(self._stream)
            self._done.synchronize()
        finished = time.perf_counter()
        with cuda.range("heatstream unpack"):
            people = plan.people()
        end = time.perf_counter()
        stages = {"host copy": taken - start, "gpu": finished - taken, "unpack": end - finished}
        times = StageTimes(stages, latency=end - start)
        results = [Result(poses, times) for poses in people]
        for index, frame in enumerate(frames):
            if isinstance(frame, np.ndarray):
                results[index] = replace(results[index], frame=frame)
        return results, pixels, plan

    def stage_times(self, frame: object, repeats: int) -> dict[str, NDArray[np.float64]]:
        """See :meth:`heatstream.runtime.pipelines.pose_gpu.GpuPosePipeline.stage_times`."""
        self.run(frame)  # everything has run once
        _, upload, plan = self._take([frame])
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

    def _take(self, frames: Sequence[object]) -> tuple[list[Array], Upload, ShapePlan]:
        """The frames' pixels on the device, what of them has to be copied there, and the plan for them."""
        pixels: list[Array] = []
        staged = [check_frame(frame) for frame in frames if self._on_host(frame)]
        size = sum(frame.nbytes for frame in staged)
        self._make_room(size)
        offset = 0
        for frame in frames:
            if not self._on_host(frame):
                pixels.append(device_frame(frame, self._work.cuda, self._stream, self._arrived))
                continue
            own = staged.pop(0)
            pixels.append(self._stage(own, offset))
            offset += own.nbytes
        info = self._work.engine.info
        geometries = [frame_geometry(info, (each.shape[0], each.shape[1])) for each in pixels]
        plan = self._plan(geometries[0].input_size, len(frames))
        plan.describe(pixels, geometries)
        copied = size if self._host.mapped is None else 0
        return pixels, Upload(self._host, self._frame, copied), plan

    def _on_host(self, frame: object) -> bool:
        return isinstance(frame, np.ndarray) and not isinstance(frame, self._work.cuda.cupy.ndarray)

    def _make_room(self, size: int) -> None:
        """Page-locked memory for so many bytes; it grows with the largest frames."""
        if size <= len(self._host.bytes):
            return
        self._stream.synchronize()  # a further stage may still be reading the old one
        with preparing, self._stream:
            for plan in self._plans.values():
                plan.forget()  # graphs know the old memory
            self._host.close()
            self._host = PinnedBuffer(self._work.cuda, size)
            if self._host.mapped is None:
                self._frame = self._work.cuda.cupy.empty(size, np.uint8)

    def _stage(self, frame: NDArray[np.uint8], offset: int) -> Array:
        """Copy a frame into page-locked memory; gives where it will be on the device."""
        own = slice(offset, offset + frame.nbytes)
        np.copyto(self._host.bytes[own].reshape(frame.shape), frame)
        there = self._frame if self._host.mapped is None else self._host.mapped
        return there[own].reshape(frame.shape)

    def _plan(self, size: tuple[int, int], frames: int) -> ShapePlan:
        key = size, frames
        if key not in self._plans:
            if len(self._plans) == MOST_PLANS:
                self._stream.synchronize()  # likewise
            with preparing, self._stream:  # what a plan uploads is there before its kernels read it
                if len(self._plans) == MOST_PLANS:
                    self._plans.popitem(last=False)[1].close()
                self._plans[key] = ShapePlan(self._work, size, frames, self._stream)
        self._plans.move_to_end(key)
        return self._plans[key]
