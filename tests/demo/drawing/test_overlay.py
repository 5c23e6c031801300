"""The overlay of a run: its text, and its mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heatstream.demo.drawing.overlay import Overlay
from heatstream.drawing import draw
from heatstream.results import Faces
from tests.fakes.runtime import result


def test_a_mirror_shows_everything_the_other_way_round_but_for_text() -> None:
    item = result(0, size=(120, 160))
    points = np.random.default_rng(0).uniform(20, 100, (1, 17, 2)).astype(np.float32)
    points[0, 3] = 0  # a missing one
    scores = np.where(np.arange(17) == 3, 0, 0.9).astype(np.float32)[None]
    landmarks = np.random.default_rng(1).uniform(20, 100, (1, 68, 2)).astype(np.float32)
    faces = Faces(landmarks, np.ones(1), np.zeros((1, 4)), np.zeros(1), np.array([-1]), "300w-68")
    item = replace(item, poses=replace(item.poses, keypoints=points, keypoint_scores=scores), faces=faces)
    item.frame[:, :40] = 30
    before = item.frame.copy()
    picture = Overlay(mirror=True)(item)
    plain = draw(item.frame, item)
    # Lines are drawn from the other end, which moves some of their pixels by one.
    assert np.abs(picture[:, ::-1].astype(int) - plain).mean() < 0.05 * np.abs(plain.astype(int) - before).mean()
    np.testing.assert_array_equal(item.frame, before)

    def text() -> str:
        return "q ends"

    with_text = Overlay(mirror=True, text=text)(item)
    changed = np.argwhere((with_text != picture).any(axis=2))
    assert changed[:, 1].max() < 80, "text stands in the upper left corner"
