"""People drawn onto a frame, limbs and keypoints scaled to each person's size; and a line of text."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.results import Poses

__all__ = ["LABELS", "MIN_SCORE", "Colors", "Label", "draw_poses", "draw_text"]

Color = tuple[int, int, int]

Colors: TypeAlias = Literal["side", "person"]
"""``"side"`` tells left from right, ``"person"`` tells people apart (by id, or by order)."""

Label: TypeAlias = Literal["id", "score", "joints"]
"""What is written beside people: their ids where they have some, their scores, the names of their keypoints."""

LABELS: tuple[Label, ...] = ("id",)
LABEL_RISE = 0.06
"""Of a person's extent, from the highest keypoint to what is written above: the eyes are not covered then."""

MIN_SCORE = 0.2
"""Keypoints below this score are usually guesses; they are not drawn."""

_SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
_OUTLINE = (30, 30, 30)
_WHITE = (255, 255, 255)
_ACROSS = (66, 228, 240)  # limbs between the left and the right side
_PEOPLE: tuple[Color, ...] = (  # Okabe and Ito's palette, BGR, without black
    *((233, 180, 86), (0, 159, 230), (115, 158, 0), (167, 121, 204)),
    *((66, 228, 240), (0, 94, 213), (178, 114, 0)),
)


def draw_poses(
    frame: NDArray[np.uint8],
    poses: Poses,
    *,
    min_score: float = MIN_SCORE,
    colors: Colors = "side",
    labels: Collection[Label] = LABELS,
) -> None:
    """Draw everyone into the frame, with lines and texts that fit its size.

    Args:
        frame: (H, W, 3) uint8 BGR, writable; changed in place.
        poses: people in pixels of this frame.
        min_score: keypoints with a lower score are left out, and so are their limbs.
        colors: of limbs and keypoints.
        labels: what is written beside people.

    Raises:
        InputError: the frame is not a writable (H, W, 3) uint8 array.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.flags.writeable:
        raise InputError(f"the overlay draws on a writable (H, W, 3) uint8 frame, got {frame.shape} {frame.dtype}")
    skeleton = skeletons.get(poses.skeleton)
    visible = poses.keypoint_scores >= max(min_score, np.finfo(np.float32).tiny)
    # OpenCV counts pixel centres from 0, heatstream from 0.5. Far outside points would overflow its integers.
    points = np.clip(poses.keypoints - 0.5, -10_000, 20_000)
    fixed = np.rint(points * (1 << _SHIFT)).astype(int)
    for person in range(len(poses)):
        seen = np.flatnonzero(visible[person])
        if seen.size == 0:
            continue
        extent = float(np.ptp(points[person, seen], axis=0).max())
        width = _line_width(extent, skeleton.num_keypoints, frame)
        own = int(poses.ids[person]) if poses.ids[person] >= 0 else person
        single = _PEOPLE[own % len(_PEOPLE)] if colors == "person" else None
        _draw_person(frame, poses.skeleton, fixed[person].tolist(), visible[person].tolist(), width, single)
        if "joints" in labels:
            for joint in seen.tolist():
                x, y = points[person, joint].tolist()
                draw_text(frame, skeleton.keypoints[joint], at=(int(x) + 2 * width, int(y)), size=0.5)
        texts = [str(own)] if "id" in labels and poses.ids[person] >= 0 else []
        texts += [f"{poses.scores[person]:.2f}"] if "score" in labels else []
        if texts:
            x, y = points[person, seen[points[person, seen, 1].argmin()]].tolist()  # the highest one, above the head
            place = (int(x), int(y - extent * LABEL_RISE) - 2 * width)
            draw_text(frame, "  ".join(texts), at=place, color=single or _WHITE)


def draw_text(
    frame: NDArray[np.uint8],
    text: str,
    *,
    at: tuple[int, int] | None = None,
    color: Color = _WHITE,
    size: float = 1.0,
) -> None:
    """Write one line on a darkened box, at (x, y) of its lower left corner, or in the upper left corner.

    It is as large as the frame's shorter side asks for, times ``size``: pictures of phones are upright.
    """
    scale = max(0.4, size * min(frame.shape[:2]) / 1000)
    width = max(1, round(2 * scale))
    margin = round(12 * scale)
    (length, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, width)
    x, y = (margin, margin + height) if at is None else (max(at[0], 0), max(at[1], height))
    # A box, not an outlined script: since OpenCV 5 a bolder pen also makes the letters wider.
    pad = margin // 3
    box = frame[max(y - height - pad, 0) : y + below + pad, max(x - pad, 0) : x + length + pad]
    if box.size:
        box //= 3
    cv2.putText(frame, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, color, width, cv2.LINE_AA)


def _line_width(extent: float, keypoints: int, frame: NDArray[np.uint8]) -> int:
    """Pixels: a hundredth of a body's extent, no more than suits the frame; dense face layouts need finer lines."""
    most: int = max(8, min(frame.shape[:2]) // 135)
    return max(1, min(most, round(extent / (100 if keypoints < 30 else 300))))


@lru_cache
def _limb_colors(name: str) -> tuple[Color, ...]:
    """A limb takes the colour of its outer end; limbs between the sides have their own."""
    skeleton = skeletons.get(name)
    across = {frozenset(pair) for pair in skeleton.flip_pairs}
    return tuple(_ACROSS if frozenset(limb) in across else skeleton.colors[limb[1]] for limb in skeleton.limbs)


def _draw_person(
    frame: NDArray[np.uint8],
    name: str,
    points: list[list[int]],
    visible: list[bool],
    width: int,
    single: Color | None,
) -> None:
    """Dark outline first, colours over it, keypoints on top."""
    skeleton = skeletons.get(name)
    limbs = [
        (points[a], points[b], single or color)
        for (a, b), color in zip(skeleton.limbs, _limb_colors(name), strict=True)
        if visible[a] and visible[b]
    ]
    for start, end, _ in limbs:
        cv2.line(frame, start, end, _OUTLINE, width + 2, cv2.LINE_AA, _SHIFT)
    for start, end, color in limbs:
        cv2.line(frame, start, end, color, width, cv2.LINE_AA, _SHIFT)
    radius = round((width * 0.75 + 1) * (1 << _SHIFT))
    for point, color, shown in zip(points, skeleton.colors, visible, strict=True):
        if shown:
            cv2.circle(frame, point, radius + (1 << _SHIFT), _OUTLINE, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(frame, point, radius, single or color, -1, cv2.LINE_AA, _SHIFT)
