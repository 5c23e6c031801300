"""The pipeline: one frame in, its people out, in three steps that may run on different threads.

::

    frame -> prepare -> images -> infer -> maps -> decode -> Poses
             letterbox           engine           merge, peaks, grouping, back to source px
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError, ModelFileError
from heatstream.kernels import (
    DecodeSettings,
    Geometry,
    aggregate,
    decode_poses,
    letterbox,
    merge_flipped,
    merge_scales,
)
from heatstream.model_info import ModelInfo
from heatstream.results import Faces, Poses
from heatstream.runtime.engines.base import Engine

__all__ = [
    *("Finder", "Found", "Inferred", "Pipeline", "Prepared"),
    *("bounded", "check_frame", "frame_geometry", "settings_for"),
]


@dataclass(frozen=True, eq=False)
class Prepared:
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
class Inferred:
    """What the network made of a frame.

    Attributes:
        maps: for each of the images the maps by name, (B, K, height / stride, width / stride) float32.
        geometries: as of :class:`Prepared`.
        size: as of :class:`Prepared`.
    """

    maps: tuple[dict[str, NDArray[np.float32]], ...]
    geometries: tuple[Geometry, ...]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Found:
    """A frame's people, and where the time went.

    Attributes:
        poses: the people, coordinates in px of the frame.
        preprocess: seconds of bringing the frame to the network's size.
        engine: seconds of the network.
        decode: seconds from the network's maps to people.
        faces: their faces, from a :class:`FaceCascade`; None where nobody looks for faces.
        landmarks: seconds of looking for faces.
        faces_tried: how many heads were looked at for a face.
    """

    poses: Poses
    preprocess: float
    engine: float
    decode: float
    faces: Faces | None = None
    landmarks: float = 0.0
    faces_tried: int = 0


class Finder(Protocol):
    """What a stream asks of a pipeline, wherever it runs and whatever it finds."""

    @property
    def parallel_runs(self) -> int:
        """How many calls of :meth:`find` may overlap, from different threads, and gain by it; 1 if none may."""
        ...

    def for_throughput(self) -> Finder:
        """The same pipeline for that many overlapping calls; it may be this one itself, and is closed with it."""
        ...

    def in_order(self) -> Finder:
        """The same pipeline for one stream whose frames come one after the other, from one thread.

        It is this one itself unless the pipeline remembers something of the frame before.
        """
        ...

    def find(self, frame: Any) -> Found:
        """Find the people in a frame, with the clock running.

        Args:
            frame: (H, W, 3) uint8, BGR; it is only read. Some pipelines take frames in a GPU's memory too.

        Raises:
            InputError: this pipeline does not take such a frame.
            EngineError: the device failed.
        """
        ...


class Pipeline:
    """Finds the people in BGR frames of any size.

    The three steps keep no state: they may be called from several threads, as far as the engine allows.

    Args:
        engine: the network; the pipeline closes it.
        settings: how to decode; what the model file recommends when left out.
        flip: the flip test of the official evaluation: the mirrored frame is looked at too, its heatmaps are
            averaged with the plain ones, its tags stand beside them. Takes twice the time.
        scales: the multi-scale test of the official evaluation, which takes (0.5, 1, 2): the frame is looked at in
            each of these sizes, relative to the network's. Several must have 1 among them, because tags are taken
            from there, and be whole multiples of the smallest, so that all inputs are multiples of 64 px.
        reason: why this engine and device, for people.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the network finds landmarks in boxes instead of people, the settings ask for another skeleton than
            the network's, the scales are not such, or the network takes images of one size alone.
    """

    def __init__(
        self,
        engine: Engine,
        settings: DecodeSettings | None = None,
        *,
        flip: bool = False,
        scales: tuple[float, ...] = (1.0,),
        reason: str = "",
    ) -> None:
        if engine.info.task != "pose":
            raise InputError(f"{engine.info.name} finds landmarks in a box, not people in a frame: choose a pose model")
        self.engine = engine
        self.settings = settings_for(engine.info, settings)
        self.flip = flip
        self.scales = _checked_scales(scales, engine.info)
        self.reason = reason

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.engine.info

    @property
    def parallel_runs(self) -> int:
        """How many frames may be looked at at once and gain by it, which is the engine's affair."""
        return self.engine.parallel_runs

    def __call__(self, frame: NDArray[np.uint8]) -> Poses:
        """Find the people in a frame.

        Args:
            frame: (H, W, 3) uint8, BGR, any strides; it is only read.

        Returns:
            The people, coordinates in px of the frame.

        Raises:
            InputError: the frame is empty, or not (H, W, 3) uint8.
            EngineError: the device failed.
        """
        return self.find(frame).poses

    def find(self, frame: NDArray[np.uint8]) -> Found:
        """Find the people in a frame, with the clock running; takes and raises what a call of the pipeline does."""
        start = time.perf_counter()
        prepared = self.prepare(frame)
        after_prepare = time.perf_counter()
        inferred = self.infer(prepared)
        after_infer = time.perf_counter()
        poses = self.decode(inferred)
        end = time.perf_counter()
        return Found(
            poses, preprocess=after_prepare - start, engine=after_infer - after_prepare, decode=end - after_infer
        )

    def prepare(self, frame: NDArray[np.uint8]) -> Prepared:
        """Bring a frame, (H, W, 3) uint8 BGR, to the network's size, and normalise it.

        Raises:
            InputError: the frame is empty, or not (H, W, 3) uint8.
        """
        check_frame(frame)
        info = self.info
        geometries = self._geometries(frame.shape[0], frame.shape[1])
        images = [letterbox(frame, geometry, info.mean, info.std) for geometry in geometries[1:]]
        if self.flip:
            images = [np.concatenate([image, image[..., ::-1]]) for image in images]
        return Prepared(tuple(images), geometries[1:], geometries[0].input_size)

    def infer(self, prepared: Prepared) -> Inferred:
        """Run the network: once per scale, or twice for a flip test if it takes one image at a time.

        Raises:
            EngineError: the device failed.
        """
        return Inferred(tuple([self._run(images) for images in prepared.images]), prepared.geometries, prepared.size)

    def merge(self, inferred: Inferred) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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

    def decode(self, inferred: Inferred) -> Poses:
        """Find the people in the network's maps, in px of the source frame.

        Maps with NaN or infinite values give nobody, and a RuntimeWarning.
        """
        heatmaps, tags = self.merge(inferred)
        (poses,) = decode_poses(heatmaps, tags, self.settings)
        # All geometries lead to the same place; the official evaluation goes back by that of the smallest scale.
        keypoints = inferred.geometries[-1].to_source(poses.keypoints, (heatmaps.shape[2], heatmaps.shape[3]))
        keypoints[poses.keypoint_scores == 0] = 0  # a missing keypoint stays at (0, 0)
        return bounded(replace(poses, keypoints=keypoints))

    def for_throughput(self) -> Pipeline:
        """The same pipeline for several frames at once; see :meth:`for_throughput`."""
        engine = self.engine.for_throughput()
        if engine is self.engine:
            return self
        return Pipeline(engine, self.settings, flip=self.flip, scales=self.scales, reason=self.reason)

    def in_order(self) -> Pipeline:
        """The same pipeline for one frame after the other: this one, which remembers nothing."""
        return self

    def warm_up(self, height: int, width: int) -> None:
        """Make everything ready for frames of this size in px; on the CPU everything is."""

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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


