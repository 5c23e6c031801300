"""From heatmaps and tags to people: the specification of the GPU kernels, and the product where there is no GPU.

The steps are peaks, tags, grouping, sub-pixel, refine, in the order of the official SWAHR parser (Luo et al. 2021;
the parser is that of HigherHRNet, Cheng et al. 2020, after associative embedding, Newell et al. 2017).
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.reference.group import group_by_tag
from heatstream.kernels.reference.pack import NOT_FINITE_WARNING, warn_of_crowd
from heatstream.kernels.reference.peaks import find_peaks
from heatstream.kernels.reference.refine import Blocks, find_missing, worth_blocks
from heatstream.kernels.reference.subpixel import refine_positions
from heatstream.kernels.settings import DecodeSettings
from heatstream.results import Poses
from heatstream.skeletons import Skeleton

__all__ = ["check_maps", "decode_poses"]


def decode_poses(
    heatmaps: NDArray[np.float32], tags: NDArray[np.float32], settings: DecodeSettings | None = None
) -> list[Poses]:
    """Find the people in a batch of maps.

    Gives what the official parser gives wherever its result is determined, including these of its habits: with
    ``adjust`` other than ``"none"`` positions have pixel centres at +0.5, without it they are pixel indices;
    joints found by ``refine`` are always adjusted, may have any positive score, and do not count in the person's
    score; a joint may be refined onto another person's joint if no pixel fits the tag better. Where the official
    result is left to chance, ours is defined: see :func:`heatstream.kernels.reference.group.group_by_tag`.

    Args:
        heatmaps: (B, K, H, W) float32, one map per joint, 1 at a certain joint.
        tags: (B, K, H, W, T) float32, T = 1, or 2 with the tags of the mirrored image.
        settings: how to decode; the official defaults when left out.

    Returns:
        B results, coordinates in map px. People are in the order in which the grouping started them. An image
        whose maps hold a NaN or an infinity gives nobody and a RuntimeWarning.

    Raises:
        InputError: the arrays' shapes disagree, or no skeleton has K keypoints.
    """
    settings = settings or DecodeSettings()
    heatmaps = np.ascontiguousarray(heatmaps, np.float32)
    tags = np.ascontiguousarray(tags, np.float32)
    skeleton = check_maps(heatmaps, tags, settings)
    return [_decode_image(*maps, settings, skeleton) for maps in zip(heatmaps, tags, strict=True)]


def check_maps(heatmaps: NDArray[np.floating], tags: NDArray[np.floating], settings: DecodeSettings) -> Skeleton:
    """The skeleton of a batch of maps; arrays of any library.

    Raises:
        InputError: the arrays' shapes disagree, or no skeleton has K keypoints.
    """
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[1:]:
        raise InputError(f"heatmaps must have shape (B, K, H, W) and hold pixels, got {heatmaps.shape}")
    if tags.ndim != 5 or tags.shape[:4] != heatmaps.shape or tags.shape[4] < 1:
        raise InputError(f"tags must have shape (B, K, H, W, T) as heatmaps {heatmaps.shape}, got {tags.shape}")
    return settings.skeleton_of(heatmaps.shape[1])


def _decode_image(
    heatmaps: NDArray[np.float32], tags: NDArray[np.float32], settings: DecodeSettings, skeleton: Skeleton
) -> Poses:
    if not _all_finite(heatmaps):
        return _nobody(skeleton)
    candidates = find_peaks(
        heatmaps,
        threshold=settings.detection_threshold,
        nms_kernel=settings.nms_kernel,
        capacity=settings.max_people,
        plateaus=settings.plateaus,
    )
    # There are no fewer people than a joint has detections. What bounds the tags shows too whether they are finite.
    crowded = settings.refine and worth_blocks(int(candidates.counts.max()), heatmaps)
    blocks = Blocks(heatmaps, tags) if crowded else None
    if not (_all_finite(tags) if blocks is None else blocks.tags_are_finite()):
        return _nobody(skeleton)

    every_joint = np.arange(len(heatmaps))
    x, y = candidates.pixels[..., 0], candidates.pixels[..., 1]
    candidate_tags = tags[every_joint[:, None], y, x]  # (K, C, T)
    members = group_by_tag(
        candidates,
        candidate_tags,
        skeleton.grouping_order,
        max_people=settings.max_people,
        tag_threshold=settings.tag_threshold,
        use_detection_score=settings.use_detection_score,
    )

    scores = np.where(members >= 0, candidates.scores[every_joint, members], np.float32(0))
    person_scores = scores.mean(axis=1)
    if settings.person_threshold > 0:
        kept = person_scores >= settings.person_threshold
        members, scores, person_scores = members[kept], scores[kept], person_scores[kept]

    warn_of_crowd(len(members), candidates.overflow, settings.max_people)
    present = members >= 0
    keypoints = np.zeros((*members.shape, 2), np.float32)
    person, joint = np.nonzero(present)
    pixels = candidates.pixels[joint, members[person, joint]]
    keypoints[person, joint] = refine_positions(heatmaps, joint, pixels, settings.adjust)
    if settings.refine and len(members):
        held = candidate_tags[every_joint, members]
        first = held[np.arange(len(held)), present.argmax(axis=1)]  # as in the grouping, relative to a person's first
        offsets = np.subtract(held, first[:, None], where=present[:, :, None], out=np.zeros_like(held))
        mean_tags = first + offsets.sum(axis=1) / present.sum(axis=1, dtype=np.float32)[:, None]
        _fill_in(heatmaps, tags, blocks, mean_tags, keypoints, scores, settings)
    return Poses(keypoints, scores, person_scores, skeleton.name)


def _nobody(skeleton: Skeleton) -> Poses:
    """What maps that are not finite hold."""
    warnings.warn(NOT_FINITE_WARNING, RuntimeWarning, stacklevel=4)
    return Poses.empty(skeleton.name)


def _all_finite(maps: NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite: a sum meets every value once and keeps them; OpenCV's is of doubles."""
    return bool(np.isfinite(cv2.sumElems(maps.reshape(len(maps), -1))[0]))


def _fill_in(
    heatmaps: NDArray[np.float32],
    tags: NDArray[np.float32],
    blocks: Blocks | None,
    mean_tags: NDArray[np.float32],
    keypoints: NDArray[np.float32],
    scores: NDArray[np.float32],
    settings: DecodeSettings,
) -> None:
    """Write the joints that people lack into ``keypoints`` and ``scores``, where the best pixel is positive."""
    width = heatmaps.shape[2]
    missing = scores == 0
    place = find_missing(heatmaps, tags, missing, mean_tags, blocks)
    person, joint = np.nonzero(missing)
    pixels = np.stack([place[person, joint] % width, place[person, joint] // width], axis=1)
    values = heatmaps[joint, pixels[:, 1], pixels[:, 0]]
    positive = values > 0
    person, joint, pixels = person[positive], joint[positive], pixels[positive]
    adjust = "quarter" if settings.adjust == "none" else settings.adjust
    keypoints[person, joint] = refine_positions(heatmaps, joint, pixels, adjust)
    scores[person, joint] = values[positive]
