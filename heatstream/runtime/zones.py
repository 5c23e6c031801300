"""Zones, lines and postures: events about tracked people, by geometry.

A TOML file says what to watch; points are in pixels of a picture of the size ``frame``, and are scaled to the frames::

    frame = [1280, 720]  # width, height

    [[zone]]
    name = "door"
    polygon = [[100, 400], [400, 400], [400, 700], [100, 700]]
    joints = ["left_ankle", "right_ankle"]  # the mean of those seen; all joints when left out
    dwell = 10.0  # an event after so many seconds inside; none when left out

    [[line]]
    name = "gate"
    from = [640, 0]
    to = [640, 720]
    joints = ["left_hip", "right_hip"]

    [[posture]]
    posture = "lying"  # or "hands up"
    seconds = 1.0  # for how long before it counts

The events are ``enter``, ``leave`` and ``dwell`` of a zone, ``cross`` of a line, ``posture`` and ``posture_end``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError, UnknownNameError
from heatstream.results import Event, EventKind, Poses, Result
from heatstream.runtime.body_size import SEEN_SCORE, body_heights
from heatstream.runtime.zone_file import read_zones
from heatstream.runtime.zone_rules import Line, PostureRule, Rule, Zone

__all__ = ["Zones"]

MARGIN = 0.02  # body heights beyond a border, before a change of sides counts: people on it do not flicker
HOLD_SECONDS = 0.2  # outside of a zone, before somebody has left it: keypoints that jump away and back do not count
LEAST_SECONDS = 1e-3  # times of frames are rounded
GONE_SECONDS = 3.0  # who is out of sight for so long has left; it is the tracker's memory
LYING_DEGREES = 60.0  # the trunk's tilt from upright, at least
HANDS_UP_MARGIN = 0.03  # body heights of both wrists above the head, at least


@dataclass(eq=False)
class _Watched:
    """What is known of one person and one rule.

    Attributes:
        inside: in the zone, on the right of the line, or in the posture; None while that was not to be seen yet.
        since: capture time since when.
        position: (x, y) px where the joints were seen last.
        told: whether the dwelling, or the posture, was told.
        changing: since when a posture is another, or somebody is outside of a zone that they have not left yet; None
            while it is not so.
    """

    inside: bool | None = None
    since: float = 0.0
    position: tuple[float, float] = (0.0, 0.0)
    told: bool = False
    changing: float | None = None


@dataclass(eq=False)
class _Person:
    seen: float = 0.0
    rules: dict[int, _Watched] = field(default_factory=dict)


class Zones:
    """Watches tracked people: ``events = zones(result)``, result by result in order.

    One is for one source, and for one thread at a time.

    Args:
        rules: the zones, lines and postures to watch.
        frame_size: (width, height) px of the picture in which their points are; those of the frames when None.
        on_event: called with every event, on the thread that calls; what it raises is raised there.

    Raises:
        InputError: there is nothing to watch, or a size is not positive.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...],
        *,
        frame_size: tuple[float, float] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if not rules:
            raise InputError("there is nothing to watch: give at least one zone, line or posture")
        if frame_size is not None and min(frame_size) <= 0:
            raise InputError(f"a frame's size must be positive, got {frame_size}")
        self.rules = rules
        self.frame_size = frame_size
        self._on_event = on_event
        self._people: dict[int, _Person] = {}

    @classmethod
    def read(cls, path: Path | str, *, on_event: Callable[[Event], None] | None = None) -> Zones:
        """What a TOML file says; the module's text shows one.

        Raises:
            InputError: the file cannot be read, is not TOML, or says something that cannot be watched.
        """
        rules, frame_size = read_zones(Path(path))
        return cls(rules, frame_size=frame_size, on_event=on_event)

    def check(self, skeleton: str) -> None:
        """Refuse what cannot be watched on people of a skeleton, before the first frame.

        Raises:
            UnknownNameError: a zone or line names a joint that it has not got, or a posture needs one.
        """
        nobody = Poses.empty(skeleton)
        for rule in self.rules:
            if isinstance(rule, PostureRule):
                _postures(rule.posture, nobody, np.zeros(0, np.float32))
            else:
                _points(nobody, rule.joints)

    def afresh(self) -> Zones:
        """The same rules for another source: nobody has been seen yet."""
        return Zones(self.rules, frame_size=self.frame_size, on_event=self._on_event)

    def __call__(self, result: Result) -> list[Event]:
        """What happened since the result before.

        Args:
            result: the next one of a stream, its people with ids; whoever has none is left out.

        Raises:
            UnknownNameError: the people's skeleton has no such joint.
        """
        events = [replace(event, source=result.source) for event in self._events(result)]
        for event in events:
            if self._on_event is not None:
                self._on_event(event)
        return events

    def _events(self, result: Result) -> Iterator[Event]:
        poses, time = result.poses, result.capture_time
        scale = self._scale(result)
        heights = body_heights(poses)
        present = [(row, int(poses.ids[row])) for row in np.flatnonzero(poses.ids >= 0)]
        for number, rule in enumerate(self.rules):
            if isinstance(rule, PostureRule):
                states = _postures(rule.posture, poses, heights)
                points = _points(poses, ())
            else:
                points = _points(poses, rule.joints)
                states = None
            for row, name in present:
                watched = self._people.setdefault(name, _Person()).rules.setdefault(number, _Watched())
                if math.isnan(points[row, 0]):
                    continue
                position = (float(points[row, 0]), float(points[row, 1]))
                margin = MARGIN * float(heights[row])
                stamp = (name, result.frame_index, time)
                if isinstance(rule, Zone):
                    yield from _zone_events(rule, watched, position, margin, scale, stamp)
                elif isinstance(rule, Line):
                    yield from _line_events(rule, watched, position, margin, scale, stamp)
                elif states is not None:
                    yield from _posture_events(rule, watched, position, states[row], stamp)
                watched.position = position
        for _, name in present:
            self._people[name].seen = time
        yield from self._gone(result)

    def _scale(self, result: Result) -> NDArray[np.float64]:
        height, width = result.frame.shape[:2]
        if self.frame_size is None or not width:
            return np.ones(2)
        return np.array([width, height]) / self.frame_size

    def _gone(self, result: Result) -> Iterator[Event]:
        """Those who are out of sight for long have left, and are forgotten."""
        for name, person in list(self._people.items()):
            if 0 <= result.capture_time - person.seen <= GONE_SECONDS:
                continue
            for number, watched in person.rules.items():
                rule = self.rules[number]
                stamp = (name, result.frame_index, person.seen)
                if watched.inside and isinstance(rule, Zone):
                    left = person.seen if watched.changing is None else watched.changing
                    yield _event("leave", rule.name, stamp, watched.position, seconds=left - watched.since)
                if watched.told and isinstance(rule, PostureRule):
                    yield _event(
                        "posture_end", rule.posture, stamp, watched.position, seconds=person.seen - watched.since
                    )
            del self._people[name]


