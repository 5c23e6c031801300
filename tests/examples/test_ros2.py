"""The ROS 2 example on stand-ins of its messages: topics and fields by REP-155, ids, the newest picture alone."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heatstream
from heatstream.results import Faces, Pose, Poses, Result, StageTimes
from heatstream.skeletons import COCO_17, W300_68
from tests.fakes import ros
from tests.fakes.patience import HANG_SECONDS, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ros2"
SIZE = (640, 480)


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[None]:
    """The example can be imported, as when it is installed."""
    sys.path.insert(0, str(EXAMPLE))
    yield
    sys.path.remove(str(EXAMPLE))


class Topics:
    """What a node publishes: messages by topic, and which publishers there are."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any]] = []
        self.open: dict[str, type] = {}

    def create(self, kind: type, topic: str) -> Any:
        assert topic not in self.open
        self.open[topic] = kind
        topics = self

        class Publisher:
            name = topic

            def publish(self, message: Any) -> None:
                assert isinstance(message, kind)
                topics.messages.append((topic, message))

        return Publisher()

    def destroy(self, publisher: Any) -> None:
        del self.open[publisher.name]

    def take(self) -> dict[str, Any]:
        taken = dict(self.messages)
        assert len(taken) == len(self.messages), "a topic twice in a picture"
        self.messages.clear()
        return taken


def types() -> Any:
    from heatstream_ros2.messages import MessageTypes

    return MessageTypes(
        skeleton=ros.Skeleton2D,
        point=ros.NormalizedPointOfInterest2D,
        region=ros.NormalizedRegionOfInterest2D,
        ids=ros.IdsList,
        face=ros.FacialLandmarks,
    )


def header(time: float) -> ros.Header:
    return ros.Header(ros.Time(int(time), round(time % 1 * 1e9)), "camera")


def seen(ids: list[int], *, faces: bool = False) -> Result:
    """People whose keypoint K is at (10 K, 20 K) px, but for the first one's, of whom a part is outside."""
    count = len(ids)
    points = np.tile(np.arange(17, dtype=np.float32)[:, None] * (10, 20), (count, 1, 1)) + 5
    scores = np.full((count, 17), 0.75, np.float32)
    found = None
    if faces:
        landmarks = np.full((count, 68, 2), 50.0)
        found = Faces(
            landmarks, np.full(count, 0.5), np.zeros((count, 4)), np.zeros(count), np.arange(count), "300w-68"
        )
    poses = Poses(points, scores, np.full(count, 0.6), "coco-17", np.array(ids, np.int64))
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    return Result(poses, StageTimes({}, latency=0.0), found, frame)


