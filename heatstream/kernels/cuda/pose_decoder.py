"""The decode on the GPU: the chain of kernels from maps to packed people, with all the memory it needs.

::

    maps -> tile_peaks -> select_peaks -> group -> refine -> pack -> one struct per image

A :class:`PoseDecoder` is made once for a configuration; its :meth:`PoseDecoder.launch` puts the kernels on a stream and
does nothing else, so that it can be captured into a CUDA graph. :func:`decode_on_gpu` is what
:func:`heatstream.kernels.decode_poses` calls for CuPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heatstream.errors import InputError
from heatstream.extras import require
from heatstream.kernels.cuda.device import CupyDevice, Device
from heatstream.kernels.cuda.group import PeopleBuffers, group
from heatstream.kernels.cuda.maps import Array, DeviceMaps, Kernel, decode_macros
from heatstream.kernels.cuda.pack import check_packed, pack
from heatstream.kernels.cuda.peaks import PeakBuffers, select_peaks, tile_peaks
from heatstream.kernels.cuda.refine import refine
from heatstream.kernels.reference.pack import packed_dtype, unpack_poses
from heatstream.kernels.settings import DecodeSettings
from heatstream.results import Poses
from heatstream.skeletons import Skeleton

__all__ = ["SOURCES", "PoseDecoder", "decode_on_gpu"]

SOURCES = ("peaks", "group", "refine", "pack")  # with refine off its source is not needed


@dataclass(frozen=True, eq=False)
class PoseDecoder:
    """The decode of one configuration: compiled kernels and everything they write on the way.

    One chain serves one stream at a time: two launches at once would write the same buffers.

    Attributes:
        settings: how to decode.
        capacity: how many people there is room for in the result of one image.
        images: B.
        size: (height, width) of the working maps, px.
        macros: what the kernels are compiled for.
        device: where the memory lies.
        kernels: by name.
        counters: (2, B) int32, the buffers' ``state`` and ``overflow`` in one piece, cleared by every launch.
        peaks: what is found per joint.
        people: what is found per person.
    """

    settings: DecodeSettings
    capacity: int
    images: int
    size: tuple[int, int]
    macros: Mapping[str, int]
    device: Device
    kernels: Mapping[str, Kernel]
    counters: Array
    peaks: PeakBuffers
    people: PeopleBuffers

    @classmethod
    def prepare(
        cls, maps: DeviceMaps, settings: DecodeSettings, *, capacity: int = 128, device: Device | None = None
    ) -> PoseDecoder:
        """Compile the kernels and allocate the memory for maps like these.

        Args:
            maps: any maps of the number, the sizes and the type to come.
            settings: how to decode.
            capacity: how many people there is room for in the result of one image; see
                :func:`heatstream.kernels.reference.pack.packed_dtype`.
            device: CuPy's current device when left out.

        Raises:
            InputError: the settings ask for more than the kernels hold, or no skeleton has so many keypoints.
            KernelError: the kernels do not compile for this GPU.
            MissingExtraError: CuPy or NVRTC is not installed.
        """
        macros = decode_macros(maps, settings)
        order = settings.skeleton_of(maps.num_joints).grouping_order
        if capacity < 1:
            raise InputError(f"capacity, the people that one image's result has room for, must be positive: {capacity}")
        device = device or CupyDevice()
        sources = [source for source in SOURCES if settings.refine or source != "refine"]
        kernels = {name: kernel for source in sources for name, kernel in device.kernels(source, macros).items()}

        most = settings.max_people
        counters = device.empty((2, maps.images), np.int32)
        given = {"state": counters[0], "overflow": counters[1], "order": device.upload(np.array(order, np.int32))}
        layouts = PeakBuffers.layout(maps, most) | PeopleBuffers.layout(maps, most)
        buffers = given | {name: device.empty(*layouts[name]) for name in layouts if name not in given}
        chain = cls(
            settings=settings,
            capacity=capacity,
            images=maps.images,
            size=maps.size,
            macros=macros,
            device=device,
            kernels=kernels,
            counters=counters,
            peaks=PeakBuffers(**{name: buffers[name] for name in PeakBuffers.layout(maps, most)}),
            people=PeopleBuffers(**{name: buffers[name] for name in PeopleBuffers.layout(maps, most)}),
        )
        chain.peaks.check(maps, most)
        chain.people.check(maps, most)
        return chain

    @property
    def packed_dtype(self) -> np.dtype[np.void]:
        """The struct of one image's people: ``packed.view(chain.packed_dtype)[:, 0]`` of the copied result."""
        return packed_dtype(self.macros["NUM_JOINTS"], self.capacity)

    @property
    def packed_shape(self) -> tuple[int, int]:
        """(B, words) of the int32 array that the result is written to."""
        return self.images, self.packed_dtype.itemsize // 4

    def launch(self, maps: DeviceMaps, to_source: Array, packed: Array, *, stream: Any) -> None:
        """Put the whole decode on a stream. Returns at once, allocates nothing; may be captured into a graph.

        Args:
            maps: like those of :meth:`prepare`; their memory must stay as it is until the kernels have run.
            to_source: (B, 2, 3) float64 in device memory, the transforms from map px to source px.
            packed: :attr:`packed_shape` int32 in device memory, written.
            stream: CuPy's.

        Raises:
            InputError: the arrays are not those that the chain was prepared for.
        """
        if (maps.images, maps.size, decode_macros(maps, self.settings)) != (self.images, self.size, self.macros):
            raise InputError(
                f"this decode was prepared for {self.images} images of {self.size} px and {dict(self.macros)}, "
                f"got {maps.images} of {maps.size} px and {maps.macros}"
            )
        check_packed(maps, to_source, packed, self.capacity)
        self.device.clear(self.counters, stream)
        tile_peaks(self.kernels, maps, self.peaks, threshold=self.settings.detection_threshold, stream=stream)
        select_peaks(self.kernels, maps, self.peaks, stream=stream)
        group(self.kernels, self.peaks, self.people, self.settings, stream=stream)
        if self.settings.refine:
            refine(self.kernels, maps, self.people, stream=stream)
        pack(
            self.kernels,
            maps,
            self.peaks,
            self.people,
            to_source,
            packed,
            capacity=self.capacity,
            stream=stream,
        )


