"""Faces made by hand: their colours tell where on the face one is, and an engine that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Poses, Result, StageTimes
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.pipelines.face_regions import HEAD
from tests.fakes.runtime import POINTS, FakeEngine, FakeLandmarkEngine

COLORED = replace(POINTS, input_size=(128, 128), decode={"topk": 9, "face_threshold": 0.5})


def _layout() -> NDArray[np.float64]:
    """(68, 2) landmarks in sides from the middle of their box: eyes level, and reaching every side of it."""
    points = np.random.default_rng(5).uniform(-0.45, 0.45, (68, 2))
    for index, name in enumerate(skeletons.W300_68.keypoints):
        if "_eye_" in name:
            points[index] = (-0.22 if name.startswith("right") else 0.22), -0.3
    points[[0, 16, 8, 19]] = (-0.5, -0.28), (0.5, -0.28), (0, 0.5), (-0.25, -0.5)
    return points


LANDMARKS = _layout()


@dataclass(frozen=True)
class Head:
    """A head that looks at the camera, or away from it.

    Attributes:
        x, y: middle of the face's box, px.
        side: of the box, px.
        angle: of its roll, radians.
        away: seen from behind: no face is to be seen.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0
    away: bool = False

    def landmarks(self) -> NDArray[np.float64]:
        """(68, 2) px where its landmarks are."""
        return self._placed(LANDMARKS)

    def keypoints(self) -> NDArray[np.float64]:
        """(5, 2) px where nose, eyes and ears are."""
        return self._placed(HEAD[:, :2])

    def _placed(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return self.side * points @ np.array([[cosine, sine], [-sine, cosine]]) + (self.x, self.y)


def picture_of(heads: Sequence[Head], *, size: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR: red tells x on the face, green y, and blue that there is one."""
    frame = np.zeros((*size, 3), np.uint8)
    rows, columns = np.indices(size) + 0.5
    for head in heads:
        cosine, sine = np.cos(head.angle), np.sin(head.angle)
        across = ((columns - head.x) * cosine + (rows - head.y) * sine) / head.side
        down = ((rows - head.y) * cosine - (columns - head.x) * sine) / head.side
        inside = (np.abs(across) < 0.6) & (np.abs(down) < 0.6) & (not head.away)
        frame[inside, 2] = np.rint(255 * (across[inside] + 0.6) / 1.2)
        frame[inside, 1] = np.rint(255 * (down[inside] + 0.6) / 1.2)
        frame[inside, 0] = 255
    return frame


def poses_of(
    heads: Sequence[Head], *, score: float = 0.9, off: tuple[float, float] = (0.0, 0.0), scale: float = 1.0
) -> Poses:
    """One person per head, of whom nothing but nose, eyes and ears is seen.

    Args:
        heads: those that look away have unsure noses and eyes.
        score: of the keypoints.
        off: an error of all keypoints, in sides of each face.
        scale: an error of the distances between them.
    """
    keypoints, scores = np.zeros((len(heads), 17, 2)), np.zeros((len(heads), 17))
    for person, head in enumerate(heads):
        guessed = replace(head, x=head.x + off[0] * head.side, y=head.y + off[1] * head.side, side=head.side * scale)
        keypoints[person, :5] = guessed.keypoints()
        scores[person, :5] = score
        scores[person, :3] *= 0.2 if head.away else 1
    return Poses(keypoints, scores, scores.mean(axis=1), "coco-17")


class ColorEngine(FakeLandmarkEngine):
    """Finds the landmarks of :func:`picture_of` by their colours."""

    def __init__(self) -> None:
        super().__init__(COLORED)

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        super().run(images)
        red, green, blue = (images[:, channel, None, ::4, ::4] for channel in range(3))
        wanted = (LANDMARKS + 0.6) / 1.2
        apart = (red - wanted[:, 0, None, None]) ** 2 + (green - wanted[:, 1, None, None]) ** 2
        return {"landmarks": np.where(blue > 0.9, 6 - 1000 * apart, -6).astype(np.float32)}


class FakePoses(PosePipeline):
    """A pose pipeline that knows what it will find: the poses of one call after the other, the last ones ever after."""

    def __init__(self, *poses: Poses) -> None:
        self._engine = FakeEngine()
        self._poses = list(poses)

    @property
    def engine(self) -> FakeEngine:
        return self._engine

    @property
    def reason(self) -> str:
        return ""

    def __call__(self, frame: object) -> Result:
        poses = self._poses[0] if len(self._poses) == 1 else self._poses.pop(0)
        return Result(poses, StageTimes({"preprocess": 0.001, "network": 0.01, "decode": 0.002}, latency=0.013))

    def warm_up(self, height: int, width: int) -> None:
        """Is always ready."""

    def _close(self) -> None:
        self.engine.close()
