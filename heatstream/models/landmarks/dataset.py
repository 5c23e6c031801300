"""Training samples of landmarks: one face or body each, cut out of its photo, turned, scaled, shifted and mirrored.

Targets are not drawn here: the device does that from `LandmarkSample.points`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from heatstream.errors import DatasetError
from heatstream.kernels.reference.crops import crop_rectangles
from heatstream.models.data.mixture import Mixture
from heatstream.models.data.photometric import alter
from heatstream.models.data.root import find_root
from heatstream.models.landmarks.crop_sampling import draw_window
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.landmarks.readers.formats import read_examples
from heatstream.models.settings import LandmarkAugmentSettings, LandmarkDataSettings, LandmarkSetSettings
from heatstream.skeletons import Skeleton

__all__ = ["LandmarkSample", "LandmarkTrainingSet", "load_landmark_set"]

FINER = 1.25
"""Resolution of the held faces over the network's: windows closer than the usual still find what they need."""


class LandmarkSample(NamedTuple):
    """One training sample with L landmarks; collated, the same fields as tensors with a batch axis in front.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        points: (L, 2) float32, x and y in input px as :func:`heatstream.kernels.decode_landmarks` gives them; NaN for
            landmarks without a label. Some may lie outside the window.
        index: int64, which face; `LandmarkTrainingSet.photo_name` says its file.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float32]
    index: np.int64  # type: ignore[assignment]  # takes the place of tuple.index, which nobody wants of a sample


@dataclass(frozen=True)
class _Face:
    """The part of a photo that windows can show, no finer than they need it.

    Attributes:
        picture: (h, w, 3) uint8 RGB.
        matrix: (2, 3) float64, from px of the photo to px of the picture, both with pixel centres at +0.5.
    """

    picture: NDArray[np.uint8]
    matrix: NDArray[np.float64]


class LandmarkTrainingSet:
    """Augmented samples by global number, for torch's DataLoader: `self[i]` is a pure function of (seed, i).

    Args:
        sets: each set's settings and its faces or bodies.
        size: (height, width) of the samples in input px.
        augment: how they differ from the labelled boxes.
        skeleton: for the landmarks that a flip exchanges.
        seed: of everything random.
    """

    def __init__(
        self,
        sets: Sequence[tuple[LandmarkSetSettings, Sequence[LandmarkAnnotation]]],
        *,
        size: tuple[int, int],
        augment: LandmarkAugmentSettings,
        skeleton: Skeleton,
        seed: int,
    ) -> None:
        self.size = size
        self.examples = [example for _, examples in sets for example in examples]
        self.mixture = Mixture([len(faces) for _, faces in sets], [settings.weight for settings, _ in sets], seed)
        boxes = np.stack([example.box for example in self.examples])
        self._rectangles = crop_rectangles(boxes, aspect=size[1] / size[0])
        self._starts = np.cumsum([0, *(len(faces) for _, faces in sets)])
        self._augment = augment
        self._flip = np.array(skeleton.flip_indices)
        self._seed = seed
        self._held: dict[int, _Face] = {}

    def __len__(self) -> int:
        """How many faces are held in memory."""
        return len(self._held)

    def photo_name(self, index: int) -> str:
        """Return the file of `LandmarkSample.index`, and where it is labelled."""
        return self.examples[index].where

    def __getitem__(self, number: int) -> LandmarkSample:
        """Return sample `number` >= 0 of an endless sequence.

        Raises:
            DatasetError: a photo is missing or damaged.
        """
        rng = np.random.default_rng((self._seed, number))
        chosen, place = self.mixture.place(number)
        index = int(self._starts[chosen]) + place
        example = self.examples[index]
        window = draw_window(self._rectangles[index], self.size, self._augment, rng)
        points = window.points(example.points)
        points[example.visibility == 0] = np.nan
        if window.mirrored:
            points = points[self._flip]
        face = self._held.get(index) or self._cut(index)
        image = _warp(face.picture, _after(window.matrix, _inverse(face.matrix)), self.size)
        return LandmarkSample(alter(image, self._augment, rng), points.astype(np.float32), np.int64(index))

    def preload(self, budget_gb: float, progress: Progress | None = None) -> None:
        """Cut faces out of their photos in their order, on all cores, until `budget_gb` (1e9 bytes) is used up.

        Raises:
            DatasetError: a photo is missing or damaged.
        """
        task = progress.add_task("cutting faces", total=len(self.examples)) if progress else None
        left = budget_gb * 1e9
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                for index, face in enumerate(pool.map(self._cut, range(len(self.examples)))):
                    left -= face.picture.nbytes
                    if left < 0:
                        pool.shutdown(cancel_futures=True)
                        return
                    self._held[index] = face
                    if progress and task is not None:
                        progress.advance(task)
            except DatasetError:
                pool.shutdown(cancel_futures=True)
                raise

    def _cut(self, index: int) -> _Face:
        """The part of an example's photo that a window can reach, shrunk to little more than the input's resolution."""
        rectangle = self._rectangles[index]
        photo = self.examples[index].read()
        middle, sides = (rectangle[:2] + rectangle[2:]) / 2, rectangle[2:] - rectangle[:2]
        # A turned window reaches as far as its diagonal, a shifted one further.
        reach = self._augment.scale[1] * (np.linalg.norm(sides) / 2 + self._augment.translation * sides)
        ends = np.array((photo.shape[1], photo.shape[0]))
        left, top = np.clip(np.floor(middle - reach), 0, ends - 1).astype(int)
        right, bottom = np.clip(np.ceil(middle + reach), (left + 1, top + 1), ends).astype(int)
        part = photo[top:bottom, left:right]
        factor = float(sides[1]) / self.size[0]  # source px per input px
        zoom = np.ones(2)
        if factor > FINER:
            small = np.maximum(np.rint(np.array((right - left, bottom - top)) * FINER / factor), 1)
            zoom = small / (right - left, bottom - top)
            width, height = small.astype(int).tolist()
            part = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.column_stack((np.diag(zoom), -zoom * (left, top)))
        return _Face(np.asarray(cv2.cvtColor(part, cv2.COLOR_BGR2RGB), np.uint8), matrix)


def load_landmark_set(
    settings: LandmarkDataSettings,
    augment: LandmarkAugmentSettings,
    skeleton: Skeleton,
    *,
    seed: int,
    progress: Progress | None = None,
) -> LandmarkTrainingSet:
    """Read the sets and hold their faces; start workers only afterwards.

    Raises:
        DatasetError: see :func:`heatstream.models.landmarks.settings.read_examples`; or a photo is damaged.
    """
    root: Path = find_root(settings.root)
    sets = [(one, read_examples(one, root, skeleton)) for one in settings.sets]
    result = LandmarkTrainingSet(sets, size=settings.size, augment=augment, skeleton=skeleton, seed=seed)
    result.preload(settings.cache_gb, progress)
    return result


def _warp(picture: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The (H, W, 3) window; `matrix` goes from the picture to it, pixel centres at +0.5; black beyond the picture."""
    indices = matrix.copy()
    indices[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV's pixel centres are whole numbers
    return np.asarray(cv2.warpAffine(picture, indices, (size[1], size[0]), flags=cv2.INTER_LINEAR), np.uint8)


def _after(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (2, 3) map that does `first`, then `second`."""
    return np.column_stack((second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]))


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack((linear, -linear @ matrix[:, 2]))
