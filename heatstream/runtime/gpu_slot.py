"""A slot of the GPU pipeline: a stream, and all the memory that one frame in flight needs on it.

::

    page-locked frame -> frame -> letterbox -> engine -> decode -> packed people -> page-locked people
    |___________________ one CUDA graph, recorded when the same work is asked for a second time _____|

Where a frame lies, how large it is and how its people get back to its px is data: a descriptor that is copied with it
and that the kernels read. So a graph depends on the network's input size and on how many bytes there are to copy, and
frames that are on the device already, wherever they lie, share one that copies none.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.kernels import DecodeSettings, Geometry
from heatstream.kernels.decode_gpu import DecodeChain
from heatstream.kernels.device import CupyDevice
from heatstream.kernels.letterbox_gpu import DESCRIPTOR_BYTES, describe, letterbox, letterbox_macros
from heatstream.kernels.maps_gpu import Array, DeviceMaps, address
from heatstream.kernels.pack import unpack_poses
from heatstream.results import Poses
from heatstream.runtime.cuda import Cuda
from heatstream.runtime.device_frames import device_frame
from heatstream.runtime.gpu_engine import GpuEngine
from heatstream.runtime.graphs import GraphRecorder
from heatstream.runtime.page_locked import PageLocked
from heatstream.runtime.pipeline import Found, check_frame, frame_geometry

__all__ = ["GpuFrame", "GpuWork", "Slot"]

CAPACITY = 128
"""People there is room for in one frame's result; more are left out, lowest scores first, with a warning."""

MOST_LANES = 4
"""Input sizes that a slot stays ready for."""

MOST_GRAPHS = 8
"""Graphs of one input size that a slot keeps: one for each size of frame, in bytes."""

TRANSFORM_BYTES = 2 * 3 * 8


@dataclass(frozen=True, eq=False)
class GpuWork:
    """What all slots do alike.

    Attributes:
        cuda: the GPU.
        engine: the network.
        settings: how to decode.
        flip: whether the mirrored frame is looked at too.
        recorder: records the graphs.
    """

    cuda: Cuda
    engine: GpuEngine
    settings: DecodeSettings
    flip: bool
    recorder: GraphRecorder


@dataclass(frozen=True, eq=False)
class GpuFrame:
    """A frame that was looked at, while it is still on the device; valid until its slot is given back.

    Attributes:
        found: its people.
        pixels: (H, W, 3) uint8, BGR, in device memory.
        descriptors: (1, DESCRIPTOR_BYTES) uint8 in device memory: `pixels` as the kernels take a frame.
        stream: CuPy's; further work on the frame belongs on it. The people's work on it is done.
    """

    found: Found
    pixels: Array
    descriptors: Array
    stream: Any


