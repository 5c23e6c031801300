"""A plan: all that what is in flight together needs for one input size, in the order of its way through the GPU.

::

    page-locked frames -> frames -> letterbox -> engine -> decode -> packed people -> page-locked people
    |___________________ one CUDA graph, recorded when the same work is asked for a second time _____|

It is one frame, or the frames of a batch. Where each lies, how large it is and how its people get back to its px is
data: descriptors that are copied with them and that the kernels read. So a graph depends on the network's input size
and on how many bytes there are to copy, and frames that are on the device already, wherever they lie, share one that
copies none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heatstream import skeletons
from heatstream.kernels import DecodeSettings, Geometry
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.letterbox import DESCRIPTOR_BYTES, describe, letterbox, letterbox_macros
from heatstream.kernels.cuda.maps import Array, DeviceMaps, address
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.reference.pack import unpack_poses
from heatstream.results import Poses
from heatstream.runtime.engines.base import GpuEngine
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.graphs import GraphRecorder
from heatstream.runtime.gpu.pinned_memory import PinnedBuffer
from heatstream.runtime.pipelines.base import finished

__all__ = ["PosePlanConfig", "ShapePlan", "Upload"]

CAPACITY = 128
"""People there is room for in the result of each frame; more are left out, lowest scores first, with a warning."""

MOST_GRAPHS = 8
"""Graphs of one input size that a slot keeps: one for each size of frame, in bytes."""

TRANSFORM_BYTES = 2 * 3 * 8


@dataclass(frozen=True, eq=False)
class PosePlanConfig:
    """What all slots do alike.

    Attributes:
        cuda: the GPU.
        engine: the network.
        settings: how to decode.
        flip: whether the mirrored frame is looked at too.
        recorder: records the graphs.
    """

    cuda: CudaDevice
    engine: GpuEngine
    settings: DecodeSettings
    flip: bool
    recorder: GraphRecorder


@dataclass(frozen=True, eq=False)
class Upload:
    """What has to be copied of the frames.

    Attributes:
        host: where they lie, one behind the other.
        frame: device memory that they are copied to.
        size: bytes; 0 where all of them are on the device already.
    """

    host: PinnedBuffer
    frame: Array
    size: int


class ShapePlan:
    """A slot's memory, kernels and graphs for one input size and so many frames.

    Attributes:
        descriptors: (B, DESCRIPTOR_BYTES) uint8 in device memory, those of the latest frames.

    Args:
        work: what to do.
        size: (height, width) of the network's input, px.
        frames: B, how many there are together.
        stream: the slot's.
    """

    def __init__(self, work: PosePlanConfig, size: tuple[int, int], frames: int, stream: Any) -> None:
        info, cuda, cupy = work.engine.info, work.cuda, work.cuda.cupy
        self._work = work
        self._stream = stream
        self._frames = frames
        self._run = work.engine.ready(size, frames * (1 + work.flip), stream)
        outputs = self._run.outputs
        self._maps = DeviceMaps.network(
            (outputs["heatmaps_quarter"], outputs["heatmaps_half"]),
            outputs["tags"],
            size=size if info.project else None,
            flip_indices=skeletons.get(info.skeleton).flip_indices if work.flip else None,
        )
        self._chain = PoseDecoder.prepare(self._maps, work.settings, capacity=CAPACITY)
        self._letterbox = CupyDevice().kernels("letterbox", letterbox_macros(self._run.images))
        # One small copy brings both: the way back to source px, and the descriptor.
        transforms = frames * TRANSFORM_BYTES
        self._host_arguments = PinnedBuffer(cuda, transforms + frames * DESCRIPTOR_BYTES)
        self._arguments: Array = cupy.empty(transforms + frames * DESCRIPTOR_BYTES, np.uint8)
        self._to_source = self._arguments[:transforms].view(np.float64).reshape(frames, 2, 3)
        self.descriptors: Array = self._arguments[transforms:].reshape(frames, DESCRIPTOR_BYTES)
        self._packed: Array = cupy.empty(self._chain.packed_shape, np.int32)
        self._host_packed = PinnedBuffer(cuda, self._packed.nbytes)
        self._graphs: OrderedDict[int, Any] = OrderedDict()  # by bytes to copy; None where seen once
        self._place: list[tuple[Any, ...]] = []  # of the frames that the arguments describe

    def forget(self) -> None:
        """Drop the graphs, which know the memory that frames were copied from and to."""
        self._graphs.clear()

    def describe(self, frames: Sequence[Array], geometries: Sequence[Geometry]) -> None:
        """Say where the next frames lie and where they land; their memory must stay until the work is done."""
        place = [(address(pixels), pixels.shape, pixels.strides) for pixels in frames]
        if place == self._place:  # as of every frame of a video, which are copied to the same place
            return
        self._place = place
        transforms = self._frames * TRANSFORM_BYTES
        arguments = self._host_arguments.bytes
        arguments[:transforms].view(np.float64).reshape(self._frames, 2, 3)[:] = [
            geometry.inverse(self._maps.size) for geometry in geometries
        ]
        arguments[transforms:].reshape(self._frames, DESCRIPTOR_BYTES)[:] = describe(frames, geometries)

    def start(self, upload: Upload) -> None:
        """Put the whole work on the stream: call by call the first time and the second, then as a graph's replay."""
        seen, graph = upload.size in self._graphs, self._graphs.pop(upload.size, None)
        if graph is not None:
            graph.launch(self._stream)
        else:
            self.launch(upload)
            if seen:  # recorded by a thread that has just launched it: libraries prepare themselves thread by thread
                graph = self._record(lambda: self.launch(upload))
        if len(self._graphs) == MOST_GRAPHS:
            self._graphs.popitem(last=False)
        self._graphs[upload.size] = graph

    def launch(self, upload: Upload) -> None:
        """Put the whole work on the stream, call by call."""
        for name, stage in self.stages(upload).items():
            with self._work.cuda.range(f"heatstream {name}"):
                stage()

    def stages(self, upload: Upload) -> dict[str, Callable[[], object]]:
        """The work in its order."""
        return {
            "upload": lambda: self._upload(upload),
            "preprocess": self._preprocess,
            "engine": self._run.enqueue,
            "decode": lambda: self._chain.launch(self._maps, self._to_source, self._packed, stream=self._stream),
            "download": lambda: self._work.cuda.copy_to_host(self._host_packed.address, self._packed, self._stream),
        }

    def recorded(self, launch: Callable[[], object]) -> Callable[[], object]:
        """A launch as a graph's replay, or itself where it cannot be recorded."""
        graph = self._record(launch)
        return launch if graph is None else lambda: graph.launch(self._stream)

    def people(self) -> list[Poses]:
        """What the latest work found in each frame, once it is done."""
        packed = self._host_packed.bytes.view(np.int32).reshape(self._chain.packed_shape)
        found = unpack_poses(
            packed.view(self._chain.packed_dtype)[:, 0], self._work.engine.info.skeleton, as_started=True
        )
        return [finished(poses, self._work.engine.info) for poses in found]

    def close(self) -> None:
        """Give the page-locked memory back; CuPy's goes with the last reference."""
        self.forget()
        self._host_arguments.close()
        self._host_packed.close()

    def _record(self, launch: Callable[[], object]) -> Any | None:
        return self._work.recorder.record(launch, self._stream, unable=self._run.refusal())

    def _upload(self, upload: Upload) -> None:
        cuda, arguments = self._work.cuda, self._arguments
        cuda.copy_to_device(arguments, self._host_arguments.address, arguments.nbytes, self._stream)
        if upload.size:
            cuda.copy_to_device(upload.frame, upload.host.address, upload.size, self._stream)

    def _preprocess(self) -> None:
        info, images = self._work.engine.info, self._run.images
        if not self._work.flip:
            letterbox(self._letterbox, self.descriptors, images, info.mean, info.std, stream=self._stream)
            return
        for frame in range(self._frames):  # each is followed by its mirror image
            own = images[2 * frame : 2 * frame + 1]
            descriptor = self.descriptors[frame : frame + 1]
            letterbox(self._letterbox, descriptor, own, info.mean, info.std, stream=self._stream)
            with self._stream:
                self._work.cuda.cupy.copyto(images[2 * frame + 1], own[0, :, :, ::-1])