def test_a_hundred_pictures_of_nobody_to_five_people() -> None:
    from heatstream_ros2.publisher import HumansPublisher

    topics = Topics()
    publisher = HumansPublisher(types(), topics.create, topics.destroy)
    for number in range(100):
        ids = [person for person in range(1, 6) if (number // person) % 2] if number % 10 else []
        publisher.publish(header(5 + number / 30), seen(ids, faces=number % 2 == 0))
        taken = topics.take()
        names = [f"body_{person:05d}" for person in ids]
        assert taken["/humans/bodies/tracked"].ids == names
        expected = {f"/humans/bodies/{name}/{what}" for name in names for what in ("skeleton2d", "roi")}
        faces = [f"face_{person:05d}" for person in ids] if number % 2 == 0 else []
        assert taken["/humans/faces/tracked"].ids == faces
        expected |= {f"/humans/faces/{name}/landmarks" for name in faces}
        assert set(taken) == expected | {"/humans/bodies/tracked", "/humans/faces/tracked"}
        assert set(topics.open) == set(taken), "who left has no topics any more"
        for topic, message in taken.items():
            assert re.fullmatch(r"/[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*", topic, re.ASCII)
            assert message.header == header(5 + number / 30), "stamps are the picture's"
            if isinstance(message, ros.Skeleton2D):
                assert len(message.skeleton) == 18
                assert all(0 <= value <= 1 for point in message.skeleton for value in (point.x, point.y, point.c))
            if isinstance(message, ros.FacialLandmarks):
                assert len(message.landmarks) == 70
                assert (message.width, message.height) == SIZE
                assert [point.c for point in message.landmarks] == [0.5] * 68 + [0.0, 0.0]


def test_every_point_is_where_the_constants_say() -> None:
    from heatstream_ros2.messages import SKELETON_2D, skeleton_2d

    for name in SKELETON_2D:
        assert SKELETON_2D[getattr(ros.Skeleton2D, name.upper())] == name
    (pose,) = seen([1]).poses
    points = skeleton_2d(types(), header(0), pose, SIZE).skeleton
    for name in COCO_17.keypoints:
        point = points[getattr(ros.Skeleton2D, name.upper())]
        place = pose.joint(name)
        assert (point.x, point.y) == pytest.approx((place[0] / 640, place[1] / 480))
        assert point.c == 0.75
    assert (points[14].x, points[15].x) == pytest.approx((15 / 640, 25 / 640))  # left eye, then right eye


def test_the_neck_is_the_middle_of_the_shoulders_and_what_is_missing_or_outside_is_told() -> None:
    from heatstream_ros2.messages import region, skeleton_2d

    points = np.full((17, 2), 100, np.float32)
    scores = np.full(17, 0.9, np.float32)
    left, right, nose, ankle = (
        COCO_17.keypoints.index(name) for name in ("left_shoulder", "right_shoulder", "nose", "left_ankle")
    )
    points[left], points[right] = (200, 120), (300, 140)
    scores[right] = 0.4
    points[nose] = (-30, 700)
    points[ankle], scores[ankle] = (0, 0), 0
    pose = Pose(points, scores, 0.8, "coco-17", 3)
    found = skeleton_2d(types(), header(0), pose, SIZE).skeleton
    neck = found[ros.Skeleton2D.NECK]
    assert (neck.x, neck.y, neck.c) == pytest.approx((250 / 640, 130 / 480, 0.4))
    assert (found[ros.Skeleton2D.NOSE].x, found[ros.Skeleton2D.NOSE].y) == (0, 1)  # moved to the border
    assert found[ros.Skeleton2D.LEFT_ANKLE].c == 0
    box = region(types(), header(0), pose, SIZE)
    assert (box.xmin, box.ymin, box.xmax, box.ymax) == pytest.approx((0, 100 / 480, 300 / 640, 1))
    assert box.c == 0.8
    scores[left] = 0
    neck = skeleton_2d(types(), header(0), replace(pose, keypoint_scores=scores), SIZE).skeleton[1]
    assert neck.c == 0  # of one shoulder there is no middle
    assert W300_68.num_keypoints == 68


@pytest.mark.parametrize(("encoding", "channels"), [("bgr8", 3), ("rgb8", 3), ("bgra8", 4), ("rgba8", 4), ("mono8", 1)])
def test_pictures_of_every_encoding_and_step(encoding: str, channels: int) -> None:
    from heatstream_ros2.node import bgr

    picture = np.random.default_rng(0).integers(0, 255, (4, 6, channels), dtype=np.uint8)
    rows = np.zeros((4, 6 * channels + 5), np.uint8)
    rows[:, : 6 * channels] = picture.reshape(4, -1)
    image = ros.Image(height=4, width=6, encoding=encoding, step=rows.shape[1], data=rows.tobytes())
    expected = {
        "bgr": picture[..., :3],
        "rgb": picture[..., 2::-1],
        "mon": picture[..., [0, 0, 0]] if channels == 1 else None,
    }
    assert np.array_equal(bgr(image), expected[encoding[:3]])
    with pytest.raises(heatstream.HeatstreamError, match="32FC1 are not known"):
        bgr(replace(image, encoding="32FC1"))


def test_the_newest_picture_alone_is_looked_at_and_people_keep_their_ids() -> None:
    from heatstream_ros2.node import People
    from heatstream_ros2.publisher import HumansPublisher

    begun, gate = threading.Event(), threading.Event()
    looked: list[int] = []

    class Pipeline:
        def __call__(self, frame: Any) -> Result:
            looked.append(int(frame[0, 0, 0]))
            begun.set()
            gate.wait(HANG_SECONDS)
            result = seen([-1])
            return replace(result, frame=frame)

        def close(self) -> None:
            looked.append(-1)

    topics, told = Topics(), list[str]()
    people: Any = People(Pipeline(), HumansPublisher(types(), topics.create, topics.destroy), told.append)  # type: ignore[arg-type]
    for number in range(5):
        data = np.full((480, 640, 3), number, np.uint8).tobytes()
        image = ros.Image(header(1 + number / 30), 480, 640, "bgr8", 0, 640 * 3, data)
        people.newest.put(image)
        if number == 0:
            assert begun.wait(HANG_SECONDS)
    gate.set()
    until(lambda: looked[-1] == 4)
    people.close()
    assert looked == [0, 4, -1]
    assert people.newest.dropped == 3
    tracked = [message for topic, message in topics.messages if topic == "/humans/bodies/tracked"]
    assert [message.ids for message in tracked] == [["body_00001"], ["body_00001"]]
    assert [message.header.stamp for message in tracked] == [header(1).stamp, header(1 + 4 / 30).stamp]
    assert told == []


def test_stand_ins_have_no_field_too_many() -> None:
    """The fields of the message files of hri_msgs; a real class refuses any other."""
    names = {kind.__name__: {field.name for field in fields(kind)} for kind in (ros.IdsList, ros.Skeleton2D)}
    assert names == {"IdsList": {"header", "ids"}, "Skeleton2D": {"header", "skeleton"}}
