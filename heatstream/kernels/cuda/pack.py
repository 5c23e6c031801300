"""Pack on the GPU: launches the kernel of ``pack.cu``; :mod:`pack` reads what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heatstream.kernels.cuda.group import PeopleBuffers
from heatstream.kernels.cuda.maps import Array, DeviceMaps, Kernel, check_array
from heatstream.kernels.cuda.peaks import PeakBuffers
from heatstream.kernels.reference.pack import packed_dtype

__all__ = ["check_packed", "pack"]

THREADS = 128  # of a block, as in the source


def check_packed(maps: DeviceMaps, to_source: Array, packed: Array, capacity: int) -> None:
    """Refuse arrays that :func:`pack` would misread.

    Raises:
        InputError: one has another shape or type, or holes.
    """
    words = packed_dtype(maps.num_joints, capacity).itemsize // 4
    check_array("to_source", to_source, (maps.images, 2, 3), np.float64)
    check_array("packed", packed, (maps.images, words), np.int32)


def pack(
    kernels: Mapping[str, Kernel],
    maps: DeviceMaps,
    peaks: PeakBuffers,
    people: PeopleBuffers,
    to_source: Array,
    packed: Array,
    *,
    capacity: int,
    stream: Any,
) -> None:
    """Write the people of every image, best first, with all keypoints in source px.

    Args:
        kernels: of ``pack.cu``, compiled for these maps.
        maps: the maps, in which missing joints that refine found get their values and positions.
        peaks: of :func:`heatstream.kernels.cuda.peaks.select_peaks`.
        people: as :func:`heatstream.kernels.cuda.refine.refine` left them, or grouping where nothing is to be refined.
        to_source: (B, 2, 3) float64, the transforms from map px to source px, in device memory.
        packed: (B, words) int32 in device memory; on the host ``packed.view(packed_dtype(K, capacity))[:, 0]`` is what
            :func:`heatstream.kernels.reference.pack.unpack_poses` reads. Checked by the caller, once.
        capacity: how many people there is room for.
        stream: where to launch; does not wait.
    """
    args = (
        maps.struct,
        people.people,
        people.members,
        people.person_scores,
        peaks.scores,
        peaks.positions,
        people.best,
        peaks.overflow,
        peaks.state,
        to_source,
        np.int32(capacity),
        packed,
    )
    grid = (max(people.members.shape[1], capacity), maps.images)
    kernels["pack"](grid, (THREADS,), args, stream=stream)
