"""People as COCO keypoint JSON, which training, pycocotools and CVAT ("COCO Keypoints 1.0") read.

How sure the network was of a keypoint decides what it is worth:

============================ =============== ==============================================================
its score                    visibility      for training
============================ =============== ==============================================================
at least ``sure``            2               a keypoint
from ``doubtful`` to there   1               nothing: its surroundings are ignored, because of ``ignore_below``
below                        0, at (0, 0)    not there
============================ =============== ==============================================================

``keypoint_scores`` and ``ignore_below`` stand beside the keypoints of every person. Tools with which people correct
labels drop both fields, or keep them; what a person has looked at is whole when ``ignore_below`` is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heatstream.model_info import ModelInfo
from heatstream.results import Pose, Result
from heatstream.skeletons import Skeleton
from heatstream.version import __version__

__all__ = ["Band", "coco_labels"]

PERSON = 1
"""COCO's category."""

AREA_OF_BOX = 0.53
"""A person's area relative to the box: the rule of CrowdPose's evaluation for people without a mask."""

MARGIN = 0.1
"""By how much of its sides a box is wider than the keypoints, to either side: bodies reach beyond their joints."""


@dataclass(frozen=True)
class Band:
    """Scores of keypoints that are neither trusted nor left out.

    Attributes:
        doubtful: from here on a keypoint is written.
        sure: from here on it is trusted.
    """

    doubtful: float
    sure: float


def coco_labels(results: list[Result], info: ModelInfo, skeleton: Skeleton, band: Band) -> dict[str, Any]:
    """Everybody in some pictures.

    Args:
        results: of pictures, with their names, ids and sizes.
        info: of the network.
        skeleton: of its keypoints.
        band: what counts as doubtful.

    Returns:
        Ready for JSON. People without a doubtful or sure keypoint are left out.
    """
    annotations: list[dict[str, Any]] = []
    for result in results:
        for pose in result.poses:
            person = _person(pose, result.frame.shape[:2], band)
            if person is not None:
                annotations.append({"id": len(annotations) + 1, "image_id": result.image_id, **person})
    return {
        "info": {"description": f"labels of {info.name}, not looked at by a person", "version": __version__},
        "licenses": [],
        "images": [
            {
                "id": result.image_id,
                "file_name": result.picture,
                "width": result.frame.shape[1],
                "height": result.frame.shape[0],
            }
            for result in results
        ],
        "categories": [
            {
                "id": PERSON,
                "name": "person",
                "supercategory": "person",
                "keypoints": list(skeleton.keypoints),
                "skeleton": [[first + 1, second + 1] for first, second in skeleton.limbs],
            }
        ],
        "annotations": annotations,
    }


def _person(pose: Pose, size: tuple[int, ...], band: Band) -> dict[str, Any] | None:
    written = pose.keypoint_scores >= band.doubtful
    if not written.any():
        return None
    visibility = np.where(pose.keypoint_scores >= band.sure, 2, 1)
    triples = np.column_stack([pose.keypoints.astype(np.float64).round(2), visibility]) * written[:, None]
    low, high = pose.keypoints[written].min(axis=0), pose.keypoints[written].max(axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    limits = np.array(size[::-1], np.float64)
    low, high = np.clip(low, 0, limits), np.clip(high, 0, limits)
    width, height = (high - low).tolist()
    return {
        "category_id": PERSON,
        "keypoints": [int(value) if value == int(value) else value for value in triples.ravel().tolist()],
        "num_keypoints": int(written.sum()),
        "bbox": [round(float(value), 2) for value in (*low, width, height)],
        "area": round(AREA_OF_BOX * width * height, 2),
        "iscrowd": 0,
        "segmentation": [],
        "score": round(pose.score, 5),
        "keypoint_scores": [round(float(score), 4) for score in pose.keypoint_scores],
        "ignore_below": band.sure,
    }