Stamp: TypeAlias = tuple[int, int, float]
"""Id, frame index, capture time."""


def _event(
    kind: EventKind,
    name: str,
    stamp: Stamp,
    position: tuple[float, float],
    *,
    direction: Literal["left", "right"] | None = None,
    seconds: float | None = None,
) -> Event:
    return Event(kind, name, *stamp, position, direction, seconds)


def _zone_events(
    zone: Zone,
    watched: _Watched,
    position: tuple[float, float],
    margin: float,
    scale: NDArray[np.float64],
    stamp: Stamp,
) -> Iterator[Event]:
    time = stamp[2]
    polygon = (np.array(zone.polygon) * scale).astype(np.float32)
    within = cv2.pointPolygonTest(polygon, position, measureDist=True)  # px, positive inside
    inside = within > (-margin if watched.inside else margin)
    if inside and not watched.inside:
        watched.since, watched.told = time, False
        yield _event("enter", zone.name, stamp, position)
    if watched.inside and not inside:
        left = watched.changing = time if watched.changing is None else watched.changing
        if time - left < HOLD_SECONDS - LEAST_SECONDS:
            return
        yield _event("leave", zone.name, stamp, position, seconds=left - watched.since)
    watched.inside, watched.changing = inside, None
    if inside and zone.dwell is not None and not watched.told and time - watched.since >= zone.dwell:
        watched.told = True
        yield _event("dwell", zone.name, stamp, position, seconds=time - watched.since)


