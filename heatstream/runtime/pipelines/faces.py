"""Faces of the people in a frame, without a face detector: a pose pipeline, then a landmark pipeline.

::

    frame -> pose pipeline -> Poses -> a region from nose, eyes and ears -> landmark pipeline -> Faces
                                         or around the face of a frame ago    ^ all faces in one batch;
                                                                              once more where a region was poor

Keypoints of a body tell only roughly where a face is. So the box around the landmarks that were found is compared with
the region that was looked at, and where they differ the network looks again, in that box.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from heatstream import skeletons
from heatstream.frames import check_frame
from heatstream.results import Faces, Poses, Result
from heatstream.runtime.engines.base import Engine
from heatstream.runtime.pipelines.base import PosePipeline, describe
from heatstream.runtime.pipelines.face_regions import (
    FaceRegions,
    eyes_of,
    face_keypoints,
    landmark_regions,
    regions_of_poses,
)
from heatstream.runtime.pipelines.frame_slot import GpuFrame
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.landmarks_gpu import GpuLandmarkPipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline

__all__ = ["FaceCascade"]

FARTHEST = 0.6
"""Between the middles of a face and of the region that its person's keypoints give, in sides of that region: what is
farther off is another's face, or none."""

EYES_APART = 0.3
"""Largest mean distance between a face's eyes and its person's eye keypoints, in sides of the keypoints' region. On
coco_people/train it is below 0.19 for 97 % of the faces that the landmarks sit on, and above 0.3 for 62 % of what is no
face, or another's."""

SIZES = (0.4, 2.0)
"""Least and largest side of a face, in sides of the region that its person's keypoints give."""

SAME_FACE = 0.3
"""Between the middles of two faces, in sides of the smaller: nearer ones are one face, of a person found twice."""

HOPELESS = 0.5
"""Of the threshold of faces: what scores less at first sight is not looked at again."""

POOR_SHIFT, POOR_GROWTH, POOR_TURN = 0.1, 1.2, np.radians(15)
"""A region was poor if the box around its landmarks lies off by more than this many sides, is that many times larger
or smaller, or is turned by more than this many radians. On faces/val with boxes put off at random, a second look then
lowers the error by a third and more, and by nothing where the region was better."""


