"""The CUDA sources of heatstream/kernels on the emulator, and the references' results as the kernels keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels import DecodeSettings
from heatstream.kernels.cuda.compiler import SOURCES
from heatstream.kernels.cuda.maps import DeviceMaps, Kernel
from heatstream.kernels.cuda.peaks import PeakBuffers
from heatstream.kernels.reference.peaks import Candidates, find_peaks
from heatstream.kernels.reference.subpixel import refine_positions
from tests.emulator.build import launch, load

__all__ = ["UNWRITTEN", "Order", "blank", "detect", "kernels", "peak_buffers"]

UNWRITTEN = 77  # what buffers hold that nobody has written

Order = str | int
Buffers = TypeVar("Buffers")


def kernels(source: str, macros: Mapping[str, int], order: Order = "forward") -> dict[str, Kernel]:
    """The kernels of ``source.cu`` as the launchers take them; threads run in the given order, arrays are NumPy's."""

    def callable_of(kernel: Any) -> Kernel:
        def call(grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, stream: Any) -> None:
            launch(kernel, grid, block, 0, args, order=order)

        return call

    return {name: callable_of(kernel) for name, kernel in load(SOURCES / f"{source}.cu", defines=macros).items()}


def blank(kind: type[Buffers], layout: Mapping[str, tuple[tuple[int, ...], type[np.generic]]]) -> Buffers:
    """Buffers of that layout, full of marks."""
    return kind(**{name: np.full(shape, UNWRITTEN, dtype) for name, (shape, dtype) in layout.items()})


def detect(
    heatmaps: NDArray[np.float32], tags: NDArray[np.float32], settings: DecodeSettings
) -> list[tuple[Candidates, NDArray[np.float32]]]:
    """Peaks and their tags (K, C, T) in each image of (B, K, H, W) and (B, K, H, W, T) maps, by the references."""
    found = []
    for image, image_tags in zip(heatmaps, tags, strict=True):
        peaks = find_peaks(
            image,
            threshold=settings.detection_threshold,
            nms_kernel=settings.nms_kernel,
            capacity=settings.max_people,
            plateaus=settings.plateaus,
        )
        x, y = peaks.pixels[..., 0], peaks.pixels[..., 1]
        found.append((peaks, image_tags[np.arange(len(image))[:, None], y, x]))
    return found


def peak_buffers(
    maps: DeviceMaps,
    found: Sequence[tuple[Candidates, NDArray[np.float32]]],
    heatmaps: NDArray[np.float32] | None = None,
    settings: DecodeSettings | None = None,
) -> PeakBuffers:
    """What select_peaks would write for these detections; their positions only where heatmaps are given."""
    capacity = found[0][0].scores.shape[1]
    buffers = blank(PeakBuffers, PeakBuffers.layout(maps, capacity))
    buffers.state[:] = 0
    for image, (peaks, tags) in enumerate(found):
        buffers.counts[image], buffers.scores[image], buffers.tags[image] = peaks.counts, peaks.scores, tags
        buffers.overflow[image] = peaks.overflow
        if heatmaps is not None and settings is not None:
            for joint, count in enumerate(peaks.counts):
                pixels = peaks.pixels[joint, :count]
                joints = np.full(count, joint)
                buffers.positions[image, joint, :count] = refine_positions(
                    heatmaps[image], joints, pixels, settings.adjust
                )
    return buffers
