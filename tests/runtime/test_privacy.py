"""Frames without pixels, and with heads that nobody knows again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heatstream.results import Faces, Result
from heatstream.runtime.privacy import heads_blurred, without_pixels
from heatstream.skeletons import COCO_17
from tests.fakes.runtime import result

SHOULDERS = tuple(map(COCO_17.keypoints.index, ("left_shoulder", "right_shoulder")))
NOSE = COCO_17.keypoints.index("nose")


def seen(points: dict[int, tuple[float, float]]) -> Result:
    """Somebody of whom only some keypoints were found, before noise of 200x200 px."""
    one = result(size=(200, 200))
    keypoints, scores = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32)
    for index, place in points.items():
        keypoints[0, index], scores[0, index] = place, 0.9
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    return replace(one, frame=noise, poses=replace(one.poses, keypoints=keypoints, keypoint_scores=scores))


def blurred(before: Result) -> np.ndarray:
    """(H, W) bool, which pixels have changed; the frame itself stays as it was."""
    kept = before.frame.copy()
    after = heads_blurred(before)
    assert np.array_equal(before.frame, kept)
    assert after.poses is before.poses
    return (after.frame != before.frame).any(axis=2)


def test_no_pixel_is_left() -> None:
    before = seen({NOSE: (100, 50)})
    after = without_pixels(before)
    assert after.frame.shape == before.frame.shape
    assert len(np.unique(after.frame)) == 1
    assert after.poses is before.poses


@pytest.mark.parametrize(
    ("points", "inside", "outside"),
    [
        # Of a face 20 px wide the chin and the hair are blurred too, the feet are not.
        ({0: (100, 50), 3: (90, 48), 4: (110, 48), 15: (100, 190)}, [(100, 50), (100, 70), (100, 30)], (100, 150)),
        # A profile whose keypoints fall together: the body's size tells the head's.
        ({0: (100, 50), 15: (100, 190)}, [(100, 50), (95, 45)], (100, 150)),
        # No keypoint of the face: what is above the shoulders.
        ({SHOULDERS[0]: (80, 120), SHOULDERS[1]: (120, 120)}, [(100, 90), (100, 60)], (100, 190)),
        # At the border, and beyond it.
        ({0: (2, 2), 3: (-8, 2), 4: (12, 2)}, [(1, 1)], (100, 100)),
    ],
)
def test_a_head_is_blurred_and_the_rest_is_not(
    points: dict[int, tuple[float, float]], inside: list[tuple[int, int]], outside: tuple[int, int]
) -> None:
    changed = blurred(seen(points))
    for x, y in inside:
        assert changed[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].all()
    assert not changed[outside[1], outside[0]]


def test_faces_are_blurred_too_and_nobody_is_nothing() -> None:
    nobody = seen({})
    assert not blurred(nobody).any()
    landmarks = np.random.default_rng(1).uniform(40, 60, (1, 68, 2))
    faces = Faces(landmarks, np.ones(1), np.zeros((1, 4)), np.zeros(1), np.array([0]), "300w-68")
    assert blurred(replace(nobody, faces=faces))[40:60, 40:60].mean() > 0.98


def test_a_frame_in_a_gpus_memory_passes() -> None:
    before = replace(seen({NOSE: (100, 50)}), frame=np.zeros((0, 0, 3), np.uint8))
    assert heads_blurred(before) is before
    assert without_pixels(before).frame.size == 0
