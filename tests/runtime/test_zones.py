"""Zones, lines and postures: the right event at the right time, and none for people on a border."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.moving_people import STANDING
from heatstream.errors import InputError, UnknownNameError
from heatstream.results import Event, Poses, Result, StageTimes
from heatstream.runtime.zone_rules import Line, PostureRule, Zone
from heatstream.runtime.zones import Zones

HEIGHT = 300.0  # px
FEET = ("left_ankle", "right_ankle")
ROOM = Zone("room", ((400, 300), (800, 300), (800, 700), (400, 700)), FEET, dwell=1.0)
GATE = Line("gate", (600, 0), (600, 720), FEET)


def person(x: float, y: float = 500.0, body: np.ndarray = STANDING, *, own: int = 1, score: float = 0.8) -> Poses:
    """Somebody whose feet are at (x, y) px."""
    keypoints = ((body - [0, 0.96]) * HEIGHT + [x, y])[None]
    return Poses(keypoints, np.full((1, 17), score), np.array([score]), "coco-17", np.array([own]))


def seen(poses: Poses, number: int, fps: float = 10.0, size: tuple[int, int] = (720, 1280)) -> Result:
    frame = np.zeros((*size, 3), np.uint8)
    return Result(poses, StageTimes({}, 0.0), frame=frame, frame_index=number, capture_time=number / fps)


def watch(zones: Zones, people: list[Poses]) -> list[tuple[str, int]]:
    """Kinds of events and the frames in which they were told."""
    return [(event.kind, event.frame_index) for n, poses in enumerate(people) for event in zones(seen(poses, n))]


def nobody(frames: int) -> list[Poses]:
    return [Poses.empty("coco-17")] * frames


def test_a_visit_is_entering_dwelling_and_leaving() -> None:
    told: list[Event] = []
    zones = Zones((ROOM,), on_event=told.append)
    way = [*np.arange(300, 600, 50), *[600] * 10, *np.arange(600, 1051, 50)]
    # It is told when they have been outside for 0.2 s, and the visit ends where that began.
    assert watch(zones, [person(x) for x in way]) == [("enter", 3), ("dwell", 13), ("leave", 23)]
    enter, dwell, leave = told
    assert (enter.name, enter.id, enter.position) == ("room", 1, pytest.approx((450, 500)))
    assert enter.seconds is None
    assert (dwell.seconds, leave.seconds) == pytest.approx((1.0, 1.8))


def test_people_on_a_border_do_not_flicker() -> None:
    zones = Zones((ROOM, GATE))
    rng = np.random.default_rng(0)
    jitter = [person(x + rng.uniform(-4, 4)) for x in [400] * 50 + [600] * 50]
    assert [kind for kind, _ in watch(zones, jitter)].count("enter") == 1
    assert "cross" not in [kind for kind, _ in watch(Zones((GATE,)), jitter[50:])]


@pytest.mark.parametrize(("frames", "expected"), [(1, ["enter"]), (4, ["enter"]), (7, ["enter", "leave", "enter"])])
def test_who_flickers_out_for_less_than_a_fifth_of_a_second_has_not_left(frames: int, expected: list[str]) -> None:
    """At 30 frames per second; a joint that is not seen moves the mean of the others out of the zone, and back."""
    zones = Zones((ROOM,))
    way = [600] * 5 + [900] * frames + [600] * 5
    kinds = [event.kind for number, x in enumerate(way) for event in zones(seen(person(x), number, fps=30))]
    assert kinds == expected


def test_who_goes_out_of_sight_has_left_when_last_seen() -> None:
    zones = Zones((ROOM,))
    assert watch(zones, [person(600)] * 10 + nobody(30)) == [("enter", 0)]
    (event,) = zones(seen(nobody(1)[0], 41))
    assert (event.kind, event.capture_time, event.seconds) == ("leave", pytest.approx(0.9), pytest.approx(0.9))


@pytest.mark.parametrize(
    ("way", "directions"),
    [
        ((500, 550, 620, 700), ["left"]),
        ((700, 620, 550, 500), ["right"]),
        ((550, 601, 650), ["left"]),  # a frame on the line itself
        ((550, 620, 550), ["left", "right"]),
        ((500, 580, 500), []),
    ],
)
def test_a_line_tells_the_side_that_was_gone_to(way: tuple[float, ...], directions: list[str]) -> None:
    zones = Zones((GATE,))  # it points down the picture: its left is the greater x
    events = [event for number, x in enumerate(way) for event in zones(seen(person(x), number))]
    assert [event.direction for event in events] == directions


def test_passing_beyond_the_end_of_a_line_is_no_crossing() -> None:
    short = Line("gate", (600, 0), (600, 300), FEET)
    assert watch(Zones((short,)), [person(500), person(700)]) == []
    assert watch(Zones((short,)), [person(500, 250), person(700, 250)]) == [("cross", 1)]


def test_postures_are_told_when_they_last() -> None:
    lying = (STANDING - [0, 0.5])[:, ::-1]
    up = STANDING.copy()
    up[9:11, 1] = -0.1
    for posture, body in (("lying", lying), ("hands up", up)):
        zones = Zones((PostureRule(posture, seconds=0.5),))  # type: ignore[arg-type]
        short = [person(600, body=body)] * 4
        people = [*short, person(600), *[person(600, body=body)] * 10, *[person(600)] * 10]
        assert watch(zones, people) == [("posture", 10), ("posture_end", 20)]


def test_joints_that_are_not_seen_change_nothing() -> None:
    zones = Zones((ROOM, PostureRule("hands up", seconds=0)))
    blind = person(1000, score=0.05)
    assert watch(zones, [person(600), blind, blind, person(600)]) == [("enter", 0)]


def test_people_without_an_id_are_left_out() -> None:
    assert watch(Zones((ROOM,)), [person(600, own=-1)] * 5) == []


FILE = """
frame = [640, 360]

