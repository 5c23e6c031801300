"""Peaks on the GPU: launches the kernels of ``peaks.cu``; :mod:`peaks` says what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from heatstream.kernels.cuda.maps import Array, DeviceMaps, Kernel, check_array

__all__ = ["PeakBuffers", "select_peaks", "tile_peaks"]

THREADS = 256  # of a block, as in the source


@dataclass(frozen=True, eq=False)
class PeakBuffers:
    """Everything that finding the peaks of B images writes, in device memory; the caller's.

    Attributes:
        keys: (B, K, tiles, C) uint64, value and place of each tile's peaks.
        found: (B, K, tiles) int32, how many peaks a tile has.
        state: (B,) int32, 1 where a map is not finite, else 0; zero before the first kernel.
        counts: (B, K) int32, how many peaks a joint has.
        scores: (B, K, C) float32, heatmap values, strongest first; unused entries of these four are 0.
        pixels: (B, K, C) int32, ``y * width + x`` in the working map.
        positions: (B, K, C, 2) float32, (x, y) in px of the working map.
        tags: (B, K, C, T) float32.
        overflow: (B,) int32, how many peaks were left out; zero before the first kernel.
    """

    keys: Array
    found: Array
    state: Array
    counts: Array
    scores: Array
    pixels: Array
    positions: Array
    tags: Array
    overflow: Array

    @staticmethod
    def layout(maps: DeviceMaps, capacity: int) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
        """Shape and type of every buffer."""
        joints = (maps.images, maps.num_joints)
        peaks = (*joints, capacity)
        return {
            "keys": ((*joints, maps.tiles, capacity), np.uint64),
            "found": ((*joints, maps.tiles), np.int32),
            "state": ((maps.images,), np.int32),
            "counts": (joints, np.int32),
            "scores": (peaks, np.float32),
            "pixels": (peaks, np.int32),
            "positions": ((*peaks, 2), np.float32),
            "tags": ((*peaks, maps.tag_planes), np.float32),
            "overflow": ((maps.images,), np.int32),
        }

    def check(self, maps: DeviceMaps, capacity: int) -> None:
        """Refuse buffers that do not fit these maps.

        Raises:
            InputError: one has another shape or type, or holes.
        """
        layout = self.layout(maps, capacity)
        for field in fields(self):
            check_array(field.name, getattr(self, field.name), *layout[field.name])


def tile_peaks(
    kernels: Mapping[str, Kernel], maps: DeviceMaps, buffers: PeakBuffers, *, threshold: float, stream: Any
) -> None:
    """Every tile's best peaks, to ``keys`` and ``found``; marks images that are not finite in ``state``.

    Args:
        kernels: of ``peaks.cu``, compiled for these maps.
        maps: the maps.
        buffers: checked by the caller, once.
        threshold: a peak's value must exceed this.
        stream: where to launch; does not wait.
    """
    grid = (maps.tiles, maps.num_joints, maps.images)
    args = (maps.struct, np.float32(threshold), buffers.keys, buffers.found, buffers.state)
    kernels["tile_peaks"](grid, (THREADS,), args, stream=stream)


def select_peaks(kernels: Mapping[str, Kernel], maps: DeviceMaps, buffers: PeakBuffers, *, stream: Any) -> None:
    """Every joint's best peaks of all tiles, with positions and tags; arguments as of :func:`tile_peaks`."""
    args = (
        maps.struct,
        buffers.keys,
        buffers.found,
        np.int32(maps.tiles),
        buffers.state,
        buffers.counts,
        buffers.scores,
        buffers.pixels,
        buffers.positions,
        buffers.tags,
        buffers.overflow,
    )
    kernels["select_peaks"]((maps.num_joints, maps.images), (THREADS,), args, stream=stream)
