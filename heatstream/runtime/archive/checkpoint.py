"""What was found in a segment, as bytes: a NumPy archive of plain arrays, which holds floats to the last bit."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heatstream.results import Faces, Poses, Result, StageTimes

__all__ = ["Found", "pack", "unpack"]

NO_TIMES = StageTimes({}, latency=0.0)
"""How long a frame took on some core of some machine is not a result; without it results are the same every time."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in a segment.

    Attributes:
        results: of its frames, in order, without their pictures; ``frame`` has its shape and no memory.
        fps: frames per second of the video as announced.
        warnings: what was missing of the video.
    """

    results: Sequence[Result]
    fps: float | None
    warnings: tuple[str, ...]


def pack(found: Found) -> bytes:
    """As bytes."""
    results = found.results
    arrays: dict[str, Any] = {
        "index": np.array([result.frame_index for result in results], np.int64),
        "time": np.array([result.capture_time for result in results], np.float64),
        "size": np.array([result.frame.shape[:2] for result in results], np.int32).reshape(-1, 2),
        "people": np.array([len(result.poses) for result in results], np.int64),
    }
    about: dict[str, Any] = {"fps": found.fps, "warnings": found.warnings}
    if results:
        about["skeleton"] = results[0].poses.skeleton
        for name in ("keypoints", "keypoint_scores", "scores"):
            arrays[name] = np.concatenate([getattr(result.poses, name) for result in results])
        faces = [result.faces for result in results if result.faces is not None]
        if faces:
            about["face_skeleton"] = faces[0].skeleton
            arrays["faces"] = np.array([len(each) for each in faces], np.int64)
            for name in ("landmarks", "scores", "boxes", "angles", "people"):
                arrays[f"face_{name}"] = np.concatenate([getattr(each, name) for each in faces])
    arrays["about"] = np.array(json.dumps(about))
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def unpack(data: bytes) -> Found:
    """What :func:`pack` was given.

    Raises:
        ValueError: the bytes are something else, or damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        about = json.loads(str(arrays["about"]))
        people = np.cumsum([0, *arrays["people"]])
        faces = np.cumsum([0, *arrays["faces"]]) if "faces" in arrays else None
        results = []
        for number, (index, time, size) in enumerate(zip(arrays["index"], arrays["time"], arrays["size"], strict=True)):
            rows = slice(people[number], people[number + 1])
            results.append(
                Result(
                    poses=Poses(
                        arrays["keypoints"][rows],
                        arrays["keypoint_scores"][rows],
                        arrays["scores"][rows],
                        about["skeleton"],
                    ),
                    timing=NO_TIMES,
                    faces=None if faces is None else _faces(arrays, faces[number], faces[number + 1], about),
                    frame=np.broadcast_to(np.uint8(0), (*map(int, size), 3)),
                    frame_index=int(index),
                    capture_time=float(time),
                )
            )
    except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"a checkpoint is damaged: {error}") from error
    return Found(results, about["fps"], tuple(about["warnings"]))


def _faces(arrays: dict[str, Any], first: int, end: int, about: dict[str, Any]) -> Faces:
    rows = slice(first, end)
    return Faces(
        arrays["face_landmarks"][rows],
        arrays["face_scores"][rows],
        arrays["face_boxes"][rows],
        arrays["face_angles"][rows],
        arrays["face_people"][rows],
        about["face_skeleton"],
    )
