"""One photo seen through a similarity: its pixels, its region of loss and its people in one tile of a window."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.extras import require
from heatstream.models.pose.annotations import ImageAnnotation
from heatstream.models.pose.augment import Similarity, Tile


class ViewPeople(NamedTuple):
    """The people of one photo in one tile.

    Attributes:
        people: (P, K, 3) float64, x, y in input px and visibility; each has a labelled joint in the tile, and those
            outside it are 0.
        extents: (P,) float64, longer side of each person's box in input px.
        known_joints: (K,) bool, False for joints that may be in view without a label.
    """

    people: NDArray[np.float64]
    extents: NDArray[np.float64]
    known_joints: NDArray[np.bool_]


def draw_view(
    frame: NDArray[np.uint8],
    photo: ImageAnnotation,
    similarity: Similarity,
    tile: Tile,
    *,
    image: NDArray[np.uint8],
    region: NDArray[np.uint8],
) -> None:
    """Draw a photo and its region into a tile of the window, in place.

    Args:
        frame: (H, W, 3) uint8 RGB, the photo decoded.
        photo: what is known of it.
        similarity: from its pixels to the window's.
        tile: the part of the window to fill.
        image: (S, S, 3) uint8 RGB, the window; black outside the photo.
        region: (S/2, S/2) uint8, see `Sample.region`.
    """
    rows, columns = slice(tile.top, tile.bottom), slice(tile.left, tile.right)
    image[rows, columns] = _warped(frame, similarity, tile, 1, cv2.INTER_LINEAR)
    rows, columns = slice(tile.top // 2, tile.bottom // 2), slice(tile.left // 2, tile.right // 2)
    region[rows, columns] = _region(photo, similarity, tile)


def view_people(
    photo: ImageAnnotation, similarity: Similarity, tile: Tile, flip_indices: NDArray[np.int64], *, partial_labels: bool
) -> ViewPeople:
    """Return the people who have a labelled joint in the tile.

    Args:
        photo: where they are.
        similarity: from its pixels to the window's.
        tile: the part of the window that shows the photo.
        flip_indices: (K,) what each joint becomes in a mirrored view.
        partial_labels: see `SetSettings`.
    """
    people = photo.people.copy()
    people[:, :, :2] = similarity.apply(people[:, :, :2])
    known = photo.known_joints
    if similarity.mirrored:
        people, known = people[:, flip_indices], known[flip_indices]
    x, y, labelled = people[:, :, 0], people[:, :, 1], people[:, :, 2] > 0
    inside = labelled & (x >= tile.left) & (x < tile.right) & (y >= tile.top) & (y < tile.bottom)
    present = inside.any(axis=1)
    if partial_labels:  # one whose label lies outside the tile is known not to be in view
        known = known & labelled[present].all(axis=0)
    people[~inside] = 0
    extents = photo.boxes[:, 2:].max(axis=1, initial=0.0) * similarity.zoom
    return ViewPeople(people[present], extents[present], known)


def _warped(
    picture: NDArray[np.uint8], similarity: Similarity, tile: Tile, stride: int, interpolation: int
) -> NDArray[np.uint8]:
    """Return the tile's part of a picture at 1/stride; black, or 0, outside the picture."""
    matrix = similarity.matrix - np.array(((0, 0, tile.left), (0, 0, tile.top)))
    matrix /= stride
    # warpAffine counts pixel centres as whole numbers, we count them at +0.5.
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size = (tile.right - tile.left) // stride, (tile.bottom - tile.top) // stride
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=interpolation), np.uint8)


def _region(photo: ImageAnnotation, similarity: Similarity, tile: Tile) -> NDArray[np.uint8]:
    """Return the tile's part of `Sample.region`.

    Unlike in the reference the black around a photo counts: nobody is there, which networks that are run on padded
    frames had better learn.
    """
    height, width = (tile.bottom - tile.top) // 2, (tile.right - tile.left) // 2
    region = np.full((height, width), 0 if photo.boxes_only else 1, np.uint8)
    if photo.boxes_only:
        _fill_boxes(region, photo.boxes, similarity, tile, 1)
    _fill_boxes(region, photo.ignored_boxes, similarity, tile, 0)
    if photo.ignored_mask is not None:
        mask = decode_mask(photo.ignored_mask)
        region[_warped(mask, similarity, tile, 2, cv2.INTER_NEAREST) > 0] = 0
    return region


def _fill_boxes(
    region: NDArray[np.uint8], boxes: NDArray[np.float64], similarity: Similarity, tile: Tile, value: int
) -> None:
    """Fill (P, 4) boxes in source px into the tile's region, in place."""
    if len(boxes):
        corners = boxes[:, None, :2] + boxes[:, None, 2:] * np.array(((0, 0), (1, 0), (1, 1), (0, 1)))
        corners = (similarity.apply(corners) - (tile.left, tile.top)) / 2 - 0.5
        for outline in np.round(corners).astype(np.int32):
            cv2.fillConvexPoly(region, outline, value)


def decode_mask(mask: dict[str, Any]) -> NDArray[np.uint8]:
    """Return `ImageAnnotation.ignored_mask` as (H, W) uint8, 1 inside."""
    coco = require("pycocotools.mask", extra="train", purpose="reading segmentations")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools hands its array over as before NumPy 2
        return np.asarray(coco.decode(mask), np.uint8)