def frame_geometry(
    info: ModelInfo, frame_size: tuple[int, int], *, scale: float = 1.0, smallest_scale: float = 1.0
) -> Geometry:
    """The way of a frame of (height, width) px into a network, as its model file says.

    Raises:
        InputError: the frame is empty.
    """
    if not info.any_size:
        return Geometry.fit(frame_size, info.input_size, convention=info.geometry)
    return Geometry.reference(
        frame_size, info.input_size[0], scale=scale, smallest_scale=smallest_scale, convention=info.geometry
    )


def bounded(poses: Poses) -> Poses:
    """The same people with scores of at most 1: they are heights of heatmaps, which networks take a little higher."""
    return replace(poses, keypoint_scores=np.minimum(poses.keypoint_scores, 1), scores=np.minimum(poses.scores, 1))


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


def settings_for(info: ModelInfo, settings: DecodeSettings | None) -> DecodeSettings:
    """How to decode a network's maps: as the model file recommends, unless other settings are given.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the settings ask for another skeleton than the network's.
    """
    if settings is None:
        try:
            settings = DecodeSettings(**info.decode)
        except (TypeError, InputError) as error:
            raise ModelFileError(
                f"the model file of {info.name} holds decode settings of another version: {error}"
            ) from None
    if settings.skeleton is None:
        settings = replace(settings, skeleton=info.skeleton)
    elif settings.skeleton != info.skeleton:
        raise InputError(f"{info.name} finds {info.skeleton}, the settings ask for {settings.skeleton}")
    return settings


def check_frame(frame: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Raises:
        InputError: the frame is empty, or not (H, W, 3) uint8.
    """
    if not isinstance(frame, np.ndarray):
        raise InputError(f"a frame must be a NumPy array (H, W, 3) uint8, got {type(frame).__name__}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
    if frame.size == 0:
        raise InputError(f"a frame must hold pixels, got {frame.shape}")
