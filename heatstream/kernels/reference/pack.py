"""Pack: the people of an image, best first, in one struct of fixed size: the form in which they leave the GPU."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.results import Poses

__all__ = ["NOT_FINITE", "NOT_FINITE_WARNING", "pack_poses", "packed_dtype", "unpack_poses"]

# Bits of `state`; an image with any of them set holds nobody.
NOT_FINITE = 1
NOT_FINITE_WARNING = (
    "the network's maps hold NaN or infinite values, so nobody was found in this frame; "
    "check the model file, or use its FP32 export"
)


def packed_dtype(num_joints: int, capacity: int) -> np.dtype[np.void]:
    """The struct of one image: a header and ``capacity`` records, all of 4-byte words.

    ``people`` were found, and the first ``min(people, capacity)`` records hold them in falling order of score, equal
    scores in the order of starting; the other records are zero. ``peaks_overflow`` and ``people_overflow`` count
    what was left out for lack of room; ``state`` is 0 or :data:`NOT_FINITE`. A record's ``started`` is the person's
    number in the order in which grouping started them; keypoints are x, y in source px and the score, all 0 where
    the keypoint is missing.
    """
    record = np.dtype([("score", "<f4"), ("started", "<i4"), ("keypoints", "<f4", (num_joints, 3))])
    return np.dtype(
        [
            ("people", "<i4"),
            ("peaks_overflow", "<i4"),
            ("people_overflow", "<i4"),
            ("state", "<i4"),
            ("records", record, (capacity,)),
        ]
    )


def pack_poses(
    poses: Sequence[Poses],
    to_source: NDArray[np.float64],
    *,
    capacity: int,
    peaks_overflow: Sequence[int] | NDArray[np.int32],
    state: Sequence[int] | NDArray[np.int32],
) -> NDArray[np.void]:
    """Sort the people of B images, bring them to source px and put them into structs.

    Args:
        poses: what decode_poses found, in map px, at least one image.
        to_source: (B, 2, 3) affine transforms from map px to source px.
        capacity: how many people there is room for.
        peaks_overflow: (B,) local maxima that were left out.
        state: (B,) see :func:`packed_dtype`.

    Returns:
        (B,) of :func:`packed_dtype`.
    """
    packed = np.zeros(len(poses), packed_dtype(poses[0].keypoints.shape[1], capacity))
    packed["peaks_overflow"], packed["state"] = peaks_overflow, state
    for image, found, transform in zip(packed, poses, to_source, strict=True):
        image["people"] = len(found)
        image["people_overflow"] = max(len(found) - capacity, 0)
        best = np.argsort(-found.scores, kind="stable")[:capacity]
        records = image["records"][: len(best)]
        records["score"], records["started"] = found.scores[best], best
        x, y = found.keypoints[best].astype(np.float64).transpose(2, 0, 1)
        scores = found.keypoint_scores[best]
        moved = [x * along_x + y * along_y + shift for along_x, along_y, shift in transform]
        records["keypoints"] = np.where(scores[..., None] != 0, np.stack([*moved, scores], axis=2), 0)
    return packed


def warn_of_crowd(people: int, peaks_overflow: int, max_people: int) -> None:
    """Tell that more people may be in view than were looked for.

    Args:
        people: how many were found.
        peaks_overflow: local maxima that were left out.
        max_people: of the decode settings.
    """
    if peaks_overflow and people >= max_people:
        warnings.warn(
            f"more than {max_people} people may be in view, {peaks_overflow} detections were left out: raise "
            "max_people (--max-people)",
            RuntimeWarning,
            stacklevel=3,
        )


def unpack_poses(
    packed: NDArray[np.void], skeleton: str, *, max_people: int | None = None, as_started: bool = False
) -> list[Poses]:
    """The people of B images.

    Args:
        packed: (B,) of :func:`packed_dtype`, in host memory. It is copied.
        skeleton: name of the keypoint layout.
        max_people: of the decode settings; None says nothing of detections that were left out.
        as_started: give the people in the order in which grouping started them, as decode_poses does; otherwise the
            best ones come first.

    Returns:
        B results in source px. A RuntimeWarning tells of maps that were not finite, and of people who were left out.

    Raises:
        InputError: the structs were made for another number of keypoints.
    """
    num_joints = skeletons.get(skeleton).num_keypoints
    shape = packed["records"]["keypoints"].shape
    if shape[2:] != (num_joints, 3):
        raise InputError(f"{skeleton} has {num_joints} keypoints, the packed people have {shape[2]}")
    if (packed["state"] & NOT_FINITE).any():
        warnings.warn(NOT_FINITE_WARNING, RuntimeWarning, stacklevel=2)
    if packed["people_overflow"].any():
        warnings.warn(
            f"{packed['people'].max()} people were found where there is room for {shape[1]}; those with the lowest "
            "scores were left out: raise the detection threshold or person_threshold",
            RuntimeWarning,
            stacklevel=2,
        )
    for image in packed:
        if max_people is not None:
            warn_of_crowd(int(image["people"]), int(image["peaks_overflow"]), max_people)
    return [_unpack_image(image, skeleton, as_started) for image in packed]


def _unpack_image(image: np.void, skeleton: str, as_started: bool) -> Poses:
    records = image["records"][: image["people"]]
    if as_started:
        records = records[np.argsort(records["started"])]
    keypoints = records["keypoints"].copy()
    return Poses(keypoints[..., :2], keypoints[..., 2], records["score"].copy(), skeleton)
