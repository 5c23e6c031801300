"""What every reader gives: one face or body of one photograph, with its landmarks and its box."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError
from heatstream.pictures import read_picture

__all__ = ["LandmarkAnnotation", "make_annotation", "tight_box"]


@dataclass(frozen=True, eq=False)
class LandmarkAnnotation:
    """One face or body with L landmarks.

    Attributes:
        picture: the photo's file, or the photo itself where the dataset holds it, (H, W, 3) uint8 BGR.
        points: (L, 2) float64, x and y in px of the photo; whole numbers are pixel centres, the first is 0.
        visibility: (L,) int8, 0 unlabelled, 1 labelled but hidden, 2 in view.
        box: (4,) float64, x and y of the first and of the last pixel, as
            :func:`heatstream.kernels.reference.crops.crop_rectangles` takes it.
        subsets: parts of the set that it belongs to and is measured in, for example ``("pose", "blur")``.
        length: what errors of this example are divided by, in px, where the dataset gives it; else None.
        where: the file that labels it and its line or entry, for messages.
    """

    picture: Path | NDArray[np.uint8]
    points: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box: NDArray[np.float64]
    subsets: tuple[str, ...] = ()
    length: float | None = None
    where: str = ""

    def read(self) -> NDArray[np.uint8]:
        """The photo, (H, W, 3) uint8 BGR.

        Raises:
            DatasetError: the file is missing or no picture.
        """
        if not isinstance(self.picture, Path):
            return self.picture
        # The labels belong to the stored pixels: a camera's note on how to turn them must not be followed.
        photo, _ = read_picture(self.picture, upright=False, error=DatasetError)
        return photo


def make_annotation(
    picture: Path | NDArray[np.uint8],
    points: NDArray[np.floating],
    box: NDArray[np.floating],
    *,
    where: str,
    visibility: NDArray[np.integer] | None = None,
    subsets: tuple[str, ...] = (),
    length: float | None = None,
) -> LandmarkAnnotation:
    """An example whose numbers have been checked; all points in view unless told otherwise.

    Args:
        where: the file and its line, for the message.

    Raises:
        DatasetError: a number is not finite, the box is empty, the length is not positive, or the photo is not there.
    """
    places, corners = np.array(points, np.float64), np.array(box, np.float64)
    if visibility is None:
        visibility = np.full(len(places), 2)
    if not (np.isfinite(places).all() and np.isfinite(corners).all()):
        raise DatasetError(f"{where}: a coordinate is not a finite number: correct the file")
    if not (corners[2:] > corners[:2]).all():
        raise DatasetError(f"{where}: the box {corners.tolist()} is empty: correct the file")
    if length is not None and not 0 < length < np.inf:
        raise DatasetError(
            f"{where}: the length {length:g} that errors are divided by is not positive: correct the file"
        )
    if isinstance(picture, Path) and not os.path.isfile(picture):
        raise DatasetError(f"{where}: the photo {picture} does not exist: correct the folder of the photos")
    return LandmarkAnnotation(picture, places, np.asarray(visibility, np.int8), corners, subsets, length, where)


def tight_box(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(4,) float64: smallest x and y, largest x and y of (L, 2) points."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)
