"""What a frame yields: frozen dataclasses of arrays, checked once when they are made.

::

    Result ─┬─ poses: Poses, of which one person is a Pose
            ├─ faces: Faces, of which one face is a Face; None unless faces are looked for
            ├─ events: Event of zones, lines and postures, where these are watched
            ├─ timing: StageTimes
            └─ gap: Gap, what kept a live source silent before this frame; None nearly always

What leaves the process is :meth:`Result.to_dict`: :mod:`heatstream.messages` says what is in it.

All coordinates are (x, y) in pixels of the source image, float32. Pixel centres lie at +0.5, so that the image reaches
from (0, 0) to (width, height).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError, UnknownNameError

__all__ = ["Event", "Face", "Faces", "Gap", "Peaks", "Pose", "Poses", "Result", "StageTimes"]

Chosen: TypeAlias = "slice | NDArray[np.bool_] | NDArray[np.integer] | Sequence[int] | Sequence[bool]"
"""Some of several: a slice, a mask, or indices."""

Some = TypeVar("Some", "Poses", "Faces")


EventKind: TypeAlias = Literal["enter", "leave", "dwell", "cross", "posture", "posture_end"]


@dataclass(frozen=True, eq=False)
class Pose(skeletons.OfSkeleton):
    """One person.

    Attributes:
        keypoints: (K, 2) float32, (x, y) in px. A missing keypoint is (0, 0) with score 0.
        keypoint_scores: (K,) float32, 0..1.
        score: 0..1.
        skeleton: name of the keypoint layout.
        id: identity across frames, -1 without tracking.
    """

    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    score: float
    skeleton: str
    id: int = -1

    def joint(self, name: str) -> NDArray[np.float32]:
        """(2,) float32, where a keypoint is, for example ``"left_wrist"``; (0, 0) where it is missing.

        Raises:
            UnknownNameError: the layout has no such keypoint.
        """
        point: NDArray[np.float32] = self.keypoints[_index(self.skeleton, name)]
        return point

    def to_dict(self) -> dict[str, Any]:
        """Id (None without tracking), score and [x, y, score] * K, ready for JSON."""
        triples = np.column_stack([self.keypoints, self.keypoint_scores]).astype(np.float64)
        return {
            "id": self.id if self.id >= 0 else None,
            "score": round(self.score, 5),
            "keypoints": triples.round(3).tolist(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Poses(skeletons.OfSkeleton):
    """The people in one frame: N of them, with the K keypoints of one skeleton. Pipelines give the surest one first.

    ``len(poses)`` counts them, ``for pose in poses`` goes through them, ``poses[0]`` is a :class:`Pose`, and
    ``poses[poses.scores > 0.5]``, ``poses[:3]`` or ``poses[[0, 2]]`` are Poses again.

    Attributes:
        keypoints: (N, K, 2) float32, (x, y) in px. A missing keypoint is (0, 0) with score 0.
        keypoint_scores: (N, K) float32, 0..1, 0 where the keypoint is missing.
        scores: (N,) float32, 0..1, the mean of the keypoint scores as detected (missing ones count as 0).
        skeleton: name of the keypoint layout, which :func:`heatstream.skeletons.get` finds.
        ids: (N,) int64 identities across frames, -1 without tracking. May be left out.

    Raises:
        InputError: an array has the wrong number of dimensions, or shapes disagree.
    """

    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    skeleton: str
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        count = skeletons.get(self.skeleton).num_keypoints
        keypoints = np.asarray(self.keypoints, np.float32)
        if keypoints.ndim != 3:
            raise InputError(
                f"Poses.keypoints must have shape (N, {count}, 2) for {self.skeleton}, got {keypoints.shape}"
            )
        people = len(keypoints)
        ids = np.asarray(self.ids, np.int64)
        if people and ids.size == 0:
            ids = np.full(people, -1, np.int64)
        _set_arrays(
            self,
            keypoints=(keypoints, (people, count, 2)),
            keypoint_scores=(np.asarray(self.keypoint_scores, np.float32), (people, count)),
            scores=(np.asarray(self.scores, np.float32), (people,)),
            ids=(ids, (people,)),
        )

    @classmethod
    def empty(cls, skeleton: str) -> Poses:
        """Nobody in view."""
        count = skeletons.get(skeleton).num_keypoints
        return cls(
            keypoints=np.zeros((0, count, 2), np.float32),
            keypoint_scores=np.zeros((0, count), np.float32),
            scores=np.zeros(0, np.float32),
            skeleton=skeleton,
        )

    def __len__(self) -> int:
        return len(self.keypoints)

    def __iter__(self) -> Iterator[Pose]:
        return map(self._pose, range(len(self)))

    @overload
    def __getitem__(self, chosen: int | np.integer) -> Pose: ...

    @overload
    def __getitem__(self, chosen: Chosen) -> Poses: ...

    def __getitem__(self, chosen: int | np.integer | Chosen) -> Pose | Poses:
        if isinstance(chosen, (int, np.integer)):
            return self._pose(int(chosen))
        return _some(self, chosen, "keypoints", "keypoint_scores", "scores", "ids")

    def __repr__(self) -> str:
        return f"Poses({_counted(len(self), 'person', 'people')} of {self.skeleton}{_listed(self.scores)})"

    def above(self, score: float) -> Poses:
        """The people whose score is at least this."""
        return self[self.scores >= score]

    def joint(self, name: str) -> NDArray[np.float32]:
        """(N, 2) float32, where everyone's keypoint of that name is, for example ``"left_wrist"``; (0, 0) if missing.

        Raises:
            UnknownNameError: the layout has no such keypoint.
        """
        return self.keypoints[:, _index(self.skeleton, name)]

    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) float32, (x0, y0, x1, y1) around each person's keypoints that have a score, in px."""
        seen = (self.keypoint_scores > 0)[:, :, None]
        low = np.where(seen, self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen, self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        boxes = np.concatenate([low, high], axis=1)
        return np.where(np.isfinite(boxes), boxes, 0).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """``skeleton`` and ``people``, each as :meth:`Pose.to_dict` gives it, ready for JSON."""
        return {"skeleton": self.skeleton, "people": [pose.to_dict() for pose in self]}

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """One entry per person in the COCO keypoint results format.

        ``keypoints`` is [x, y, score] * K. COCO measures from the centre of the first pixel while our pixel
        centres lie at +0.5; as the published evaluations do, coordinates are written unchanged.

        Args:
            image_id: id of the image.
            category_id: COCO's category of a person is 1.
        """
        triples = np.concatenate([self.keypoints, self.keypoint_scores[:, :, None]], axis=2)
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(float(value), 4) for value in person.ravel()],
                "score": round(float(score), 6),
            }
            for person, score in zip(triples, self.scores, strict=True)
        ]

    def _pose(self, person: int) -> Pose:
        return Pose(
            self.keypoints[person],
            self.keypoint_scores[person],
            float(self.scores[person]),
            self.skeleton,
            int(self.ids[person]),
        )


