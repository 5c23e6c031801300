"""From a box around a face or body to the network's input, and landmarks back: the geometry of H3R's code.

A box is widened to a square of 1.25 times its longer side (for bodies, to the aspect of the network's input). Two
functions cut it out. :func:`crop_boxes` is the official one: upright, of whole pixels, brought to the network's size by
Pillow's antialiased bilinear filter. :func:`crop_rotated` is ours, for faces that are not upright, and has a CUDA form:
it samples the frame where each pixel of the input comes from. Landmarks go back by the rectangle itself, not by the
whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.reference.pillow_resize import resize_as_pillow

__all__ = [
    "check_crops",
    "crop_boxes",
    "crop_rectangles",
    "crop_rotated",
    "crop_transforms",
    "merge_flipped_landmarks",
    "rotated_transforms",
]

BOX_SCALE = 1.25
"""How much wider than the box its crop is, in the official code."""

MAX_SAMPLES = 8
"""Of a pixel of :func:`crop_rotated`, along each axis; a crop that shrinks the frame more than this undersamples it."""


def crop_rectangles(
    boxes: NDArray[np.floating], scale: float = BOX_SCALE, *, aspect: float = 1.0
) -> NDArray[np.float64]:
    """(N, 4) float64 rectangles (left, top, right, bottom) in source px around boxes.

    Args:
        boxes: (N, 4), x and y of the first and of the last pixel, as detectors give them, so that a box is one
            pixel wider than the difference.
        scale: size of a rectangle relative to the smallest of its aspect that holds the box.
        aspect: width per height; 1 for faces.

    Raises:
        InputError: the shape is another, or a box is empty or not finite.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes must be (N, 4), x0 y0 x1 y1, got {boxes.shape}")
    start, end = boxes[:, :2], boxes[:, 2:] + 1
    if not (np.isfinite(boxes).all() and (end > start).all()):
        wrong = int(np.argmin(np.isfinite(boxes).all(axis=1) & (end > start).all(axis=1)))
        raise InputError(f"box {wrong} is empty or not finite: {boxes[wrong].tolist()}")
    sides = end - start
    height = np.maximum(sides[:, 1], sides[:, 0] / aspect)
    half = np.stack([height * aspect, height], axis=1) * scale / 2
    middle = (start + end) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def crop_transforms(rectangles: NDArray[np.floating], input_size: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 2, 3) float64 transforms from input px to source px.

    Args:
        rectangles: (N, 4), left, top, right, bottom in source px; any aspect.
        input_size: (height, width) of the network's input in px.
    """
    rectangles = np.asarray(rectangles, np.float64)
    transforms = np.zeros((len(rectangles), 2, 3))
    transforms[:, 0, 0], transforms[:, 1, 1] = (
        (rectangles[:, 2 + axis] - rectangles[:, axis]) / input_size[1 - axis] for axis in (0, 1)
    )
    transforms[:, :, 2] = rectangles[:, :2]
    return transforms


def rotated_transforms(
    boxes: NDArray[np.floating],
    angles: NDArray[np.floating],
    input_size: tuple[int, int],
    scale: float = BOX_SCALE,
) -> NDArray[np.float64]:
    """(N, 2, 3) float64 transforms from input px to source px, of crops that turn with what they show.

    At angle 0 they are those of :func:`crop_transforms` for the boxes' rectangles of the input's aspect.

    Args:
        boxes: (N, 4), as :func:`crop_rectangles` takes them.
        angles: (N,) radians: where the crop's x axis points in the frame, positive clockwise on the screen. The angle
            of the line from a face's right eye to its left one, ``arctan2(dy, dx)``, brings the face upright.
        input_size: (height, width) of the network's input in px.
        scale: as :func:`crop_rectangles` takes it.

    Raises:
        InputError: see :func:`crop_rectangles`; or there is another number of angles, or one is not finite.
    """
    rectangles = crop_rectangles(boxes, scale, aspect=input_size[1] / input_size[0])
    angles = np.asarray(angles, np.float64)
    if angles.shape != (len(rectangles),) or not np.isfinite(angles).all():
        raise InputError(f"there must be {len(rectangles)} finite angles, one per box, got {angles.tolist()}")
    cosine, sine = np.cos(angles), np.sin(angles)
    rotations = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    transforms = crop_transforms(rectangles, input_size)
    # About the rectangle's middle, as the index of a pixel.
    half = (rectangles[:, 2:] - rectangles[:, :2] - 1)[..., None] / 2
    transforms[:, :, 2:] += half - rotations @ half
    transforms[:, :, :2] = rotations @ transforms[:, :, :2]
    return transforms


def crop_rotated(
    frame: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    input_size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.float32]:
    """The network's input for every transform of one frame; black beyond the frame.

    Every pixel is the mean of n x m bilinear samples, spread evenly over the place that it covers in the frame: one
    where the crop enlarges the frame, and as many as make them at most a source px apart where it shrinks it (up to
    :data:`MAX_SAMPLES` each way). At angle 0 and with a rectangle of whole pixels that is :func:`crop_boxes` up to the
    rounding of grey levels (1) where the crop enlarges the frame, but for the crop's rim, where this one sees what lies
    beyond; where it shrinks the frame it smooths a little less than Pillow's triangle.

    Transforms lead from the index of an input pixel to that of a source pixel as those of landmarks do, with the
    official code's half a pixel: input pixel (x, y) covers what lies between (x, y) and (x + 1, y + 1), and half a
    source px along the crop's own axes is taken off to reach the source pixel's index. So a landmark's place within
    the crop does not depend on the angle.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides.
        transforms: (N, 2, 3), from input px to source px, see :func:`rotated_transforms`.
        input_size: (height, width) in px.
        mean: of x / 255 per channel, RGB.
        std: of x / 255 per channel, RGB.

    Returns:
        (N, 3, height, width) float32, RGB, (x / 255 - mean) / std.

    Raises:
        InputError: the frame is not (H, W, 3) uint8, or the transforms not (N, 2, 3) and finite.
    """
    check_crops(frame, transforms)
    transforms = np.asarray(transforms, np.float64)
    if not np.isfinite(transforms).all():
        raise InputError("transforms must be finite numbers")
    crops = np.empty((len(transforms), 3, *input_size), np.float32)
    for crop, transform in zip(crops, transforms, strict=True):
        levels = _sampled(frame, transform, input_size)
        for channel in range(3):  # R, G, B of the output are channels 2, 1, 0 of the frame
            cv2.extractChannel(levels, 2 - channel, dst=crop[channel])
    crops *= (1 / (255 * np.asarray(std))).astype(np.float32)[:, None, None]
    crops -= (np.asarray(mean) / np.asarray(std)).astype(np.float32)[:, None, None]
    return crops


def check_crops(frame: NDArray[np.uint8], transforms: NDArray[np.floating]) -> None:
    """Refuse what :func:`crop_rotated` cannot read; arrays of any library.

    Raises:
        InputError: the frame is not (H, W, 3) uint8, or the transforms not (N, 2, 3).
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
    if transforms.ndim != 3 or transforms.shape[1:] != (2, 3):
        raise InputError(f"transforms must be (N, 2, 3), one per crop, got {transforms.shape}")


