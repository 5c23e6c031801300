"""The weights that come with the package, on the astronaut of scikit-image: landmarks go where the face goes."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Faces
from heatstream.runtime.load import load
from heatstream.runtime.pipelines.face_regions import landmark_regions
from heatstream.runtime.pipelines.faces import FaceCascade
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

FACE = (178, 86, 273, 179)
"""A box tight around the face, px, by eye."""

NO_FACES = [(20, 20, 120, 120), (390, 60, 450, 220), (180, 330, 300, 450), (400, 370, 500, 470)]
"""Flag, shuttle, suit and helmet."""


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    skimage = pytest.importorskip("skimage", reason="scikit-image, with the photograph, comes with the extra demo")
    return np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])


@pytest.fixture(scope="module")
def cascade() -> Iterator[FaceCascade]:
    with load("swahr-tiny", "cpu", 1, faces="h3r-mobile-68") as both:
        assert isinstance(both, FaceCascade)
        yield both


@pytest.fixture(scope="module")
def found(cascade: FaceCascade, astronaut: NDArray[np.uint8]) -> Faces:
    faces = cascade(astronaut).faces
    assert faces is not None
    assert len(faces) == 1
    return faces


def side_of(faces: Faces) -> float:
    return float(landmark_regions(faces.landmarks, faces.people, skeletons.get(faces.skeleton)).sides[0])


def apart(faces: Faces, expected: NDArray[np.floating], side: float) -> float:
    """The mean distance of the first face's landmarks, in sides of the face."""
    return float(np.linalg.norm(faces.landmarks[0] - expected, axis=1).mean()) / side


def test_the_eyes_are_where_the_person_has_them(
    cascade: FaceCascade, astronaut: NDArray[np.uint8], found: Faces
) -> None:
    people = cascade.poses(astronaut).poses
    names = skeletons.W300_68.keypoints
    for keypoint, side in ((1, "left"), (2, "right")):
        eye = found.landmarks[0, [index for index, name in enumerate(names) if name.startswith(f"{side}_eye_")]]
        gap = eye.mean(axis=0) - people.keypoints[found.people[0], keypoint]
        assert np.linalg.norm(gap) < 0.1 * side_of(found)
    np.testing.assert_allclose(found.landmarks[0].min(axis=0), FACE[:2], atol=6)
    np.testing.assert_allclose(found.landmarks[0].max(axis=0), FACE[2:], atol=6)


def test_a_mirrored_face_has_mirrored_landmarks(
    cascade: FaceCascade, astronaut: NDArray[np.uint8], found: Faces
) -> None:
    mirrored = cascade(np.ascontiguousarray(astronaut[:, ::-1])).faces
    assert mirrored is not None
    expected = found.landmarks[0][list(skeletons.W300_68.flip_indices)]
    expected[:, 0] = astronaut.shape[1] - expected[:, 0]
    assert apart(mirrored, expected, side_of(found)) < 0.03


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.5, 2.0, np.pi])
def test_landmarks_turn_with_the_face_when_the_box_does(
    cascade: FaceCascade, astronaut: NDArray[np.uint8], found: Faces, angle: float
) -> None:
    center = np.mean([FACE[:2], FACE[2:]], axis=0)
    turn = cv2.getRotationMatrix2D(center.tolist(), -np.degrees(angle), 1.0)  # OpenCV's are counter-clockwise
    picture = np.asarray(cv2.warpAffine(astronaut, turn, astronaut.shape[1::-1]), np.uint8)
    faces = cascade.landmarks(picture, [FACE], [angle])
    expected = (found.landmarks[0] - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5  # OpenCV counts centres from 0
    assert apart(faces, expected, side_of(found)) < 0.03


def test_upright_boxes_cut_either_way_give_the_same(cascade: FaceCascade, astronaut: NDArray[np.uint8]) -> None:
    official, ours = cascade.landmarks(astronaut, [FACE]), cascade.landmarks(astronaut, [FACE], [0.0])
    assert apart(ours, official.landmarks[0], FACE[3] - FACE[1]) < 0.01


def test_the_flip_test_stays_on_the_face(cascade: FaceCascade, astronaut: NDArray[np.uint8], found: Faces) -> None:
    flipped = LandmarkPipeline(cascade.landmarks.engine, flip=True)(astronaut, [FACE])
    assert apart(flipped, found.landmarks[0], side_of(found)) < 0.03


def test_what_is_no_face_is_none(cascade: FaceCascade, astronaut: NDArray[np.uint8], found: Faces) -> None:
    threshold = cascade.landmarks.settings.face_threshold
    assert (cascade.landmarks(astronaut, NO_FACES).scores < threshold).all()
    assert found.scores[0] > 1.5 * threshold
