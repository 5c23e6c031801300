"""Images to measure and check networks with, where there are no photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream.model_info import ModelInfo

__all__ = ["natural_images"]

SEED = 0


def natural_images(count: int, size: tuple[int, int], info: ModelInfo) -> NDArray[np.float32]:
    """Normalised images whose spectrum falls with 1 / frequency, as that of photographs does.

    Field, "Relations between the statistics of natural images and the response properties of cortical cells",
    JOSA A 1987. White noise would be averaged away by the first layers and would hide overflows behind them.
    """
    import cv2

    random = np.random.default_rng(SEED)
    height, width = size
    images = np.zeros((count, height, width, 3), np.float32)
    for image in images:
        step = 1
        while step <= max(height, width):
            coarse = random.standard_normal((-(-height // step), -(-width // step), 3), np.float32)
            image += step**0.5 * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            step *= 2
        image *= 60.0 / image.std()
    pixels = np.clip(np.rint(images + 118.0), 0, 255)
    normalised = (pixels / 255.0 - np.asarray(info.mean)) / np.asarray(info.std)
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2), np.float32)