class FaceCascade(PosePipeline):
    """Finds people and the landmarks of their faces in BGR frames of any size.

    Args:
        poses: finds the people; the cascade closes it.
        landmarks: finds landmarks in boxes; the cascade closes it.
        follow: begin with the faces of the call before. That is for the frames of one stream, in their order and
            from one thread; :func:`heatstream.stream` does so where it works on one frame at a time, as it does for
            cameras. Where it works on several at once, as for files, chance decides which are done before another
            begins, so there every frame stands for itself, and looks twice more often.

    Raises:
        InputError: the poses have no nose, eyes and ears, or the landmarks are not those of faces.
    """

    def __init__(self, poses: PosePipeline, landmarks: LandmarkPipeline, *, follow: bool = False) -> None:
        self.poses = poses
        self.landmarks = landmarks
        self.follow = follow
        self._keypoints = face_keypoints(skeletons.get(poses.info.skeleton))
        self._layout = skeletons.get(landmarks.info.skeleton)
        eyes_of(self._layout)
        self._before = Faces.empty(self._layout.name)

    @property
    def engine(self) -> Engine:
        """That of the poses."""
        return self.poses.engine

    @property
    def reason(self) -> str:
        """As of the poses."""
        return self.poses.reason

    @property
    def face_skeleton(self) -> str:
        """The layout of its landmarks."""
        return self._layout.name

    @property
    def parallel_runs(self) -> int:
        """As of the poses, which take most of the time."""
        return self.poses.parallel_runs

    def __str__(self) -> str:
        return describe(self.engine, self.landmarks.engine)

    def for_throughput(self) -> FaceCascade:
        """The same cascade for several frames at once, each of which stands for itself."""
        return FaceCascade(self.poses.for_throughput(), self.landmarks.for_throughput())

    def for_stream(self) -> FaceCascade:
        """The same cascade for one stream, following faces from its first frame on."""
        return FaceCascade(self.poses.for_stream(), self.landmarks, follow=True)

    def __call__(self, frame: object) -> Result:
        """Find the people in a frame and their faces; see :class:`PosePipeline`.

        Who shows no face, a small one, or one that the network is not sure of
        (:class:`heatstream.runtime.pipelines.landmarks.LandmarkSettings`) has none. Where both networks are on a GPU,
        faces are cut from the frame that is there already.
        """
        if isinstance(self.poses, GpuPosePipeline) and isinstance(self.landmarks, GpuLandmarkPipeline):
            with self.poses.run_on_device(frame) as found:
                return self._with_faces(found.result, found)
        return self._with_faces(self.poses(frame), check_frame(frame))

    def _with_faces(self, result: Result, frame: NDArray[np.uint8] | GpuFrame) -> Result:
        start = time.perf_counter()
        faces, tried = self._find_faces(frame, result.poses)
        if self.follow:
            self._before = faces
        took = time.perf_counter() - start
        timing = replace(
            result.timing,
            stages={**result.timing.stages, "faces": took},
            latency=result.timing.latency + took,
            per_face=took / tried if tried else None,
        )
        return replace(result, faces=faces, timing=timing)

    def warm_up(self, height: int, width: int) -> None:
        """Make the poses ready for frames of this size in px."""
        self.poses.warm_up(height, width)

    def _close(self) -> None:
        """Close both engines."""
        self.poses.close()
        self.landmarks.close()

    def _find_faces(self, frame: NDArray[np.uint8] | GpuFrame, poses: Poses) -> tuple[Faces, int]:
        """The faces of a frame's people, and how many regions were tried."""
        expected, sure = regions_of_poses(poses, self._keypoints)
        regions, followed = self._followed(expected)
        tried = sure | followed
        expected, regions, sure, followed = expected[tried], regions[tried], sure[tried], followed[tried]

        faces = self._look(frame, regions)
        around, good = self._judged(faces, poses, expected)
        lost = followed & ~good
        hopeful = faces.scores >= HOPELESS * self.landmarks.settings.face_threshold
        again = (lost & sure) | (~lost & hopeful & _poor(regions, around))
        if again.any():
            second = self._look(frame, _either(lost, expected, around)[again])
            faces = _better(faces, second, np.flatnonzero(again))
            around, good = self._judged(faces, poses, expected)
        chosen = faces[good & ~_repeated(around, np.where(good, faces.scores, 0))]
        return chosen[np.argsort(-chosen.scores, kind="stable")], len(regions)

    def _judged(self, faces: Faces, poses: Poses, expected: FaceRegions) -> tuple[FaceRegions, NDArray[np.bool_]]:
        """The boxes around the landmarks, and which faces are faces, and their person's."""
        around = landmark_regions(faces.landmarks, faces.people, self._layout)
        eyes = self._keypoints[1:3]
        points, seen = poses.keypoints[faces.people][:, eyes], poses.keypoint_scores[faces.people][:, eyes] > 0
        found = np.stack(
            [faces.landmarks[:, indices].mean(axis=1) for indices in reversed(eyes_of(self._layout))], axis=1
        )
        apart = (np.linalg.norm(found - points, axis=2) * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        sure = faces.scores >= self.landmarks.settings.face_threshold
        return around, sure & _near(around, expected) & (apart <= EYES_APART * expected.sides)

    def _look(self, frame: NDArray[np.uint8] | GpuFrame, regions: FaceRegions) -> Faces:
        if isinstance(frame, GpuFrame):
            assert isinstance(self.landmarks, GpuLandmarkPipeline)
            faces = self.landmarks.run_on_frame(frame, regions.boxes, regions.angles)
        else:
            faces = self.landmarks(frame, regions.boxes, regions.angles)
        return replace(faces, people=regions.people)

    def _followed(self, expected: FaceRegions) -> tuple[FaceRegions, NDArray[np.bool_]]:
        """The regions with those of faces seen a frame ago in their place, and which these are.

        Every face goes to one person at most, and to the nearest.
        """
        before = landmark_regions(self._before.landmarks, self._before.people, self._layout)
        rows, columns = (index.ravel() for index in np.indices((len(before), len(expected))))
        fits = _near(before[rows], expected[columns]).reshape(len(before), len(expected))
        apart = np.linalg.norm(before.centers[:, None] - expected.centers, axis=2) / expected.sides
        old, new = linear_sum_assignment(np.where(fits, apart, 2 * FARTHEST))
        old, new = old[fits[old, new]], new[fits[old, new]]
        followed = np.zeros(len(expected), np.bool_)
        followed[new] = True
        boxes, angles = expected.boxes.copy(), expected.angles.copy()
        boxes[new], angles[new] = before.boxes[old], before.angles[old]
        return FaceRegions(boxes, angles, expected.people), followed


def _near(faces: FaceRegions, expected: FaceRegions) -> NDArray[np.bool_]:
    """(N,) whether each face is about where, and about as large as, its person's keypoints say."""
    apart = np.linalg.norm(faces.centers - expected.centers, axis=1)
    size = faces.sides / expected.sides
    return np.asarray((apart <= FARTHEST * expected.sides) & (size >= SIZES[0]) & (size <= SIZES[1]))


def _poor(regions: FaceRegions, around: FaceRegions) -> NDArray[np.bool_]:
    """(N,) whether the boxes around the landmarks are others than the regions that were looked at."""
    shift = np.linalg.norm(around.centers - regions.centers, axis=1) / regions.sides
    growth = np.abs(np.log(np.maximum(around.sides, 1e-3) / regions.sides))
    turn = np.abs(np.angle(np.exp(1j * (around.angles - regions.angles))))
    return np.asarray((shift > POOR_SHIFT) | (growth > np.log(POOR_GROWTH)) | (turn > POOR_TURN))


def _either(chosen: NDArray[np.bool_], these: FaceRegions, others: FaceRegions) -> FaceRegions:
    boxes = np.where(chosen[:, None], these.boxes, others.boxes)
    return FaceRegions(boxes, np.where(chosen, these.angles, others.angles), these.people)


def _better(first: Faces, second: Faces, rows: NDArray[np.intp]) -> Faces:
    """The faces of the first look, with those of the second in their rows where these are surer."""
    surer = second.scores > first.scores[rows]
    arrays = {}
    for name in ("landmarks", "scores", "boxes", "angles"):
        array = getattr(first, name).copy()
        array[rows[surer]] = getattr(second, name)[surer]
        arrays[name] = array
    return replace(first, **arrays)


def _repeated(around: FaceRegions, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) whether a face is that of a surer one once more."""
    apart = np.linalg.norm(around.centers[:, None] - around.centers, axis=2)
    same = apart < SAME_FACE * np.minimum(around.sides[:, None], around.sides)
    order = np.argsort(-scores, kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    return np.asarray((same & (rank[None, :] < rank[:, None])).any(axis=1))
