"""The pipeline: one frame in, its people out, in three steps that may run on different threads.

::

    frame -> prepare -> images -> infer -> maps -> decode -> Poses
             letterbox           engine           aggregate, peaks, grouping, back to source px
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.model_file import ModelInfo
from heatstream.errors import InputError, ModelFileError
from heatstream.kernels import DecodeSettings, Geometry, aggregate, decode_poses, letterbox
from heatstream.results import Poses
from heatstream.runtime.engine import Engine

__all__ = ["Inferred", "Pipeline", "Prepared"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame as the network takes it.

    Attributes:
        images: (1, 3, height, width) float32, RGB, normalised.
        geometry: the way from source px to input px.
    """

    images: NDArray[np.float32]
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Inferred:
    """What the network made of a frame.

    Attributes:
        maps: by name, (1, K, height / stride, width / stride) float32.
        geometry: the way from source px to input px.
    """

    maps: dict[str, NDArray[np.float32]]
    geometry: Geometry


class Pipeline:
    """Finds the people in BGR frames of any size.

    The three steps keep no state: they may be called from several threads, as far as the engine allows.

    Args:
        engine: the network; the pipeline closes it.
        settings: how to decode; what the model file recommends when left out.

    Raises:
        ModelFileError: the model file's decode settings cannot be used.
        InputError: the settings ask for a skeleton of another size than the network's.
    """

    def __init__(self, engine: Engine, settings: DecodeSettings | None = None) -> None:
        self.engine = engine
        self.settings = _settings_for(engine.info, settings)

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.engine.info

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
        return self.decode(self.infer(self.prepare(frame)))

    def prepare(self, frame: NDArray[np.uint8]) -> Prepared:
        """Bring a frame, (H, W, 3) uint8 BGR, to the network's size, and normalise it.

        Raises:
            InputError: the frame is empty, or not (H, W, 3) uint8.
        """
        _check_frame(frame)
        info = self.info
        size = frame.shape[0], frame.shape[1]
        if info.any_size:
            geometry = Geometry.reference(size, info.input_size[0])
        else:
            geometry = Geometry.fit(size, info.input_size)
        return Prepared(letterbox(frame, geometry, info.mean, info.std), geometry)

    def infer(self, prepared: Prepared) -> Inferred:
        """Run the network.

        Raises:
            EngineError: the device failed.
        """
        return Inferred(self.engine.run(prepared.images), prepared.geometry)

    def decode(self, inferred: Inferred) -> Poses:
        """Find the people in the network's maps, in px of the source frame.

        Maps with NaN or infinite values give nobody, and a RuntimeWarning.
        """
        maps, geometry = inferred.maps, inferred.geometry
        heatmaps, tags = aggregate(
            (maps["heatmaps_quarter"], maps["heatmaps_half"]),
            maps["tags"],
            size=geometry.input_size if self.info.project else None,
        )
        (poses,) = decode_poses(heatmaps, tags, self.settings)
        keypoints = geometry.to_source(poses.keypoints, (heatmaps.shape[2], heatmaps.shape[3]))
        keypoints[poses.keypoint_scores == 0] = 0  # a missing keypoint stays at (0, 0)
        return replace(poses, keypoints=keypoints)

    def side_by_side(self) -> Pipeline:
        """The same pipeline for several frames at once; see :meth:`heatstream.runtime.engine.Engine.side_by_side`."""
        engine = self.engine.side_by_side()
        return self if engine is self.engine else Pipeline(engine, self.settings)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _settings_for(info: ModelInfo, settings: DecodeSettings | None) -> DecodeSettings:
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


def _check_frame(frame: NDArray[np.uint8]) -> None:
    if not isinstance(frame, np.ndarray):
        raise InputError(f"a frame must be a NumPy array (H, W, 3) uint8, got {type(frame).__name__}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
    if frame.size == 0:
        raise InputError(f"a frame must hold pixels, got {frame.shape}")