[[zone]]
name = "room"
polygon = [[200, 150], [400, 150], [400, 350], [200, 350]]
joints = ["left_ankle", "right_ankle"]

[[line]]
name = "gate"
from = [300, 0]
to = [300, 360]

[[posture]]
posture = "hands up"
"""


def test_a_file_is_read_and_scaled_to_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "zones.toml"
    path.write_text(FILE)
    zones = Zones.read(path)
    assert [type(rule) for rule in zones.rules] == [Zone, Line, PostureRule]
    (event,) = zones(seen(person(420), 0))  # twice as large as the file's picture
    assert json.loads(event.to_json()) == {
        "type": "event",
        "event": "enter",
        "name": "room",
        "id": 1,
        "frame_index": 0,
        "capture_time": 0.0,
        "position": [420.0, 500.0],
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[zone]", "zones.toml is not TOML"),
        ("", "nothing to watch"),
        pytest.param(f"frame = [1, {'9' * 5000}]", "thousands of digits", id="5000 digits"),
        pytest.param(f"frame = [1, 0x{'f' * 5000}]", "thousands of digits", id="5000 hexadecimal digits"),
        pytest.param(f"frame = {'[' * 5000}", "lists hundreds deep", id="5000 lists"),
        ("[[zone]]\nname = 'a'\npolygon = [[0, 0], [1, 1]]", "zone.0.polygon"),
        ("[[zone]]\nname = 'a'\npolygon = [[0, 0], [1, 1], [1, 0]]\ndwel = 3", "there is no key zone.0.dwel"),
        ("[[line]]\nname = 'a'\nfrom = [0, 0]", "line.0.to is missing"),
        ("[[line]]\nname = 'a'\nfrom = [0, 0]\nto = [0, 0]", "begins where it ends"),
        ("[[posture]]\nposture = 'standing'", "posture.0.posture"),
        ("frame = [0, 5]\n[[posture]]\nposture = 'lying'", "size must be positive"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "zones.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        Zones.read(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_joint_of_another_skeleton_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"zones.toml cannot be read \(No such file"):
        Zones.read(tmp_path / "zones.toml")
    zones = Zones((Zone("a", ROOM.polygon, ("head_top",)),))
    with pytest.raises(UnknownNameError, match="head_top"):
        zones(seen(person(600), 0))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Zone("a", ROOM.polygon, ("left_ancle",)), "did you mean 'left_ankle'"),
        (PostureRule("lying"), None),
        (PostureRule("hands up"), None),
    ],
)
def test_joints_are_looked_up_before_the_first_frame(rule: Any, told: str | None) -> None:
    zones = Zones((rule,))
    if told is None:
        zones.check("coco-17")
    else:
        with pytest.raises(UnknownNameError, match=told):
            zones.check("coco-17")
    with pytest.raises(UnknownNameError, match="keypoint of 300w-68"):
        zones.check("300w-68")
