"""What a frame yields: frozen dataclasses of arrays, checked once when they are made."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.errors import InputError

__all__ = ["Faces", "Poses"]


def _untracked() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Poses:
    """Everyone found in one frame: N people with the K keypoints of one skeleton.

    Attributes:
        keypoints: (N, K, 2) float32, (x, y) in pixels, pixel centres at +0.5. What a :class:`Pipeline` returns
            is in pixels of the source image. A missing keypoint is (0, 0) with score 0.
        keypoint_scores: (N, K) float32, 0..1, 0 where the keypoint is missing.
        scores: (N,) float32, 0..1, the mean of the keypoint scores as detected (missing ones count as 0).
        skeleton: name of the keypoint layout, one of :data:`heatstream.skeletons.SKELETONS`.
        ids: (N,) int64 identities across frames, -1 where nobody tracks. May be left out.
        frame_index: number of the frame in its source, from 0.
        capture_time: when the frame was taken, in seconds: since the epoch for live sources, since the start
            of the clip for files.

    Raises:
        InputError: an array has the wrong number of dimensions, or shapes disagree.
    """

    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.float32]
    scores: NDArray[np.float32]
    skeleton: str
    ids: NDArray[np.int64] = field(default_factory=_untracked)
    frame_index: int = 0
    capture_time: float = 0.0

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
    def empty(cls, skeleton: str, *, frame_index: int = 0, capture_time: float = 0.0) -> Poses:
        """Nobody in view."""
        count = skeletons.get(skeleton).num_keypoints
        return cls(
            keypoints=np.zeros((0, count, 2), np.float32),
            keypoint_scores=np.zeros((0, count), np.float32),
            scores=np.zeros(0, np.float32),
            skeleton=skeleton,
            frame_index=frame_index,
            capture_time=capture_time,
        )

    def __len__(self) -> int:
        return len(self.keypoints)

    def at(self, *, frame_index: int, capture_time: float) -> Poses:
        """The same people, stamped with the frame they were seen in."""
        return replace(self, frame_index=frame_index, capture_time=capture_time)

    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) float32, (x0, y0, x1, y1) around each person's keypoints that have a score, in pixels."""
        seen = (self.keypoint_scores > 0)[:, :, None]
        low = np.where(seen, self.keypoints, np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen, self.keypoints, -np.inf).max(axis=1, initial=-np.inf)
        boxes = np.concatenate([low, high], axis=1)
        return np.where(np.isfinite(boxes), boxes, 0).astype(np.float32)

    def to_coco(self, image_id: int | None = None, category_id: int = 1) -> list[dict[str, Any]]:
        """One entry per person in the COCO keypoint results format.

        ``keypoints`` is [x, y, score] * K. COCO measures from the centre of the first pixel while our pixel
        centres lie at +0.5; as the published evaluations do, coordinates are written unchanged.

        Args:
            image_id: id of the image; the frame index when left out.
            category_id: COCO's category of a person is 1.
        """
        triples = np.concatenate([self.keypoints, self.keypoint_scores[:, :, None]], axis=2)
        return [
            {
                "image_id": self.frame_index if image_id is None else image_id,
                "category_id": category_id,
                "keypoints": [round(float(value), 4) for value in person.ravel()],
                "score": round(float(score), 6),
            }
            for person, score in zip(triples, self.scores, strict=True)
        ]

    def to_json(self) -> str:
        """One line of JSON: frame, time, skeleton and people, each with id, score and [x, y, score] * K."""
        triples = np.concatenate([self.keypoints, self.keypoint_scores[:, :, None]], axis=2)
        return json.dumps(
            {
                "frame_index": self.frame_index,
                "capture_time": round(self.capture_time, 6),
                "skeleton": self.skeleton,
                "people": [
                    {
                        "id": int(identity) if identity >= 0 else None,
                        "score": round(float(score), 5),
                        "keypoints": [[round(float(v), 3) for v in point] for point in person],
                    }
                    for person, score, identity in zip(triples, self.scores, self.ids, strict=True)
                ],
            }
        )


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces looked at in one frame: N sets of the L landmarks of one layout. Bodies in boxes are such sets too.

    Pixel centres lie at whole numbers here, as in H3R's code and in the datasets of landmarks; those of
    :class:`Poses` lie at +0.5.

    Attributes:
        landmarks: (N, L, 2) float32, (x, y) in pixels of the source image.
        scores: (N,) float32, 0..1: how sure the network is that there is such a face; see
            :func:`confidence`. What is no face has a low one, and landmarks without
            meaning.
        boxes: (N, 4) float32, (x0, y0, x1, y1): the first and the last pixel of the region that was looked at, before
            it is turned about its middle.
        angles: (N,) float32, radians by which the region is turned, from x towards y: clockwise as one sees it.
        people: (N,) int64, whose face it is: index into the frame's :class:`Poses`; -1 for boxes given by hand.
        skeleton: name of the landmark layout, one of :data:`heatstream.skeletons.SKELETONS`.
        frame_index: number of the frame in its source, from 0.
        capture_time: when the frame was taken, as in :class:`Poses`.

    Raises:
        InputError: an array has the wrong number of dimensions, or shapes disagree.
    """

    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    angles: NDArray[np.float32]
    people: NDArray[np.int64]
    skeleton: str
    frame_index: int = 0
    capture_time: float = 0.0

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
    def empty(cls, skeleton: str, *, frame_index: int = 0, capture_time: float = 0.0) -> Faces:
        """No face in view."""
        return cls(
            landmarks=np.zeros((0, skeletons.get(skeleton).num_keypoints, 2), np.float32),
            scores=np.zeros(0, np.float32),
            boxes=np.zeros((0, 4), np.float32),
            angles=np.zeros(0, np.float32),
            people=np.zeros(0, np.int64),
            skeleton=skeleton,
            frame_index=frame_index,
            capture_time=capture_time,
        )

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Faces:
        """Some of the faces: those of a mask, of indices, or of a slice."""
        arrays = {name: getattr(self, name)[chosen] for name in ("landmarks", "scores", "boxes", "angles", "people")}
        return replace(self, **arrays)

    def at(self, *, frame_index: int, capture_time: float) -> Faces:
        """The same faces, stamped with the frame they were seen in."""
        return replace(self, frame_index=frame_index, capture_time=capture_time)

    def to_json(self) -> str:
        """One line of JSON: frame, time, skeleton and what :meth:`entries` gives."""
        return json.dumps(
            {
                "frame_index": self.frame_index,
                "capture_time": round(self.capture_time, 6),
                "skeleton": self.skeleton,
                "faces": self.entries(),
            }
        )

    def entries(self) -> list[dict[str, Any]]:
        """Of each face the person (null for boxes given by hand), score, box, angle and [x, y] * L, ready for JSON."""
        return [
            {
                "person": int(person) if person >= 0 else None,
                "score": round(float(score), 5),
                "box": [round(float(value), 2) for value in box],
                "angle": round(float(angle), 4),
                "landmarks": [[round(float(value), 3) for value in point] for point in points],
            }
            for points, score, box, angle, person in zip(
                self.landmarks, self.scores, self.boxes, self.angles, self.people, strict=True
            )
        ]


def _set_arrays(result: Poses | Faces, **arrays: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Set arrays of a frozen result, each with the shape that it must have."""
    for name, (array, expected) in arrays.items():
        if array.shape != expected:
            raise InputError(
                f"{type(result).__name__}.{name} must have shape {expected} for {result.skeleton}, got {array.shape}"
            )
        object.__setattr__(result, name, array)
