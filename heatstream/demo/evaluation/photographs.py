"""Photographs of the user's as a network is fed: to calibrate INT8 on, and to verify engines with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError

if TYPE_CHECKING:
    from heatstream.engine_builder.export.int8 import Photographs
    from heatstream.model_info import ModelInfo

__all__ = ["as_fed", "calibration_photographs", "spread_photographs"]


def calibration_photographs(folder: Path, count: int, info: ModelInfo) -> Photographs:
    """Photographs of a folder as the network is fed.

    Args:
        folder: of pictures; those of folders in it are not looked at.
        count: how many of them, spread evenly over the folder in the order of their names.
        info: of the network. One of any size sees them as in the official evaluation, one of a fixed size inside it.

    Raises:
        SourceError: the folder or a picture cannot be read.
        InputError: there are too few.
    """
    from heatstream.engine_builder.export.int8 import Photographs

    found = list(spread_photographs(folder, count))
    names = tuple(path.name for path, _ in found)
    return Photographs(folder.resolve().name, names, [as_fed(frame, info) for _, frame in found])


def as_fed(frame: NDArray[np.uint8], info: ModelInfo) -> NDArray[np.float32]:
    """A frame, (H, W, 3) uint8 BGR, as the network is fed: (1, 3, height, width) float32."""
    from heatstream.kernels import letterbox
    from heatstream.runtime.pipelines.base import frame_geometry

    return letterbox(frame, frame_geometry(info, (frame.shape[0], frame.shape[1])), info.mean, info.std)


def spread_photographs(folder: Path, count: int) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Up to so many pictures of a folder, (H, W, 3) uint8 BGR, spread evenly in the order of their names.

    Raises:
        SourceError: the folder or a picture cannot be read.
    """
    from heatstream.pictures import read_picture
    from heatstream.runtime.sources.images import list_pictures

    try:
        paths = list_pictures(folder)
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}; give a folder of photographs") from None
    for index in np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)):
        yield paths[index], read_picture(paths[index])[0]
