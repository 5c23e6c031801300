"""COCO results: an array that pycocotools reads after every frame, in memory that does not grow."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from heatstream.results import Poses
from heatstream.runtime.sinks import CocoSink
from tests.fakes.runtime import result


def test_the_array_is_whole_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    sink = CocoSink(path)
    nobody = replace(result(0), poses=Poses.empty("coco-17"))
    for number, item in enumerate((nobody, result(1), nobody, result(3))):
        sink.write(item)
        expected = [result(index).poses.to_coco(index)[0] for index in (1, 3) if index <= number]
        assert json.loads(path.read_text()) == expected
    assert sink.close() == path
    assert json.loads(path.read_text()) == expected


@pytest.mark.parametrize(("picture", "image_id"), [("000000000790.jpg", 790), ("holiday.jpg", None), (None, None)])
def test_entries_carry_the_pictures_id(picture: str | None, image_id: int | None, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    sink = CocoSink(path)
    sink.write(replace(result(7, picture=picture), image_id=image_id))
    sink.close()
    (entry,) = json.loads(path.read_text())
    assert entry == result(7).poses.to_coco(7 if image_id is None else image_id)[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


def test_memory_does_not_grow(tmp_path: Path) -> None:
    sink = CocoSink(tmp_path / "out.json")
    item = result(0)
    sink.write(item)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(300):
        sink.write(item)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    sink.close()
    assert len(json.loads((tmp_path / "out.json").read_text())) == 301
    assert grown < 100_000  # kept in memory, they take 700 kB
