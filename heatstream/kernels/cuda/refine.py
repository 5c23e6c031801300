"""Refine on the GPU: launches the kernel of ``refine.cu``; :mod:`refine` says what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heatstream.kernels.cuda.group import PeopleBuffers
from heatstream.kernels.cuda.maps import DeviceMaps, Kernel

__all__ = ["refine"]

THREADS = 256  # of a block, as in the source


def refine(kernels: Mapping[str, Kernel], maps: DeviceMaps, buffers: PeopleBuffers, *, stream: Any) -> None:
    """For every person the best pixel of every missing joint, to ``best``.

    Args:
        kernels: of ``refine.cu``, compiled for these maps.
        maps: the maps.
        buffers: as :func:`heatstream.kernels.cuda.group.group` left them.
        stream: where to launch; does not wait.
    """
    grid = (maps.tiles, maps.num_joints, maps.images)
    args = (maps.struct, buffers.people, buffers.members, buffers.mean_tags, buffers.best)
    kernels["refine"](grid, (THREADS,), args, stream=stream)