@dataclass(frozen=True, eq=False)
class Face(skeletons.OfSkeleton):
    """One face, or one body that was found in a box.

    Attributes:
        landmarks: (L, 2) float32, (x, y) in px.
        score: 0..1.
        box: (4,) float32, (x0, y0, x1, y1) in px.
        angle: radians by which the box is turned about its middle.
        person: whose face it is, an index into the frame's :class:`Poses`; -1 for a box given by hand.
        skeleton: name of the landmark layout.
    """

    landmarks: NDArray[np.float32]
    score: float
    box: NDArray[np.float32]
    angle: float
    person: int
    skeleton: str

    def landmark(self, name: str) -> NDArray[np.float32]:
        """(2,) float32, where a landmark is, for example ``"nose_bridge_0"``.

        Raises:
            UnknownNameError: the layout has no such landmark.
        """
        point: NDArray[np.float32] = self.landmarks[_index(self.skeleton, name)]
        return point

    def to_dict(self) -> dict[str, Any]:
        """Person (None for a box given by hand), score, box, angle and [x, y] * L, ready for JSON."""
        return {
            "person": self.person if self.person >= 0 else None,
            "score": round(self.score, 5),
            "box": [round(float(value), 2) for value in self.box],
            "angle": round(self.angle, 4),
            "landmarks": self.landmarks.astype(np.float64).round(3).tolist(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Faces(skeletons.OfSkeleton):
    """The faces of one frame: N sets of the L landmarks of one layout. Bodies in boxes are such sets too.

    Those of people come with the surest first, those of given boxes in the order of the boxes. They are counted, gone
    through and chosen from as :class:`Poses` are.

    Attributes:
        landmarks: (N, L, 2) float32, (x, y) in px.
        scores: (N,) float32, 0..1: how sure the network is that there is such a face. Where there is none the score
            is low and the landmarks mean nothing.
        boxes: (N, 4) float32, (x0, y0, x1, y1) in px: the region that the network looked at, tight around the face,
            before it is turned about its middle.
        angles: (N,) float32, radians by which the region is turned, from x towards y: clockwise as one sees it.
        people: (N,) int64, whose face it is: index into the frame's :class:`Poses`; -1 for boxes given by hand.
        skeleton: name of the landmark layout, which :func:`heatstream.skeletons.get` finds.

    Raises:
        InputError: an array has the wrong number of dimensions, or shapes disagree.
    """

    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    angles: NDArray[np.float32]
    people: NDArray[np.int64]
    skeleton: str

    def __post_init__(self) -> None:
        count = skeletons.get(self.skeleton).num_keypoints
        landmarks = np.asarray(self.landmarks, np.float32)
        if landmarks.ndim != 3:
            raise InputError(
                f"Faces.landmarks must have shape (N, {count}, 2) for {self.skeleton}, got {landmarks.shape}"
            )
        faces = len(landmarks)
        _set_arrays(
            self,
            landmarks=(landmarks, (faces, count, 2)),
            scores=(np.asarray(self.scores, np.float32), (faces,)),
            boxes=(np.asarray(self.boxes, np.float32), (faces, 4)),
            angles=(np.asarray(self.angles, np.float32), (faces,)),
            people=(np.asarray(self.people, np.int64), (faces,)),
        )

    @classmethod
    def empty(cls, skeleton: str) -> Faces:
        """No face in view."""
        return cls(
            landmarks=np.zeros((0, skeletons.get(skeleton).num_keypoints, 2), np.float32),
            scores=np.zeros(0, np.float32),
            boxes=np.zeros((0, 4), np.float32),
            angles=np.zeros(0, np.float32),
            people=np.zeros(0, np.int64),
            skeleton=skeleton,
        )

    def __len__(self) -> int:
        return len(self.landmarks)

    def __iter__(self) -> Iterator[Face]:
        return map(self._face, range(len(self)))

    @overload
    def __getitem__(self, chosen: int | np.integer) -> Face: ...

    @overload
    def __getitem__(self, chosen: Chosen) -> Faces: ...

    def __getitem__(self, chosen: int | np.integer | Chosen) -> Face | Faces:
        if isinstance(chosen, (int, np.integer)):
            return self._face(int(chosen))
        return _some(self, chosen, "landmarks", "scores", "boxes", "angles", "people")

    def __repr__(self) -> str:
        return f"Faces({_counted(len(self), 'face', 'faces')} of {self.skeleton}{_listed(self.scores)})"

    def above(self, score: float) -> Faces:
        """The faces whose score is at least this."""
        return self[self.scores >= score]

    def landmark(self, name: str) -> NDArray[np.float32]:
        """(N, 2) float32, where every face's landmark of that name is, for example ``"nose_bridge_0"``.

        Raises:
            UnknownNameError: the layout has no such landmark.
        """
        return self.landmarks[:, _index(self.skeleton, name)]

    def to_dict(self) -> dict[str, Any]:
        """``skeleton`` and ``faces``, each as :meth:`Face.to_dict` gives it, ready for JSON."""
        return {"skeleton": self.skeleton, "faces": [face.to_dict() for face in self]}

    def _face(self, face: int) -> Face:
        return Face(
            self.landmarks[face],
            float(self.scores[face]),
            self.boxes[face],
            float(self.angles[face]),
            int(self.people[face]),
            self.skeleton,
        )


@dataclass(frozen=True)
class StageTimes:
    """Where one frame's time went, in seconds.

    Attributes:
        stages: by name, in the order of the frame's way. On the CPU ``"preprocess"`` brings it to the network's size,
            ``"network"`` runs the network, ``"decode"`` goes from its maps to people. On a GPU these are one graph:
            ``"host copy"`` hands the frame over, ``"gpu"`` is all that the GPU does, copies included, ``"unpack"``
            reads the people. ``"faces"`` follows where faces are looked for.
        latency: from the moment the frame was there to the moment its result was, waiting included.
        capture: reading and decompressing it; for live sources also the wait for it. 0 outside of a stream.
        per_face: ``"faces"`` divided by the heads that were looked at; None where there was none.
        ages: how old the frame was, in seconds since it was taken, after each stage of a stream: ``"arrived"`` at this
            machine, ``"read"`` and decompressed, ``"begun"`` by a worker, ``"found"`` when its people were known and
            ``"given"`` to the caller. Empty for files, whose frames have no age.
    """

    stages: Mapping[str, float]
    latency: float
    capture: float = 0.0
    per_face: float | None = None
    ages: Mapping[str, float] = field(default_factory=dict)

    def named(self) -> dict[str, float]:
        """All of them by name, in the order of the frame's way."""
        per_face = {} if self.per_face is None else {"per face": self.per_face}
        age = {"age": self.ages["given"]} if "given" in self.ages else {}
        return {"capture": self.capture, **self.stages, **per_face, "latency": self.latency, **age}


@dataclass(frozen=True)
class Gap:
    """A live source gave no frames for a while.

    Attributes:
        seconds: since its last frame, or since it was opened where there was none: so far, or in all once it is over.
        reason: ``"stalled"``: nothing came any more; ``"ended"``: the connection or device went away; ``"garbage"``:
            what came was no picture; ``"absent"``: it was not there when the stream began.
        over: whether frames are back.
        source: of a stream of several sources which one, as in :class:`Result`; None where there is one.
    """

    seconds: float
    reason: str
    over: bool
    source: int | None = None


PEAKS_HEAD = struct.Struct("<4sHH6d")
PEAKS_MAGIC = b"HSP1"


@dataclass(frozen=True, eq=False)
class Peaks:
    """The detections of one frame, before they became people: P of all joints, ordered by joint, strongest first.

    Attributes:
        joints: (P,) uint8, index of the keypoint.
        scores: (P,) float32, heights of heatmaps.
        places: (P, 2) float32, (x, y) in map px, between pixels too.
        tags: (P, T) float32.
        to_source: (2, 3) float64: map px to px of the source.
    """

    joints: NDArray[np.uint8]
    scores: NDArray[np.float32]
    places: NDArray[np.float32]
    tags: NDArray[np.float32]
    to_source: NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """For recordings: a head, then the arrays in their order, little-endian."""
        head = PEAKS_HEAD.pack(PEAKS_MAGIC, len(self.joints), self.tags.shape[1], *self.to_source.ravel())
        arrays = (self.scores, self.places, self.tags)
        return head + self.joints.tobytes() + b"".join(array.astype("<f4").tobytes() for array in arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> Peaks:
        """What :meth:`to_bytes` gave.

        Raises:
            InputError: it is something else, or of a newer version.
        """
        try:
            magic, count, tag_size, *matrix = PEAKS_HEAD.unpack_from(data)
        except struct.error:
            magic, count, tag_size, matrix = b"", 0, 0, []
        if magic != PEAKS_MAGIC or len(data) != PEAKS_HEAD.size + count * (1 + 4 * (3 + tag_size)):
            raise InputError("these are no peaks of a recording, or those of a newer heatstream: decode them with that")
        joints = np.frombuffer(data, np.uint8, count, PEAKS_HEAD.size)
        numbers = np.frombuffer(data, "<f4", offset=PEAKS_HEAD.size + count).astype(np.float32)
        scores, places, tags = np.split(numbers, [count, 3 * count])
        return cls(
            joints, scores, places.reshape(count, 2), tags.reshape(count, tag_size), np.array(matrix).reshape(2, 3)
        )


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        kind: ``enter``, ``leave`` or ``dwell`` of a zone, ``cross`` of a line, ``posture`` or ``posture_end``.
        name: the zone's, the line's, or the posture.
        id: whose doing it is.
        frame_index: the frame in which it was noticed.
        capture_time: that frame's, in seconds. Of ``leave`` and ``posture_end`` of somebody who went out of sight, when
            they were seen last.
        position: (x, y) in px, where the watched joints were.
        direction: of ``cross``: ``"right"`` or ``"left"``, the side that was gone to, for one who looks from the line's
            ``from`` to its ``to``; None for others.
        seconds: of ``leave``, ``dwell`` and ``posture_end`` how long it lasted up to then; None for others.
        source: of a stream of several sources which one, as in :class:`Result`; None where there is one.
    """

    kind: EventKind
    name: str
    id: int
    frame_index: int
    capture_time: float
    position: tuple[float, float]
    direction: Literal["left", "right"] | None = None
    seconds: float | None = None
    source: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """An event message, ready for JSON; what is None is left out."""
        entries: dict[str, Any] = {
            "type": "event",
            "event": self.kind,
            "name": self.name,
            "id": self.id,
            "frame_index": self.frame_index,
            "capture_time": round(self.capture_time, 6),
            "position": [round(value, 2) for value in self.position],
        }
        if self.direction is not None:
            entries["direction"] = self.direction
        if self.seconds is not None:
            entries["seconds"] = round(self.seconds, 3)
        if self.source is not None:
            entries["source"] = self.source
        return entries

    def to_json(self) -> str:
        """:meth:`to_dict` on one line."""
        return json.dumps(self.to_dict())


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What was found in one frame: what ``pipeline(frame)`` returns, and what a stream gives frame by frame.

    Attributes:
        poses: the people.
        timing: where the time went.
        faces: their faces; None unless faces are looked for.
        frame: (H, W, 3) uint8, BGR, the frame itself; (0, 0, 3) for a frame in a GPU's memory.
        frame_index: number of the frame in its stream, from 0; dropped frames leave gaps.
        capture_time: when a stream's frame was taken, in seconds: since the epoch for live sources, since the start of
            the clip for files. Setting the system's clock does not move it while frames flow.
        capture_monotonic: the same moment in seconds of ``time.perf_counter()``, which nobody sets; None for files.
        capture_clock: who said so: ``"driver"``, the camera's driver; ``"sender"``, a network camera's own clock, by
            RTCP; ``"stream"``, the stream's time stamps, laid against the fastest arrivals; ``"arrival"``, when it
            reached this machine; ``"file"``. See docs/cameras.md.
        dropped: how many frames of the stream were dropped before this one, since its start.
        picture: file name of a stream's picture; None for frames of a video or camera.
        image_id: of COCO results, the picture's; None where the frame index is.
        gap: what kept the source silent between the result before and this one; None nearly always.
        source: of a stream of several sources which one it is, from 0 in their order; None where there is one. Frame
            index, capture time, dropped frames and people's ids are counted within each source.
        events: what happened, where :class:`heatstream.Zones` watch; None where nothing is watched.
        peaks: what people were made of; None unless a pipeline was told to keep it.
    """

    poses: Poses
    timing: StageTimes
    faces: Faces | None = None
    frame: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    frame_index: int = 0
    capture_time: float = 0.0
    dropped: int = 0
    picture: str | None = None
    image_id: int | None = None
    capture_monotonic: float | None = None
    capture_clock: str = "file"
    gap: Gap | None = None
    source: int | None = None
    events: tuple[Event, ...] | None = None
    peaks: Peaks | None = None

    def __repr__(self) -> str:
        faces = "" if self.faces is None else f"{self.faces}, "
        return f"Result(frame {self.frame_index}, {self.poses}, {faces}{self.timing.latency * 1000:.1f} ms)"

    def to_dict(self) -> dict[str, Any]:
        """The message of this frame, ready for JSON; :class:`heatstream.messages.ResultMessage` says what is in it."""
        height, width = self.frame.shape[:2]
        entries: dict[str, Any] = {"type": "result"}
        if self.source is not None:
            entries["source"] = self.source
        if self.picture is not None:
            entries["picture"] = self.picture
        entries |= {
            "frame_index": self.frame_index,
            "capture_time": round(self.capture_time, 6),
            "capture_clock": self.capture_clock,
            "frame_size": [width, height] if self.frame.size else None,
            "dropped": self.dropped,
        }
        if self.gap is not None:
            entries["gap"] = {"seconds": round(self.gap.seconds, 3), "reason": self.gap.reason}
        entries |= {
            "timing": {name: round(seconds, 6) for name, seconds in self.timing.named().items()},
        }
        entries |= self.poses.to_dict()
        if self.faces is not None:
            entries |= {"face_skeleton": self.faces.skeleton, "faces": self.faces.to_dict()["faces"]}
        if self.events is not None:
            entries["events"] = [event.to_dict() for event in self.events]
        return entries

    def to_json(self) -> str:
        """:meth:`to_dict` on one line."""
        return json.dumps(self.to_dict())


def _set_arrays(result: Poses | Faces, **arrays: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Set arrays of a frozen result, each with the shape that it must have."""
    for name, (array, expected) in arrays.items():
        if array.shape != expected:
            raise InputError(
                f"{type(result).__name__}.{name} must have shape {expected} for {result.skeleton}, got {array.shape}"
            )
        object.__setattr__(result, name, array)


def _some(result: Some, chosen: Chosen, *names: str) -> Some:
    """The chosen rows of all arrays of a result."""
    if not isinstance(chosen, slice):
        indices = np.asarray(chosen)
        chosen = indices if indices.size else indices.astype(np.intp)  # an empty list has no type of its own
    return replace(result, **{name: getattr(result, name)[chosen] for name in names})


def _index(skeleton: str, name: str) -> int:
    names = skeletons.get(skeleton).keypoints
    if name not in names:
        raise UnknownNameError.among(names, kind=f"keypoint of {skeleton}", name=name)
    return names.index(name)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _listed(scores: NDArray[np.float32]) -> str:
    """The first few scores, human-readable."""
    if not len(scores):
        return ""
    shown = ", ".join(f"{score:.2f}" for score in scores[:5])
    return f", scores {shown}{', ...' if len(scores) > 5 else ''}"
