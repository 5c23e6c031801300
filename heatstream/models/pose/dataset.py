"""Training samples: a photo, or four, warped into a window together with their labels.

Heatmaps are not drawn here: the device does that from `Sample.people`, so that few CPU cores feed a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from heatstream.models.data.mixture import Mixture
from heatstream.models.data.photometric import alter
from heatstream.models.data.root import find_root
from heatstream.models.pose.annotations import ImageAnnotation, read_photos
from heatstream.models.pose.augment import draw_similarity, draw_tiles
from heatstream.models.pose.crop_window import draw_view, view_people
from heatstream.models.pose.frame_cache import FrameCache
from heatstream.models.pose.targets import joint_indices
from heatstream.models.settings import AugmentSettings, DataSettings, SetSettings
from heatstream.skeletons import Skeleton

MAX_PEOPLE = 30
"""People per sample, as in the reference; the bodies of any others are ignored."""


class Sample(NamedTuple):
    """One training sample of side S with K joints; collated, the same fields as tensors with a batch axis in front.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        people: (30, K, 3) float32, x, y in input px and visibility, in random order; rows beyond the people are 0,
            and so is the visibility of joints outside the window.
        extents: (30,) float32, longer side of each person's box in input px.
        joints: (30, K, 2) int32, `joint_indices` into the 1/4 maps.
        region: (S/2, S/2) uint8, 1 where the labels say what is there.
        labelled: (K,) uint8, 0 for joints that may be in view without a label.
        index: int64, which photo, the first of a mosaic; `TrainingSet.photo_name` says its file.
    """

    image: NDArray[np.uint8]
    people: NDArray[np.float32]
    extents: NDArray[np.float32]
    joints: NDArray[np.int32]
    region: NDArray[np.uint8]
    labelled: NDArray[np.uint8]
    index: np.int64  # type: ignore[assignment]  # takes the place of tuple.index, which nobody wants of a sample


class TrainingSet:
    """Augmented samples by global number, for torch's DataLoader: `self[i]` is a pure function of (seed, i).

    So the number of the next sample is all that an exact resume needs, and processes that share a batch make the
    samples that a single process would.

    Args:
        sets: each set's settings and photos.
        size: side of the samples in input px, a multiple of 32.
        augment: how they differ from the photos.
        skeleton: for the joints that a flip exchanges.
        seed: of everything random.
        more_sizes: further sides, which batches have in turn with `size`.
        batch: samples per batch, which have the same side.
    """

    def __init__(
        self,
        sets: Sequence[tuple[SetSettings, Sequence[ImageAnnotation]]],
        *,
        size: int,
        augment: AugmentSettings,
        skeleton: Skeleton,
        seed: int,
        more_sizes: Sequence[int] = (),
        batch: int = 1,
    ) -> None:
        self.photos = [photo for _, photos in sets for photo in photos]
        self.frames = FrameCache(self.photos)
        self.mixture = Mixture([len(photos) for _, photos in sets], [settings.weight for settings, _ in sets], seed)
        self._settings = [settings for settings, _ in sets]
        self._starts = np.cumsum([0, *(len(photos) for _, photos in sets)])
        self._sizes, self._batch = (size, *more_sizes), batch
        self._augment = augment
        self._flip = np.array(skeleton.flip_indices)
        self._seed = seed

    def photo_name(self, index: int) -> str:
        """Return the file of `Sample.index`."""
        return str(self.photos[index].path)

    def __getitem__(self, number: int) -> Sample:
        """Return sample `number` >= 0 of an endless sequence.

        Raises:
            DatasetError: a photo is missing, damaged or of the wrong size.
        """
        rng = np.random.default_rng((self._seed, number))
        size = self._sizes[number // self._batch % len(self._sizes)]
        chosen, first = self.mixture.place(number)
        tiles = draw_tiles(size, self._augment, rng)
        others = rng.integers(self._starts[chosen + 1] - self._starts[chosen], size=len(tiles) - 1)
        image = np.zeros((size, size, 3), np.uint8)
        region = np.ones((size // 2, size // 2), np.uint8)
        views = []
        for place, tile in zip((first, *others.tolist()), tiles, strict=True):
            index = int(self._starts[chosen]) + place
            photo, settings = self.photos[index], self._settings[chosen]
            similarity = draw_similarity(photo, tile, self._augment, rng, single_person=settings.single_person)
            draw_view(self.frames.frame(index), photo, similarity, tile, image=image, region=region)
            views.append(view_people(photo, similarity, tile, self._flip, partial_labels=settings.partial_labels))
        people, extents = (np.concatenate(parts) for parts in zip(*((v.people, v.extents) for v in views), strict=True))
        order = rng.permutation(len(people))
        _ignore(region, people[order[MAX_PEOPLE:]])
        kept = order[:MAX_PEOPLE]
        all_people = np.zeros((MAX_PEOPLE, *people.shape[1:]), np.float32)
        all_people[: len(kept)] = people[kept]
        all_extents = np.zeros(MAX_PEOPLE, np.float32)
        all_extents[: len(kept)] = extents[kept]
        quarter = people[kept] * (0.25, 0.25, 1.0)
        if jitter := self._augment.tag_jitter:
            quarter[:, :, :2] += rng.uniform(-jitter, jitter, quarter[:, :, :2].shape)
        return Sample(
            image=alter(image, self._augment, rng),
            people=all_people,
            extents=all_extents,
            joints=joint_indices(quarter, (size // 4, size // 4), MAX_PEOPLE, True),
            region=region,
            labelled=np.logical_and.reduce([view.known_joints for view in views]).astype(np.uint8),
            index=np.int64(self._starts[chosen] + first),
        )


def load_training_set(
    settings: DataSettings,
    augment: AugmentSettings,
    skeleton: Skeleton,
    *,
    seed: int,
    batch: int = 1,
    progress: Progress | None = None,
) -> TrainingSet:
    """Read the sets and fill the frame cache; start workers only afterwards.

    `batch` samples in a row have the same side.

    Raises:
        DatasetError: see `read_photos` and `FrameCache.frame`.
    """
    root = find_root(settings.root)
    sets = [(one, read_photos(root / one.annotations, root / one.folder, skeleton)) for one in settings.sets]
    result = TrainingSet(
        sets,
        size=settings.size,
        augment=augment,
        skeleton=skeleton,
        seed=seed,
        more_sizes=settings.more_sizes,
        batch=batch,
    )
    result.frames.preload(settings.cache_gb, progress)
    return result


def _ignore(region: NDArray[np.uint8], people: NDArray[np.float64]) -> None:
    """Take the rectangles around people's joints, (P, K, 3) in input px, out of the region, in place."""
    for person in people:
        points = person[person[:, 2] > 0, :2] / 2
        (left, top), (right, bottom) = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
        region[top : bottom + 1, left : right + 1] = 0
