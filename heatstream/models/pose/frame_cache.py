"""Decoded photographs: read ahead into memory up to a budget, the others decoded when they are wanted.

Worker processes are forked after `preload`, so all of them read the same memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from heatstream.errors import DatasetError
from heatstream.models.pose.annotations import ImageAnnotation
from heatstream.pictures import read_picture


class FrameCache:
    """The frames of numbered photos.

    Args:
        photos: `frame(n)` is the picture of `photos[n]`.
    """

    def __init__(self, photos: Sequence[ImageAnnotation]) -> None:
        self._photos = photos
        self._frames: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """How many frames are held in memory."""
        return len(self._frames)

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Return the (H, W, 3) uint8 RGB picture, not to be written to.

        Raises:
            DatasetError: it is missing, damaged, or of another size than its JSON says.
        """
        held = self._frames.get(number)
        return decode(self._photos[number]) if held is None else held

    def preload(self, budget_gb: float, progress: Progress | None = None) -> None:
        """Decode photos in their order, on all cores, until `budget_gb` (1e9 bytes) is used up.

        Args:
            budget_gb: for this process with its workers; every process of a distributed training has its own.
            progress: where a bar is shown.

        Raises:
            DatasetError: as `frame`.
        """
        sizes = np.cumsum([3 * height * width for height, width in (p.size for p in self._photos)])
        count = int(np.searchsorted(sizes, budget_gb * 1e9, side="right"))
        task = progress.add_task("decoding photos", total=count) if progress else None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            try:
                for number, frame in enumerate(pool.map(decode, self._photos[:count])):
                    self._frames[number] = frame
                    if progress and task is not None:
                        progress.advance(task)
            except DatasetError:
                pool.shutdown(cancel_futures=True)
                raise


def decode(photo: ImageAnnotation) -> NDArray[np.uint8]:
    """Read one photo as (H, W, 3) uint8 RGB; a rotation noted in its EXIF data is not applied, as in COCO's labels.

    Raises:
        DatasetError: it is missing, damaged, or of another size than its JSON says.
    """
    image, _ = read_picture(photo.path, upright=False, error=DatasetError)
    if image.shape[:2] != photo.size:
        found, expected = (f"{width}x{height}" for height, width in (image.shape[:2], photo.size))
        raise DatasetError(f"the photo {photo.path} is {found} px and its JSON says {expected}: use the labelled file")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
