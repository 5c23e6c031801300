"""Landmarks in given boxes: one frame in, the points of every face or body in it out, all as one batch.

::

    frame, boxes -> prepare -> crops -> infer -> maps -> decode -> Faces
                    crops.py          engine          expectation of the strongest pixels, back to source px

The network looks at 1.25 times the box, as in training. Boxes may be turned; upright ones without angles are cut out
exactly as the official H3R code does it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heatstream import skeletons
from heatstream.errors import InputError, ModelFileError
from heatstream.frames import check_frame
from heatstream.kernels.reference.crops import (
    crop_boxes,
    crop_rectangles,
    crop_rotated,
    merge_flipped_landmarks,
    rotated_transforms,
)
from heatstream.kernels.reference.landmarks import decode_landmarks
from heatstream.model_info import ModelInfo
from heatstream.results import Faces
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.pipelines.base import describe

__all__ = ["Crops", "LandmarkPipeline", "LandmarkSettings", "confidence", "official_boxes"]

OUTPUT = "landmarks"

LARGEST_CROP = 2.0
"""Of the frame's longer side: the official way of cutting makes a picture of a crop's own size first. Larger boxes, as
MPII has of people who fill the picture, are cut as turned ones are, without it."""

NOT_FINITE_WARNING = (
    "the network's maps hold NaN or infinite values, so {count} of {total} faces were left empty in this frame; "
    "check the model file, or use its FP32 export"
)


@dataclass(frozen=True)
class LandmarkSettings:
    """How to read a network's maps of landmarks; a model file's metadata hold what differs from here.

    Attributes:
        topk: how many pixels of a map are read; see :func:`heatstream.kernels.decode_landmarks`.
        face_threshold: a score, 0..1, below which what was looked at is taken for no face; used where faces are
            looked for, not in boxes that somebody gives. On coco_people/train, 94 of 100 faces that h3r-mobile-68
            finds right score more than the default, and 96 of 100 that it finds wrong, or where there is none, less.

    Raises:
        InputError: a value is out of its range.
    """

    topk: int = 9
    face_threshold: float = 0.15

    def __post_init__(self) -> None:
        if not isinstance(self.topk, int) or self.topk < 1:
            raise InputError(f"topk must be a whole number from 1, got {self.topk!r}")
        if not isinstance(self.face_threshold, int | float | np.floating) or not 0 <= self.face_threshold <= 1:
            raise InputError(f"face_threshold must be 0..1, got {self.face_threshold!r}")


@dataclass(frozen=True, eq=False)
class Crops:
    """What the network looks at in one frame.

    Attributes:
        images: (N, 3, height, width) float32, RGB, normalised; (2 N, ...) with the mirrored crops behind the plain
            ones in a flip test.
        transforms: (N, 2, 3) float64, from input px to source px, whose centres lie at whole numbers here, as in H3R's
            code.
        boxes: (N, 4) float32, source px, as they were given.
        angles: (N,) float32, radians, as they were given.
    """

    images: NDArray[np.float32]
    transforms: NDArray[np.float64]
    boxes: NDArray[np.float32]
    angles: NDArray[np.float32]


class LandmarkPipeline:
    """Finds the landmarks of faces, or of bodies, in boxes of BGR frames of any size.

    It keeps no state: it may be called from several threads, as far as the engine allows.

    Args:
        engine: the network; the pipeline closes it.
        flip: the flip test of the official evaluation: the mirrored crops are looked at too, and the mean of both
            results is taken. Takes twice the time.

    Raises:
        InputError: the network finds people in a frame instead of landmarks in a box.
        ModelFileError: the model file's decode settings cannot be used.
    """

    def __init__(self, engine: Engine, *, flip: bool = False) -> None:
        info = engine.info
        if info.task != "landmarks":
            raise InputError(
                f"{info.name} finds people in frames, not landmarks in boxes: choose a model such as h3r-mobile-68"
            )
        if info.any_size:
            raise InputError(f"{info.name} takes any size: export it with the `--size` that its boxes are brought to")
        self.engine = engine
        self.settings = _settings_of(info)
        self.flip = flip

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        return self.engine.info

    def __call__(self, frame: object, boxes: ArrayLike, angles: ArrayLike | None = None) -> Faces:
        """Find the landmarks in every box, in the order of the boxes.

        Args:
            frame: (H, W, 3) uint8, BGR, any strides; it is only read.
            boxes: (N, 4), x0 y0 x1 y1 in px, tight around the landmarks of the face from the brows to the chin, or
                around the body. They may reach beyond the frame. N may be 0.
            angles: (N,) radians by which boxes are turned about their middles, clockwise as one sees it, so that the
                line from a face's right eye to its left one lies along the box. When left out all are upright and cut
                exactly as the official code does it, which takes longer than angles of 0, whose landmarks differ by
                less than 0.01 of a face's size.

        Returns:
            N faces, without people. One whose maps hold NaN or infinite values has landmarks and score 0, and a
            RuntimeWarning tells of it.

        Raises:
            InputError: the frame is not (H, W, 3) uint8, a box is empty or not finite, or there is another number of
                angles.
            EngineError: the device failed, or the pipeline is closed.
        """
        crops = self.prepare(frame, boxes, angles)
        return self.decode(crops, self.infer(crops))

    def prepare(self, frame: object, boxes: ArrayLike, angles: ArrayLike | None = None) -> Crops:
        """Cut the boxes out of a frame, and bring them to the network's size; see :meth:`__call__`."""
        frame = check_frame(frame)
        regions = official_boxes(boxes)
        size, mean, std = self.info.input_size, self.info.mean, self.info.std
        turns = np.zeros(regions.shape[:1]) if angles is None else np.asarray(angles, np.float64)
        transforms = rotated_transforms(regions, turns, size)
        if angles is None:
            rectangles = crop_rectangles(regions, aspect=size[1] / size[0])
            large = (rectangles[:, 2:] - rectangles[:, :2]).max(axis=1, initial=0) > LARGEST_CROP * max(frame.shape)
            images = np.empty((len(regions), 3, *size), np.float32)
            images[~large] = crop_boxes(frame, rectangles[~large], size, mean, std)
            images[large] = crop_rotated(frame, transforms[large], size, mean, std)
        else:
            images = crop_rotated(frame, transforms, size, mean, std)
        if self.flip:
            images = np.concatenate([images, images[..., ::-1]])
        return Crops(images, transforms, (regions + 0.5).astype(np.float32), turns.astype(np.float32))

    def infer(self, crops: Crops) -> NDArray[np.float32]:
        """The network's maps of all crops, (N or 2 N, L, height / stride, width / stride) float32.

        As one batch, or one after the other where the model file takes one image at a time.

        Raises:
            EngineError: the device failed.
        """
        images = crops.images
        if not len(images):
            stride = self.info.outputs[OUTPUT]
            height, width = self.info.input_size
            return np.zeros((0, self.info.num_keypoints, height // stride, width // stride), np.float32)
        if self.info.batch in (None, len(images)):
            return self.engine.run(images)[OUTPUT]
        return np.concatenate([self.engine.run(image[None])[OUTPUT] for image in images])

    def decode(self, crops: Crops, maps: NDArray[np.float32]) -> Faces:
        """From the network's maps to landmarks in px of the source; see :meth:`__call__`."""
        topk, stride = self.settings.topk, float(self.info.outputs[OUTPUT])
        scores = confidence(maps.max(axis=(2, 3)))
        if self.flip:
            plain, mirrored = np.split(decode_landmarks(maps, topk, stride), 2)
            indices = skeletons.get(self.info.skeleton).flip_indices
            inside = merge_flipped_landmarks(plain, mirrored, indices, self.info.input_size[1])
            landmarks = inside @ crops.transforms[:, :, :2].transpose(0, 2, 1) + crops.transforms[:, None, :, 2]
            scores = scores.reshape(2, -1).mean(axis=0)
        else:
            landmarks = decode_landmarks(maps, topk, stride, to_source=crops.transforms)
        return self._faces(landmarks, scores, crops.boxes, crops.angles)

    def _faces(
        self,
        landmarks: NDArray[np.float32],
        scores: NDArray[np.float32],
        boxes: NDArray[np.floating],
        angles: NDArray[np.floating],
    ) -> Faces:
        """Faces without people; those that hold NaN are left empty, with a warning.

        Args:
            landmarks: (N, L, 2) source px, whose centres lie at whole numbers, as in H3R's code.
            scores: (N,).
            boxes: (N, 4) source px, whose centres lie at +0.5.
            angles: (N,) radians.
        """
        landmarks = landmarks + np.float32(0.5)
        broken = ~(np.isfinite(landmarks).all(axis=(1, 2)) & np.isfinite(scores))
        if broken.any():
            text = NOT_FINITE_WARNING.format(count=int(broken.sum()), total=len(broken))
            warnings.warn(text, RuntimeWarning, stacklevel=3)
            landmarks, scores = np.where(broken[:, None, None], 0, landmarks), np.where(broken, 0, scores)
        return Faces(landmarks, scores, boxes, angles, np.full(len(scores), -1), self.info.skeleton)

    def for_throughput(self) -> LandmarkPipeline:
        """The same pipeline with an engine for several frames at once."""
        engine = self.engine.for_throughput()
        return self if engine is self.engine else LandmarkPipeline(engine, flip=self.flip)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> LandmarkPipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return describe(self.engine)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


def confidence(peaks: NDArray[np.floating]) -> NDArray[np.float32]:
    """How sure the network is of each face: the mean over its landmarks of the best pixel's probability.

    Chance puts the fraction of a coordinate into one of four pixels, so a face seen well has 0.3 to 0.5, not 1.

    H3R classifies every pixel as the landmark (logit z1) or background (z0). Its head has no bias and its loss
    depends on z1 - z0 alone, so training moves the two by the same amount in opposite directions and z0 comes out
    close to -z1. The kept z1 therefore gives the probability as 1 / (1 + exp(-2 z1)).

    Args:
        peaks: (N, L) the largest value of each landmark's map.

    Returns:
        (N,) float32, 0..1; NaN where a peak is.
    """
    return np.asarray((0.5 + 0.5 * np.tanh(peaks)).mean(axis=1), np.float32)  # tanh(z) / 2 + 1/2 is that, unflowing


def _settings_of(info: ModelInfo) -> LandmarkSettings:
    try:
        return LandmarkSettings(**info.decode)
    except (TypeError, InputError) as error:
        raise ModelFileError(
            f"the model file of {info.name} holds decode settings of another version: {error}"
        ) from None


def official_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Boxes in px whose centres lie at +0.5 as those of H3R's code, where they lie at whole numbers: (N, 4) float64.

    Raises:
        InputError: they are no numbers.
    """
    try:
        array = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        raise InputError("boxes must be (N, 4) numbers, x0 y0 x1 y1") from None
    return (array.reshape(0, 4) if array.size == 0 and array.ndim == 1 else array) - 0.5
