"""The pose pipeline on the CPU: one frame in, its people out, in three steps.

::

    frame -> prepare -> images -> infer -> maps -> decode -> Poses
             letterbox           engine           merge, peaks, grouping, back to source px
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.frames import check_frame
from heatstream.kernels import (
    DecodeSettings,
    Geometry,
    aggregate,
    decode_poses,
    letterbox,
    merge_flipped,
    merge_scales,
)
from heatstream.kernels.reference.peak_list import list_peaks
from heatstream.model_info import ModelInfo
from heatstream.results import Peaks, Poses, Result, StageTimes
from heatstream.runtime.engines.base import LARGEST_BATCH, Engine
from heatstream.runtime.pipelines.base import (
    PosePipeline,
    finished,
    frame_geometry,
    of_one_size,
    settings_for,
)

__all__ = ["CpuPosePipeline", "NetworkInput", "NetworkOutput"]


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A frame as the network takes it, once per scale and from the largest scale to the smallest.

    Attributes:
        images: (1, 3, height, width) float32 each, RGB, normalised; (2, 3, height, width) with the mirrored image
            behind the plain one in a flip test.
        geometries: the way from source px to input px, for each of them.
        size: (height, width) of the input at scale 1.
    """

    images: tuple[NDArray[np.float32], ...]
    geometries: tuple[Geometry, ...]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class NetworkOutput:
    """What the network made of a frame.

    Attributes:
        maps: for each of the images the maps by name, (B, K, height / stride, width / stride) float32.
        geometries: as of :class:`NetworkInput`.
        size: as of :class:`NetworkInput`.
    """

    maps: tuple[dict[str, NDArray[np.float32]], ...]
    geometries: tuple[Geometry, ...]
    size: tuple[int, int]