def _line_events(
    line: Line,
    watched: _Watched,
    position: tuple[float, float],
    margin: float,
    scale: NDArray[np.float64],
    stamp: Stamp,
) -> Iterator[Event]:
    start, end = np.array(line.start) * scale, np.array(line.end) * scale
    along = end - start
    length = float(np.hypot(*along))
    offset = np.array(position) - start
    # y points down, so that positive is on the right for one who looks along the line.
    side = float(along[0] * offset[1] - along[1] * offset[0]) / length
    if abs(side) <= margin:
        return
    right = side > 0
    if watched.inside is not None and right != watched.inside:
        before = np.array(watched.position) - start
        other = float(along[0] * before[1] - along[1] * before[0]) / length
        # Where the way from the last place led over the line, 0..1 along it; from the last place if that was on it.
        share = other / (other - side) if other * side < 0 else 0.0
        where = float((before + share * (offset - before)) @ along) / length**2
        if 0 <= where <= 1:
            yield _event("cross", line.name, stamp, position, direction="right" if right else "left")
    watched.inside = right


def _posture_events(
    rule: PostureRule, watched: _Watched, position: tuple[float, float], state: bool | None, stamp: Stamp
) -> Iterator[Event]:
    time = stamp[2]
    if state is None or state == watched.told:
        watched.changing = None if state is not None else watched.changing
        return
    if watched.changing is None:
        watched.changing = time
    if time - watched.changing < rule.seconds:
        return
    began, watched.changing, watched.told = watched.changing, None, state
    if state:
        watched.since = began
        yield _event("posture", rule.posture, stamp, position)
    else:
        yield _event("posture_end", rule.posture, stamp, position, seconds=began - watched.since)


def _points(poses: Poses, joints: tuple[str, ...]) -> NDArray[np.float64]:
    """(N, 2) px, the mean of the joints that are seen, of all joints when none are named; NaN where none is seen."""
    names = skeletons.get(poses.skeleton).keypoints
    for name in joints:
        if name not in names:
            raise UnknownNameError.among(names, kind=f"keypoint of {poses.skeleton}", name=name)
    chosen = [names.index(name) for name in joints] if joints else list(range(len(names)))
    seen = (poses.keypoint_scores[:, chosen] >= SEEN_SCORE)[:, :, None]
    count = seen.sum(axis=1)
    total = np.where(seen, poses.keypoints[:, chosen], 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _postures(posture: str, poses: Poses, heights: NDArray[np.float32]) -> list[bool | None]:
    """Of each person whether they are in a posture; None where that is not to be seen."""
    if posture == "lying":
        shoulders, hips = _points(poses, _both("shoulder")), _points(poses, _both("hip"))
        across, down = np.abs(hips - shoulders).T
        tilt = np.degrees(np.arctan2(across, down))
        return [None if math.isnan(value) else bool(value >= LYING_DEGREES) for value in tilt]
    left, right = _points(poses, ("left_wrist",))[:, 1], _points(poses, ("right_wrist",))[:, 1]
    head = _points(poses, _head(poses.skeleton))[:, 1]
    above = head - np.maximum(left, right)
    return [
        None if math.isnan(value) else bool(value > HANDS_UP_MARGIN * height)
        for value, height in zip(above, heights, strict=True)
    ]


def _both(joint: str) -> tuple[str, str]:
    return f"left_{joint}", f"right_{joint}"


def _head(skeleton: str) -> tuple[str, ...]:
    names = skeletons.get(skeleton).keypoints
    return ("nose", *_both("eye")) if "nose" in names else ("head_top",)