class Slot:
    """One frame in flight. Used by one thread at a time, on the device of its pipeline.

    Args:
        work: what to do.
    """

    def __init__(self, work: GpuWork) -> None:
        events = work.cuda.cupy.cuda.Event
        self._work = work
        self._stream = work.cuda.stream()
        self._done = events(block=True, disable_timing=True)  # waits asleep, not spinning on a core
        self._arrived = events(disable_timing=True)
        self._host = PageLocked(work.cuda, 1)
        self._frame: Array = work.cuda.cupy.empty(1, np.uint8)
        self._lanes: OrderedDict[tuple[int, int], _Lane] = OrderedDict()

    def find(self, frame: Any) -> GpuFrame:
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
            pixels, upload, lane = self._take(frame)
        taken = time.perf_counter()
        with cuda.range("heatstream run"):
            lane.start(upload)
            self._done.record(self._stream)
            self._done.synchronize()
        finished = time.perf_counter()
        with cuda.range("heatstream unpack"):
            poses = lane.people()
        end = time.perf_counter()
        found = Found(poses, preprocess=taken - start, engine=finished - taken, decode=end - finished)
        return GpuFrame(found, pixels, lane.descriptors, self._stream)

    def stage_times(self, frame: Any, repeats: int) -> dict[str, NDArray[np.float64]]:
        """See :meth:`heatstream.runtime.gpu_pipeline.GpuPipeline.stage_times`."""
        self.find(frame)  # everything has run once
        _, upload, lane = self._take(frame)
        launches = {**lane.stages(upload), "frame": lambda: lane.launch(upload)}
        replays = {name: lane.recorded(launch) for name, launch in launches.items()}
        cuda = self._work.cuda.cupy.cuda
        events = {name: (cuda.Event(), cuda.Event()) for name in replays}
        times = {name: np.empty(repeats) for name in replays}
        for repeat in range(repeats):
            for name, replay in replays.items():
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
        while self._lanes:
            self._lanes.popitem()[1].close()
        self._host.close()
        self._frame = None

    def _take(self, frame: Any) -> tuple[Array, int, _Lane]:
        """The frame's pixels on the device, how many bytes of them have to be copied there, and who looks at them."""
        if isinstance(frame, self._work.cuda.cupy.ndarray) or not isinstance(frame, np.ndarray):
            pixels, upload = device_frame(frame, self._work.cuda, self._stream, self._arrived), 0
        else:
            check_frame(frame)
            pixels, upload = self._stage(frame)
        height, width = pixels.shape[:2]
        geometry = frame_geometry(self._work.engine.info, (height, width))
        lane = self._lane(geometry.input_size)
        lane.describe(pixels, geometry)
        return pixels, upload, lane

    def _stage(self, frame: NDArray[np.uint8]) -> tuple[Array, int]:
        """Copy a frame into page-locked memory, which grows with the largest frame."""
        size = frame.nbytes
        if size > len(self._host.bytes):
            self._stream.synchronize()  # a further stage may still be reading the old one
            for lane in self._lanes.values():
                lane.forget()  # graphs know the old memory
            self._host.close()
            self._host = PageLocked(self._work.cuda, size)
            if self._host.mapped is None:
                self._frame = self._work.cuda.cupy.empty(size, np.uint8)
            for lane in self._lanes.values():
                lane.hold(self._host, self._frame)
        np.copyto(self._host.bytes[:size].reshape(frame.shape), frame)
        if self._host.mapped is not None:
            return self._host.mapped[:size].reshape(frame.shape), 0
        return self._frame[:size].reshape(frame.shape), size

    def _lane(self, size: tuple[int, int]) -> _Lane:
        if size not in self._lanes:
            if len(self._lanes) == MOST_LANES:
                self._stream.synchronize()  # likewise
                self._lanes.popitem(last=False)[1].close()
            self._lanes[size] = _Lane(self._work, size, self._stream)
            self._lanes[size].hold(self._host, self._frame)
        self._lanes.move_to_end(size)
        return self._lanes[size]


