"""A result drawn: a new picture, with the faces where these are looked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.demo.drawing.overlay import Overlay
from heatstream.errors import InputError
from heatstream.results import Faces, Poses, Result, StageTimes

FRAME = np.zeros((200, 300, 3), np.uint8)
POSES = Poses(np.full((1, 17, 2), 50), np.ones((1, 17)), np.ones(1), "coco-17")
LANDMARKS = np.random.default_rng(0).uniform((200, 60), (280, 140), (1, 68, 2))
FACES = Faces(LANDMARKS, np.ones(1), np.zeros((1, 4)), np.zeros(1), np.zeros(1, int), "300w-68")


def result(faces: Faces | None = None) -> Result:
    return Result(POSES, StageTimes({}, latency=0.0), faces=faces, frame=FRAME)


def test_faces_are_drawn_where_they_are_looked_for() -> None:
    without, nobody, one = (heatstream.draw(FRAME, result(faces)) for faces in (None, Faces.empty("300w-68"), FACES))
    assert not FRAME.any(), "the frame stays as it is"
    assert (without == nobody).all()
    assert without.any()
    assert not without[:, 150:].any()
    assert one[:, 150:].any()


def test_options_reach_the_drawing() -> None:
    assert not heatstream.draw(FRAME, result(), min_score=2).any()
    by_side, by_person = heatstream.draw(FRAME, result()), heatstream.draw(FRAME, result(), colors="person")
    assert (by_side != by_person).any()


def test_any_strides_will_do() -> None:
    assert heatstream.draw(FRAME[:, ::-1], result()).any()
    assert heatstream.draw(np.broadcast_to(np.uint8(9), (60, 60, 3)), result()).max() > 9


@pytest.mark.parametrize("frame", [None, np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3))])
def test_what_is_no_frame_is_refused(frame: Any) -> None:
    with pytest.raises(InputError, match="a frame must be"):
        heatstream.draw(frame, result())


def test_the_overlay_is_the_drawing_with_a_line_of_text() -> None:
    plain, lettered = Overlay()(result()), Overlay(text=lambda: "24 FPS")(result())
    assert (plain == heatstream.draw(FRAME, result())).all()
    assert (plain[:40, :120] != lettered[:40, :120]).any()
