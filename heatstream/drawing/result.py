"""A whole result drawn onto a frame: people, and their faces where these are looked for."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from heatstream.drawing.faces import draw_faces, without_face_keypoints
from heatstream.drawing.poses import LABELS, MIN_SCORE, Colors, Label, draw_poses
from heatstream.frames import check_frame
from heatstream.results import Result

__all__ = ["draw"]


def draw(
    frame: object,
    result: Result,
    *,
    min_score: float = MIN_SCORE,
    colors: Colors = "side",
    labels: Collection[Label] = LABELS,
) -> NDArray[np.uint8]:
    """Draw the people of a result and their faces.

    Args:
        frame: (H, W, 3) uint8, BGR: what the result was found in; it stays as it is.
        result: of a pipeline or a stream.
        min_score: keypoints with a lower score are left out, and so are their limbs.
        colors: ``"side"`` tells left from right, ``"person"`` tells people apart.
        labels: what is written beside people: ``"id"``, ``"score"``, ``"joints"`` for the names of keypoints.

    Returns:
        (H, W, 3) uint8, BGR, a new array.

    Raises:
        InputError: the frame is empty, or not (H, W, 3) uint8.
    """
    drawn: NDArray[np.uint8] = check_frame(frame).copy()
    poses, faces = result.poses, result.faces
    if faces is not None:
        poses = without_face_keypoints(poses, faces)
    draw_poses(drawn, poses, min_score=min_score, colors=colors, labels=labels)
    if faces is not None:
        draw_faces(drawn, faces)
    return drawn