class _Lane:
    """A slot's memory, kernels and graphs for one input size.

    Attributes:
        descriptors: (1, DESCRIPTOR_BYTES) uint8 in device memory, that of the latest frame.
    """

    def __init__(self, work: GpuWork, size: tuple[int, int], stream: Any) -> None:
        info, cuda, cupy = work.engine.info, work.cuda, work.cuda.cupy
        self._work = work
        self._stream = stream
        self._run = work.engine.ready(size, 1 + work.flip, stream)
        outputs = self._run.outputs
        self._maps = DeviceMaps.network(
            [(outputs["heatmaps_quarter"], outputs["heatmaps_half"])],
            outputs["tags"],
            size=size if info.project else None,
            flip_indices=skeletons.get(info.skeleton).flip_indices if work.flip else None,
        )
        self._chain = DecodeChain.prepare(self._maps, work.settings, capacity=CAPACITY)
        self._letterbox = CupyDevice().kernels("letterbox", letterbox_macros(self._run.images))
        # One small copy brings both: the way back to source px, and the descriptor.
        self._host_arguments = PageLocked(cuda, TRANSFORM_BYTES + DESCRIPTOR_BYTES)
        self._arguments: Array = cupy.empty(TRANSFORM_BYTES + DESCRIPTOR_BYTES, np.uint8)
        self._to_source = self._arguments[:TRANSFORM_BYTES].view(np.float64).reshape(1, 2, 3)
        self.descriptors: Array = self._arguments[TRANSFORM_BYTES:].reshape(1, DESCRIPTOR_BYTES)
        self._packed: Array = cupy.empty(self._chain.packed_shape, np.int32)
        self._host_packed = PageLocked(cuda, self._packed.nbytes)
        self._graphs: OrderedDict[int, Any] = OrderedDict()  # by bytes to copy; None where seen once
        self._place: tuple[Any, ...] = ()  # of the frame that the arguments describe

    def hold(self, host: PageLocked, frame: Array) -> None:
        """Frames are copied from here to there from now on."""
        self._host_frame, self._frame = host, frame

    def forget(self) -> None:
        """Drop the graphs."""
        self._graphs.clear()

    def describe(self, pixels: Array, geometry: Geometry) -> None:
        """Say where the next frame lies and where it lands; its memory must stay until the work is done."""
        place = address(pixels), pixels.shape, pixels.strides
        if place == self._place:  # as of every frame of a video, which are copied to the same place
            return
        self._place = place
        arguments = self._host_arguments.bytes
        arguments[:TRANSFORM_BYTES].view(np.float64).reshape(2, 3)[:] = geometry.inverse(self._maps.size)
        arguments[TRANSFORM_BYTES:] = describe([pixels], [geometry])[0]

    def start(self, upload: int) -> None:
        """Put the whole work on the stream: call by call the first time and the second, then as a graph's replay."""
        seen, graph = upload in self._graphs, self._graphs.pop(upload, None)
        if graph is not None:
            graph.launch(self._stream)
        else:
            self.launch(upload)
            if seen:  # recorded by a thread that has just launched it: libraries prepare themselves thread by thread
                graph = self._record(lambda: self.launch(upload))
        if len(self._graphs) == MOST_GRAPHS:
            self._graphs.popitem(last=False)
        self._graphs[upload] = graph

    def launch(self, upload: int) -> None:
        """Put the whole work on the stream, call by call."""
        for name, stage in self.stages(upload).items():
            with self._work.cuda.range(f"heatstream {name}"):
                stage()

    def stages(self, upload: int) -> dict[str, Callable[[], object]]:
        """The work in its order, with `upload` bytes of the frame to copy."""
        return {
            "upload": lambda: self._upload(upload),
            "preprocess": self._preprocess,
            "engine": self._run.enqueue,
            "decode": lambda: self._chain.launch(self._maps, self._to_source, self._packed, stream=self._stream),
            "download": lambda: self._packed.data.copy_to_host_async(
                self._host_packed.address, self._packed.nbytes, self._stream
            ),
        }

    def recorded(self, launch: Callable[[], object]) -> Callable[[], object]:
        """A launch as a graph's replay, or itself where it cannot be recorded."""
        graph = self._record(launch)
        return launch if graph is None else lambda: graph.launch(self._stream)

    def people(self) -> Poses:
        """What the latest work found, once it is done."""
        packed = self._host_packed.bytes.view(np.int32).reshape(self._chain.packed_shape)
        (poses,) = unpack_poses(
            packed.view(self._chain.packed_dtype)[:, 0], self._work.engine.info.skeleton, as_started=True
        )
        return poses

    def close(self) -> None:
        """Give the page-locked memory back; CuPy's goes with the last reference."""
        self.forget()
        self._host_arguments.close()
        self._host_packed.close()

    def _record(self, launch: Callable[[], object]) -> Any | None:
        return self._work.recorder.record(launch, self._stream, unable=self._run.refusal())

    def _upload(self, size: int) -> None:
        arguments = self._arguments
        arguments.data.copy_from_host_async(self._host_arguments.address, arguments.nbytes, self._stream)
        if size:
            self._frame.data.copy_from_host_async(self._host_frame.address, size, self._stream)

    def _preprocess(self) -> None:
        info, images = self._work.engine.info, self._run.images
        letterbox(self._letterbox, self.descriptors, images[:1], info.mean, info.std, stream=self._stream)
        if self._work.flip:
            with self._stream:
                self._work.cuda.cupy.copyto(images[1], images[0, :, :, ::-1])
