"""The topics of REP-155 for the people of one camera: who is there, and a set of topics for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heatstream import Result
from heatstream_ros2.messages import MessageTypes, body_id, face_id, facial_landmarks, region, skeleton_2d

BODIES = "/humans/bodies"
FACES = "/humans/faces"


class HumansPublisher:
    """Publishes results; who has left has no topics any more.

    Args:
        types: classes of ``hri_msgs``.
        create: makes a publisher of a class and topic, as ``Node.create_publisher`` does.
        destroy: takes it away again.
    """

    def __init__(
        self, types: MessageTypes, create: Callable[[Any, str], Any], destroy: Callable[[Any], object]
    ) -> None:
        self._types = types
        self._create = create
        self._destroy = destroy
        self._topics: dict[str, Any] = {}
        self._tracked = {kind: create(types.ids, f"{kind}/tracked") for kind in (BODIES, FACES)}

    def publish(self, header: Any, result: Result) -> None:
        """Publish one picture's people.

        Args:
            header: of the picture, with the stamp of when it was taken.
            result: with ids; who has none yet is left out.
        """
        types = self._types
        size = result.frame.shape[1], result.frame.shape[0]
        people = {pose.id: pose for pose in result.poses if pose.id >= 0 and (pose.keypoint_scores > 0).any()}
        wanted: dict[str, tuple[Any, Any]] = {}
        for person, pose in people.items():
            topic = f"{BODIES}/{body_id(person)}"
            wanted[f"{topic}/skeleton2d"] = (types.skeleton, skeleton_2d(types, header, pose, size))
            wanted[f"{topic}/roi"] = (types.region, region(types, header, pose, size))
        faces = {}
        if result.faces is not None:
            ids = result.poses.ids
            faces = {int(ids[face.person]): face for face in result.faces if face.person >= 0 and ids[face.person] >= 0}
        for person, face in faces.items():
            wanted[f"{FACES}/{face_id(person)}/landmarks"] = (types.face, facial_landmarks(types, header, face, size))
        for topic in [topic for topic in self._topics if topic not in wanted]:
            self._destroy(self._topics.pop(topic))
        for topic, (kind, message) in wanted.items():
            if topic not in self._topics:
                self._topics[topic] = self._create(kind, topic)
            self._topics[topic].publish(message)
        for kind, ids_of in ((BODIES, map(body_id, people)), (FACES, map(face_id, faces))):
            self._tracked[kind].publish(types.ids(header=header, ids=list(ids_of)))