class CpuPosePipeline(PosePipeline):
    """Finds the people in BGR frames of any size, with everything but the network on the CPU.

    The three steps keep no state: they may be called from several threads, as far as the engine allows.

    Args:
        engine: the network; the pipeline closes it.
        settings: how to decode; what the model file recommends when left out.
        flip: the flip test of the official evaluation: the mirrored frame is looked at too, its heatmaps are
            averaged with the plain ones, its tags stand beside them. Takes twice the time.
        scales: the multi-scale test of the official evaluation, which takes (0.5, 1, 2): the frame is looked at in
            each of these sizes, relative to the network's. Several must have 1 among them, because tags are taken
            from there, and be whole multiples of the smallest, so that all inputs are multiples of 64 px.
        reason: why this engine and device were chosen, human-readable.
        peaks: keep the peaks that people are made of in every result.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the network finds landmarks in boxes instead of people, the settings ask for another skeleton than
            the network's, the scales are not such, or the network takes images of one size alone.
    """

    def __init__(
        self,
        engine: Engine,
        settings: DecodeSettings | Mapping[str, Any] | None = None,
        *,
        flip: bool = False,
        scales: tuple[float, ...] = (1.0,),
        reason: str = "",
        peaks: bool = False,
    ) -> None:
        self._engine = engine
        self.peaks = peaks
        self.settings = settings_for(engine.info, settings)
        self.flip = flip
        self.scales = _checked_scales(scales, engine.info)
        self._reason = reason

    @property
    def engine(self) -> Engine:
        """The network."""
        return self._engine

    @property
    def reason(self) -> str:
        """Why this engine and device were chosen, human-readable."""
        return self._reason

    def __call__(self, frame: object) -> Result:
        """Find the people in a frame; see :class:`PosePipeline`."""
        start = time.perf_counter()
        image = check_frame(frame)
        prepared = self.prepare(image)
        after_prepare = time.perf_counter()
        inferred = self.infer(prepared)
        after_infer = time.perf_counter()
        poses, peaks = self._decode(inferred)
        end = time.perf_counter()
        stages = {
            "preprocess": after_prepare - start,
            "network": after_infer - after_prepare,
            "decode": end - after_infer,
        }
        return Result(poses, StageTimes(stages, latency=end - start), frame=image, peaks=peaks)

    @property
    def largest_batch(self) -> int:
        """Several where the model file leaves the number of images free."""
        return LARGEST_BATCH if self.info.batch is None else 1

    def batch(self, frames: Sequence[object]) -> list[Result]:
        """Find the people in several frames, those of one input size together; see :class:`PosePipeline`."""
        if self.largest_batch == 1:
            return super().batch(frames)
        images = [check_frame(frame) for frame in frames]
        sizes = [self._geometries(*image.shape[:2])[0].input_size for image in images]
        results: dict[int, Result] = {}
        for chosen in of_one_size(sizes, self.largest_batch):
            results.update(zip(chosen, self._together([images[index] for index in chosen]), strict=True))
        return [results[index] for index in range(len(images))]

    def prepare(self, frame: NDArray[np.uint8]) -> NetworkInput:
        """Bring a frame, (H, W, 3) uint8 BGR, to the network's size, and normalise it.

        Raises:
            InputError: the frame is empty, or not (H, W, 3) uint8.
        """
        info, (height, width) = self.info, check_frame(frame).shape[:2]
        geometries = self._geometries(height, width)
        images = [letterbox(frame, geometry, info.mean, info.std) for geometry in geometries[1:]]
        if self.flip:
            images = [np.concatenate([image, image[..., ::-1]]) for image in images]
        return NetworkInput(tuple(images), geometries[1:], geometries[0].input_size)

    def infer(self, prepared: NetworkInput) -> NetworkOutput:
        """Run the network: once per scale, or twice for a flip test if it takes one image at a time.

        Raises:
            EngineError: the device failed.
        """
        return NetworkOutput(
            tuple([self._run(images) for images in prepared.images]), prepared.geometries, prepared.size
        )

    def merge(self, inferred: NetworkOutput) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The maps of all resolutions, of the mirrored image and of all scales as one set.

        Returns:
            heatmaps (1, K, H, W) and tags (1, K, H, W, T) float32; T is 2 in a flip test, 1 otherwise. They are of
            the input's size at scale 1 where the model file asks for that, else of half the largest input's.
        """
        size = inferred.size if self.info.project else None
        flip_indices = skeletons.get(self.info.skeleton).flip_indices
        passes = []
        for scale, maps in zip(self.scales, inferred.maps, strict=True):
            heatmaps, tags = aggregate(
                (maps["heatmaps_quarter"], maps["heatmaps_half"]),
                maps["tags"],
                size=size,
            )
            if self.flip:
                plain, mirrored = (heatmaps[:1], tags[:1]), (heatmaps[1:], tags[1:])
                heatmaps, tags = merge_flipped(plain, mirrored, flip_indices)
            passes.append((scale, heatmaps, tags))
        return passes[0][1:] if len(passes) == 1 else merge_scales(passes)

    def decode(self, inferred: NetworkOutput) -> Poses:
        """Find the people in the network's maps, in px of the source frame.

        Maps with NaN or infinite values give no people, and a RuntimeWarning.
        """
        return self._decode(inferred)[0]

    def _decode(self, inferred: NetworkOutput) -> tuple[Poses, Peaks | None]:
        heatmaps, tags = self.merge(inferred)
        (poses,) = decode_poses(heatmaps, tags, self.settings)
        # All geometries lead to the same place; the official evaluation goes back by that of the smallest scale.
        geometry, map_size = inferred.geometries[-1], (heatmaps.shape[2], heatmaps.shape[3])
        keypoints = geometry.to_source(poses.keypoints, map_size)
        keypoints[poses.keypoint_scores == 0] = 0  # a missing keypoint stays at (0, 0)
        peaks = list_peaks(heatmaps[0], tags[0], self.settings, geometry.inverse(map_size)) if self.peaks else None
        return finished(replace(poses, keypoints=keypoints), self.info), peaks

    def for_throughput(self) -> CpuPosePipeline:
        """The same pipeline with an engine for several frames at once."""
        engine = self.engine.for_throughput()
        if engine is self.engine:
            return self
        return CpuPosePipeline(
            engine, self.settings, flip=self.flip, scales=self.scales, reason=self.reason, peaks=self.peaks
        )

    def warm_up(self, height: int, width: int) -> None:
        """Does nothing: on the CPU everything is ready."""

    def _close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def _together(self, images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        """The results of frames of one input size, which pass each step together."""
        start = time.perf_counter()
        prepared = [self.prepare(image) for image in images]
        after_prepare = time.perf_counter()
        scales = zip(*(each.images for each in prepared), strict=True)
        maps = [self._run(np.concatenate(views)) for views in scales]
        after_infer = time.perf_counter()
        people, views = [], 1 + self.flip
        for index, each in enumerate(prepared):
            own = slice(views * index, views * (index + 1))
            parts = tuple({name: values[own] for name, values in whole.items()} for whole in maps)
            people.append(self._decode(NetworkOutput(parts, each.geometries, each.size)))
        end = time.perf_counter()
        stages = {
            "preprocess": after_prepare - start,
            "network": after_infer - after_prepare,
            "decode": end - after_infer,
        }
        times = StageTimes(stages, latency=end - start)
        return [
            Result(poses, times, frame=image, peaks=peaks) for (poses, peaks), image in zip(people, images, strict=True)
        ]

    def _geometries(self, height: int, width: int) -> tuple[Geometry, ...]:
        """That of scale 1 first, then that of every scale."""
        return tuple(
            frame_geometry(self.info, (height, width), scale=scale, smallest_scale=self.scales[-1])
            for scale in (1.0, *self.scales)
        )

    def _run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self.info.batch in (None, len(images)):
            return self.engine.run(images)
        runs = [self.engine.run(image[None]) for image in images]
        return {name: np.concatenate([maps[name] for maps in runs]) for name in runs[0]}


def _checked_scales(scales: tuple[float, ...], info: ModelInfo) -> tuple[float, ...]:
    """From the largest to the smallest, as the official evaluation takes them."""
    if not scales or any(not 0 < scale < np.inf for scale in scales) or len(set(scales)) != len(scales):
        raise InputError(f"scales must be positive and differ, got {_listed(scales) or 'none'}")
    if len(scales) > 1 and 1 not in scales:
        raise InputError(f"tags are taken from scale 1: add it to the scales {_listed(scales)}")
    if any(scale % min(scales) for scale in scales):
        raise InputError(f"scales must be whole multiples of the smallest, such as 0.5, 1, 2; got {_listed(scales)}")
    if tuple(scales) != (1,) and not info.any_size:
        height, width = info.input_size
        raise InputError(
            f"{info.name} takes images of {height}x{width} px alone, so scale 1 is its only one: "
            "export it with `--size any`"
        )
    return tuple(sorted(scales, reverse=True))


def _listed(scales: tuple[float, ...]) -> str:
    return ", ".join(f"{scale:g}" for scale in scales)
