"""JSON Lines: what a line holds, and that each is there at once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heatstream.results import Faces
from heatstream.runtime.sinks import JsonLinesSink
from tests.fakes.messages import HEADER
from tests.fakes.runtime import result


def test_each_line_is_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("from an earlier run\n")
    sink = JsonLinesSink(path, HEADER)
    for number in range(3):
        sink.write(result(number))
        header, *lines = path.read_text().splitlines()  # the sink is still open
        assert json.loads(header) == HEADER
        assert [json.loads(line)["frame_index"] for line in lines] == list(range(number + 1))
    assert sink.close() == path
    assert json.loads(lines[0]) == result(0).to_dict()


def test_a_picture_is_named_in_its_line(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl", HEADER)
    sink.write(result(4, picture='a "b".jpg'))
    sink.close()
    line = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])
    assert (line["picture"], line["frame_index"]) == ('a "b".jpg', 4)


@pytest.mark.parametrize("picture", [None, "a.jpg"])
def test_faces_stand_beside_their_people_in_a_line(picture: str | None, tmp_path: Path) -> None:
    landmarks = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    faces = Faces(landmarks, np.ones(2), np.zeros((2, 4)), np.zeros(2), np.array([0, 0]), "300w-68")
    sink = JsonLinesSink(tmp_path / "out.jsonl", HEADER)
    for found in (faces, faces[:0]):
        sink.write(replace(result(4, picture=picture), faces=found))
    sink.close()
    _, two, none = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert none == {**two, "faces": []}
    assert (two["face_skeleton"], two["faces"]) == ("300w-68", faces.to_dict()["faces"])
    people = {name: value for name, value in two.items() if not name.startswith("face")}
    assert people.pop("picture", None) == picture
    assert people == result(4).to_dict()