def crop_boxes(
    frame: NDArray[np.uint8],
    rectangles: NDArray[np.floating],
    input_size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.float32]:
    """The network's input for every rectangle of one frame; black beyond the frame.

    Args:
        frame: (H, W, 3) uint8, BGR.
        rectangles: (N, 4), left, top, right, bottom in source px.
        input_size: (height, width) in px.
        mean: of x / 255 per channel, RGB.
        std: of x / 255 per channel, RGB.

    Returns:
        (N, 3, height, width) float32, RGB, (x / 255 - mean) / std.
    """
    height, width = input_size
    images = np.empty((len(rectangles), height, width, 3), np.float32)
    for image, rectangle in zip(images, np.rint(rectangles).astype(np.int64), strict=True):
        image[:] = resize_as_pillow(_cut(frame, rectangle), input_size)
    images = images[..., ::-1] / np.float32(255)
    images = (images - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def merge_flipped_landmarks(
    plain: NDArray[np.floating], mirrored: NDArray[np.floating], flip_indices: Sequence[int], width: int
) -> NDArray[np.float32]:
    """The mean of the landmarks found in crops and in the mirrored crops, the official flip test.

    Args:
        plain: (N, L, 2), x and y in input px.
        mirrored: (N, L, 2), found in the mirrored crops.
        flip_indices: of the skeleton.
        width: of the input in px; column x of it is column width - 1 - x of the mirrored one.
    """
    back = np.array(mirrored, np.float32)[:, list(flip_indices)]
    back[..., 0] = width - 1 - back[..., 0]
    mean: NDArray[np.float32] = (np.asarray(plain, np.float32) + back) / np.float32(2)
    return mean


def _sampled(
    frame: NDArray[np.uint8], transform: NDArray[np.float64], input_size: tuple[int, int]
) -> NDArray[np.float32]:
    """(height, width, 3) float32 grey levels, BGR."""
    height, width = input_size
    scales = np.sqrt((transform[:, :2] ** 2).sum(axis=0))  # source px per input px, along the crop's x and y
    # What is hardly above a whole number has got there by rounding.
    samples = np.clip(np.ceil(scales - 1e-3), 1, MAX_SAMPLES).astype(int)
    axes = transform[:, :2] / np.maximum(scales, np.finfo(np.float64).tiny)
    step = transform[:, :2] / samples  # between samples
    first = transform[:, 2] + step.sum(axis=1) / 2 - axes.sum(axis=1) / 2
    columns, rows = (width, height) * samples

    # Only what the samples touch is brought to floats: one px more on each side.
    corners = np.array([[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]]) @ step.T + first
    limits = frame.shape[1::-1]
    left, top = np.clip(np.floor(corners.min(axis=0)) - 1, 0, limits).astype(int).tolist()
    right, bottom = np.clip(np.floor(corners.max(axis=0)) + 3, 0, limits).astype(int).tolist()
    if left >= right or top >= bottom:
        return np.zeros((height, width, 3), np.float32)
    picture = frame[top:bottom, left:right].astype(np.float32)
    matrix = np.column_stack([step, first - (left, top)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    levels = cv2.warpAffine(picture, matrix, (int(columns), int(rows)), flags=flags)
    crop = np.empty((height, width, 3), np.float32)
    cv2.resize(levels, (width, height), dst=crop, interpolation=cv2.INTER_AREA)  # the mean of each pixel's samples
    return crop


def _cut(frame: NDArray[np.uint8], rectangle: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The pixels of a rectangle, at least one, black where there is no frame."""
    left, top, right, bottom = rectangle.tolist()
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    cut = np.zeros((bottom - top, right - left, 3), np.uint8)
    height, width = frame.shape[:2]
    rows = slice(max(top, 0), max(min(bottom, height), 0))
    columns = slice(max(left, 0), max(min(right, width), 0))
    part = frame[rows, columns]
    row, column = rows.start - top, columns.start - left
    cut[row : row + part.shape[0], column : column + part.shape[1]] = part
    return cut
