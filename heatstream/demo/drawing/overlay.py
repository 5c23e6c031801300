"""The picture of a result that a run shows and saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heatstream.drawing import MIN_SCORE, Colors, Label, draw, draw_text
from heatstream.results import Result

__all__ = ["Overlay"]


@dataclass(frozen=True)
class Overlay:
    """What a sink calls to get the picture of a result; its frame stays as it is.

    Attributes:
        min_score: see :func:`heatstream.draw`.
        colors: see :func:`heatstream.draw`.
        labels: see :func:`heatstream.draw`.
        text: gives a line for the upper left corner; none is written when left out.
        mirror: show everything as a mirror does; text can be read all the same.
    """

    min_score: float = MIN_SCORE
    colors: Colors = "side"
    labels: tuple[Label, ...] = ("id",)
    text: Callable[[], str] | None = None
    mirror: bool = False

    def __call__(self, result: Result) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR, a new array."""
        if self.mirror:
            result = _mirrored(result)
        picture = draw(result.frame, result, min_score=self.min_score, colors=self.colors, labels=self.labels)
        if self.text is not None:
            draw_text(picture, self.text())
        return picture


def _mirrored(result: Result) -> Result:
    """The result as a mirror shows it; left and right stay the person's own."""
    frame = np.ascontiguousarray(result.frame[:, ::-1])
    width = frame.shape[1]
    points = result.poses.keypoints.copy()
    seen = result.poses.keypoint_scores > 0  # a missing keypoint stays at (0, 0)
    points[seen, 0] = width - points[seen, 0]
    faces = result.faces
    if faces is not None:
        landmarks = faces.landmarks.copy()
        landmarks[..., 0] = width - landmarks[..., 0]
        faces = replace(faces, landmarks=landmarks)
    return replace(result, frame=frame, poses=replace(result.poses, keypoints=points), faces=faces)
