"""Grouping on the GPU: launches the kernel of ``group.cu``; :mod:`group` says what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from heatstream.kernels.cuda.maps import Array, DeviceMaps, Kernel, check_array
from heatstream.kernels.cuda.peaks import PeakBuffers
from heatstream.kernels.settings import DecodeSettings

__all__ = ["PeopleBuffers", "group"]

THREADS = 32  # of a block: one warp per image


@dataclass(frozen=True, eq=False)
class PeopleBuffers:
    """Everything that grouping reads beside the peaks, and writes, in device memory; the caller's.

    There is room for P = K * C people per image, one per detection; rows beyond ``people`` are not written.

    Attributes:
        order: (K,) int32, the joints in the order in which they are matched; the caller's input.
        people: (B,) int32, how many there are.
        members: (B, P, K) uint8, which of the joint's peaks a person holds, 255 where none.
        mean_tags: (B, P, T) float32, of each person's peaks.
        person_scores: (B, P) float32, mean over all joints.
        best: (B, P, K) uint64, where :func:`heatstream.kernels.cuda.refine.refine` finds a missing joint; 0 before.
    """

    order: Array
    people: Array
    members: Array
    mean_tags: Array
    person_scores: Array
    best: Array

    @staticmethod
    def layout(maps: DeviceMaps, capacity: int) -> dict[str, tuple[tuple[int, ...], type[np.generic]]]:
        """Shape and type of every buffer."""
        people = (maps.images, maps.num_joints * capacity)
        return {
            "order": ((maps.num_joints,), np.int32),
            "people": ((maps.images,), np.int32),
            "members": ((*people, maps.num_joints), np.uint8),
            "mean_tags": ((*people, maps.tag_planes), np.float32),
            "person_scores": (people, np.float32),
            "best": ((*people, maps.num_joints), np.uint64),
        }

    def check(self, maps: DeviceMaps, capacity: int) -> None:
        """Refuse buffers that do not fit these maps.

        Raises:
            InputError: one has another shape or type, or holes.
        """
        layout = self.layout(maps, capacity)
        for field in fields(self):
            check_array(field.name, getattr(self, field.name), *layout[field.name])


def group(
    kernels: Mapping[str, Kernel], peaks: PeakBuffers, buffers: PeopleBuffers, settings: DecodeSettings, *, stream: Any
) -> None:
    """Join the peaks of all joints to people, and leave out people below ``person_threshold``.

    Args:
        kernels: of ``group.cu``, compiled for these maps.
        peaks: of :func:`heatstream.kernels.cuda.peaks.select_peaks`.
        buffers: checked by the caller, once.
        settings: the thresholds and the cost.
        stream: where to launch; does not wait.
    """
    args = (
        peaks.counts,
        peaks.scores,
        peaks.tags,
        buffers.order,
        np.float64(settings.tag_threshold),
        np.int32(settings.use_detection_score),
        np.float32(settings.person_threshold),
        buffers.people,
        buffers.members,
        buffers.mean_tags,
        buffers.person_scores,
        buffers.best,
    )
    kernels["group"]((len(buffers.people),), (THREADS,), args, stream=stream)