def decode_on_gpu(heatmaps: Array, tags: Array, settings: DecodeSettings, skeleton: Skeleton) -> list[Poses]:
    """What :func:`heatstream.kernels.decode_poses` does for CuPy arrays, of shapes that it has checked.

    Works on the current stream of the arrays' device and waits for the result. Memory comes from CuPy's pool and goes
    back to it; a pipeline keeps a :class:`PoseDecoder` instead.

    Raises:
        InputError: only one of the arrays is CuPy's, or there is something that the kernels cannot do.
    """
    cupy = require("cupy", extra="gpu", purpose="decoding CuPy arrays")
    for name, array in (("heatmaps", heatmaps), ("tags", tags)):
        if not isinstance(array, cupy.ndarray):
            raise InputError(f"heatmaps and tags must both lie on the GPU or both be NumPy's; {name} are not CuPy's")
    if not len(heatmaps):
        return []
    with heatmaps.device:
        real = np.float16 if heatmaps.dtype == tags.dtype == np.float16 else np.float32
        maps = DeviceMaps.plain(cupy.ascontiguousarray(heatmaps, real), cupy.ascontiguousarray(tags, real))
        # Room for everybody: every detection may start a person, as in the reference.
        chain = PoseDecoder.prepare(maps, settings, capacity=maps.num_joints * settings.max_people)
        to_source = cupy.asarray(np.tile(np.eye(2, 3), (maps.images, 1, 1)))
        packed = cupy.empty(chain.packed_shape, np.int32)
        chain.launch(maps, to_source, packed, stream=cupy.cuda.get_current_stream())
        people = packed.get().view(chain.packed_dtype)[:, 0]
    return unpack_poses(people, skeleton.name, as_started=True)
