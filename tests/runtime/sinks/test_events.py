"""Events as lines and as clips of the seconds before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks import ClipRecorder, EventsSink
from heatstream.runtime.zone_rules import Zone
from heatstream.runtime.zones import Zones
from tests.demo.helpers import count_frames, read_lines
from tests.fakes.runtime import whiten
from tests.runtime.test_zones import person, seen

ROOM = Zone("the room", ((40, 30), (80, 30), (80, 70), (40, 70)), ("nose",))


def walk(seconds: float, inside: set[int]) -> list[Result]:
    """Somebody who is in the room in some frames, 5 per second."""
    zones = Zones((ROOM,))
    results = []
    for number in range(int(seconds * 5)):
        result = seen(person(0), number, fps=5, size=(96, 128))
        keypoints = np.full((1, 17, 2), 60.0 if number in inside else 10.0, np.float32)
        result = replace(result, poses=replace(result.poses, keypoints=keypoints))
        results.append(replace(result, events=tuple(zones(result))))
    return results


def test_events_are_lines_and_clips_hold_every_frame_once(tmp_path: Path) -> None:
    clips = ClipRecorder(tmp_path / "clips", whiten, fps=5, live=False)
    sink = EventsSink(tmp_path / "events.jsonl", [clips])
    for result in walk(40, inside={60, 61, 70, 71}):
        sink.write(result)
    assert sink.close() == tmp_path / "events.jsonl"
    assert [(line["event"], line["frame_index"]) for line in read_lines(tmp_path / "events.jsonl")] == [
        ("enter", 60), ("leave", 63), ("enter", 70), ("leave", 73),
    ]  # fmt: skip
    # Frames 10 to 60, then 61 to 110, in which the other three are.
    found = sorted((tmp_path / "clips").iterdir())
    assert [path.name for path in found] == ["12.00-enter-the_room-1.mp4", "12.60-leave-the_room-1.mp4"]
    assert [count_frames(path) for path in found] == [51, 50]


def test_a_clip_that_is_due_at_the_end_is_written(tmp_path: Path) -> None:
    clips = ClipRecorder(tmp_path, whiten, fps=5, live=False)
    sink = EventsSink(tmp_path / "events.jsonl", [clips])
    for result in walk(3, inside={5, 6}):
        sink.write(result)
    sink.close()
    assert sorted(count_frames(path) for path in tmp_path.glob("*.mp4")) == [6, 9]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be made"):
        ClipRecorder(tmp_path / "file" / "clips", whiten, fps=None, live=True)
