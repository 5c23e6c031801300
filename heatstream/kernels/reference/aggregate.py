"""Aggregate: the network's maps at 1/4 and 1/2, of mirrored images and of several scales, to one set of maps.

The rules are HigherHRNet's (Cheng et al. 2020, section 3.4): heatmaps of all resolutions, scales and of the mirrored
image are averaged; tags come from scale 1 only, and those of the mirrored image stand beside the plain ones.
Resampling is bilinear with pixel centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["aggregate", "merge_flipped", "merge_scales"]

FloatArray = NDArray[np.float32]


def resample(maps: FloatArray, size: tuple[int, int]) -> FloatArray:
    """(B, K, h, w) float32 to (B, K, height, width), bilinear; the same array if the size is the same."""
    if maps.shape[2:] == size:
        return maps
    result = np.empty((*maps.shape[:2], *size), np.float32)
    flat = np.ascontiguousarray(maps).reshape(-1, *maps.shape[2:])
    for source, target in zip(flat, result.reshape(-1, *size), strict=True):
        cv2.resize(source, size[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    return result


def aggregate(
    heatmaps: tuple[FloatArray, FloatArray], tags: FloatArray, *, size: tuple[int, int] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Average the heatmaps of both resolutions and bring the tags to the same size.

    Args:
        heatmaps: (B, K, h, w) at 1/4 and (B, K, 2h, 2w) at 1/2 of the input, float32.
        tags: (B, K, h, w) float32 at 1/4.
        size: (height, width) to project to, usually the input's; at 1/2 of the input when left out.

    Returns:
        heatmaps (B, K, H, W) and tags (B, K, H, W, 1), float32.

    Raises:
        InputError: the shapes do not belong together.
    """
    quarter, half = heatmaps
    if quarter.shape != tags.shape or quarter.shape[:2] != half.shape[:2]:
        raise InputError(
            f"maps of one network must agree, got heatmaps {quarter.shape} and {half.shape}, tags {tags.shape}"
        )
    working = half.shape[2], half.shape[3]
    resampled = resample(quarter, working)
    average = np.add(resampled, half, out=None if resampled is quarter else resampled)
    average *= np.float32(0.5)
    tags = resample(tags, working)
    if size is not None:
        average, tags = resample(average, size), resample(tags, size)
    return average, tags[..., None]


def merge_flipped(
    plain: tuple[FloatArray, FloatArray], mirrored: tuple[FloatArray, FloatArray], flip_indices: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Join the maps of an image with those of its mirror image.

    Args:
        plain: heatmaps (B, K, H, W) and tags (B, K, H, W, T) of the image.
        mirrored: the same of the image mirrored left to right, as the network gave them.
        flip_indices: for each joint the index of its left/right partner.

    Returns:
        Averaged heatmaps (B, K, H, W) and tags (B, K, H, W, 2T), the mirrored ones after the plain ones.
    """
    swapped = list(flip_indices)
    heatmaps = (plain[0] + mirrored[0][:, swapped, :, ::-1]) * np.float32(0.5)
    return heatmaps, np.concatenate([plain[1], mirrored[1][:, swapped, :, ::-1]], axis=4)


def merge_scales(passes: Sequence[tuple[float, FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Join the maps of one image at several scales.

    Args:
        passes: (scale, heatmaps (B, K, H, W), tags (B, K, H, W, T)) each; the first one's size is the result's.

    Returns:
        Averaged heatmaps and the tags of scale 1 (of the only scale if there is one), at the first one's size.

    Raises:
        InputError: there is no pass, or several and none at scale 1.
    """
    with_tags = [entry for entry in passes if entry[0] == 1 or len(passes) == 1]
    if not with_tags:
        raise InputError("tags are taken from scale 1: give maps at scale 1 too")
    size = passes[0][1].shape[2], passes[0][1].shape[3]
    total = resample(passes[0][1], size).copy()
    for _, heatmaps, _ in passes[1:]:
        total += resample(heatmaps, size)
    tags = with_tags[0][2]
    planes = [resample(np.ascontiguousarray(tags[..., plane]), size) for plane in range(tags.shape[4])]
    return total / np.float32(len(passes)), np.stack(planes, axis=4)
