"""A Rerun recording read back by its own library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_rerun(path: Path) -> tuple[list[tuple[int, int]], dict[tuple[int, int], NDArray[np.float32]]]:
    """The limbs of the annotation context, and the points of every frame and person's id."""
    from rerun.chunk import RrdReader

    limbs: list[tuple[int, int]] = []
    points: dict[tuple[int, int], NDArray[np.float32]] = {}
    for chunk in RrdReader(str(path)).stream():
        rows = chunk.to_record_batch().to_pydict()
        if "AnnotationContext:context" in rows:
            (((one,),),) = rows["AnnotationContext:context"]
            limbs = [
                (pair["keypoint0"], pair["keypoint1"]) for pair in one["class_description"]["keypoint_connections"]
            ]
        for frame, positions in zip(rows.get("frame", ()), rows.get("Points2D:positions", ()), strict=False):
            points[frame, int(str(chunk.entity_path).rpartition("/")[2])] = np.array(positions, np.float32)
    return limbs, points
