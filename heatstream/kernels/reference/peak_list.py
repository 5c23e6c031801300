"""Peaks as a list that can be kept, and people made of it again, with other thresholds and without the network.

The list holds all that the decode reads of the maps, but for refinement, which looks at whole maps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.kernels.reference.group import group_by_tag
from heatstream.kernels.reference.peaks import Candidates, find_peaks
from heatstream.kernels.reference.subpixel import refine_positions
from heatstream.kernels.settings import DecodeSettings
from heatstream.results import Peaks, Poses

__all__ = ["KEPT_SHARE", "decode_peaks", "list_peaks"]

KEPT_SHARE = 0.5
"""Of the detection threshold, above which peaks are kept: so far down it can be lowered afterwards."""


def list_peaks(
    heatmaps: NDArray[np.float32],
    tags: NDArray[np.float32],
    settings: DecodeSettings,
    to_source: NDArray[np.float64],
) -> Peaks:
    """The peaks of one image's maps.

    Args:
        heatmaps: (K, H, W) float32; if a value is not finite there are no peaks.
        tags: (K, H, W, T) float32.
        settings: how they will be decoded; the threshold is :data:`KEPT_SHARE` of theirs.
        to_source: (2, 3) float64: map px to px of the source.
    """
    if not (np.isfinite(heatmaps).all() and np.isfinite(tags).all()):
        heatmaps = np.zeros_like(heatmaps)
    found = find_peaks(
        heatmaps,
        threshold=KEPT_SHARE * settings.detection_threshold,
        nms_kernel=settings.nms_kernel,
        capacity=settings.max_people,
        plateaus=settings.plateaus,
    )
    joints = np.repeat(np.arange(len(heatmaps)), found.counts)
    ranks = np.concatenate([np.arange(count) for count in found.counts])
    pixels = found.pixels[joints, ranks]
    return Peaks(
        joints=joints.astype(np.uint8),
        scores=found.scores[joints, ranks],
        places=refine_positions(heatmaps, joints, pixels, settings.adjust),
        tags=tags[joints, pixels[:, 1], pixels[:, 0]],
        to_source=to_source,
    )


def decode_peaks(peaks: Peaks, settings: DecodeSettings) -> Poses:
    """The people in a list of peaks, in px of the source, in the order in which the grouping started them.

    Args:
        peaks: of :func:`list_peaks`.
        settings: `refine`, `nms_kernel`, `adjust` and `plateaus` do nothing here; they were at work when the list was
            made.

    Raises:
        InputError: the settings name no skeleton, or one of fewer keypoints.
    """
    if settings.skeleton is None:
        raise InputError("a list of peaks does not say of which skeleton it is: name it in the settings")
    skeleton = skeletons.get(settings.skeleton)
    num_joints, capacity = skeleton.num_keypoints, settings.max_people
    if len(peaks.joints) and peaks.joints.max() >= num_joints:
        raise InputError(
            f"these are peaks of {int(peaks.joints.max()) + 1} keypoints, {skeleton.name} has {num_joints}"
        )
    above = peaks.scores > settings.detection_threshold
    joints = peaks.joints[above].astype(np.intp)
    counts = np.bincount(joints, minlength=num_joints)
    ranks = np.arange(len(joints)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = ranks < capacity
    slots = joints[kept], ranks[kept]

    scores = np.zeros((num_joints, capacity), np.float32)
    scores[slots] = peaks.scores[above][kept]
    places = np.zeros((num_joints, capacity, 2), np.float32)
    places[slots] = peaks.places[above][kept]
    tags = np.zeros((num_joints, capacity, peaks.tags.shape[1]), np.float32)
    tags[slots] = peaks.tags[above][kept]
    candidates = Candidates(
        counts=np.minimum(counts, capacity).astype(np.int32),
        scores=scores,
        pixels=np.zeros((num_joints, capacity, 2), np.int32),
        overflow=0,
    )
    members = group_by_tag(
        candidates,
        tags,
        skeleton.grouping_order,
        max_people=settings.max_people,
        tag_threshold=settings.tag_threshold,
        use_detection_score=settings.use_detection_score,
    )
    every_joint = np.arange(num_joints)
    present = members >= 0
    keypoint_scores = np.where(present, scores[every_joint, members], np.float32(0))
    moved = np.asarray(places[every_joint, members], np.float64) @ peaks.to_source[:, :2].T + peaks.to_source[:, 2]
    keypoints = np.where(present[..., None], moved.astype(np.float32), np.float32(0))
    poses = Poses(keypoints, keypoint_scores, keypoint_scores.mean(axis=1), skeleton.name)
    if settings.person_threshold > 0:
        poses = poses[poses.scores >= settings.person_threshold]
    return poses
