"""Samples of landmarks: the picture that an evaluation sees, its labels, and what a flip and a cache change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.kernels.reference.crops import crop_boxes, crop_rectangles, crop_transforms
from heatstream.models.landmarks.dataset import LandmarkSample, LandmarkTrainingSet
from heatstream.models.landmarks.preview import draw_landmarks
from heatstream.models.landmarks.readers import read_faces
from heatstream.models.landmarks.readers.example import LandmarkAnnotation
from heatstream.models.settings import LandmarkAugmentSettings, LandmarkSetSettings
from heatstream.skeletons import AFLW_19
from tests.fakes.tiny_faces_recipe import write_faces

STILL = LandmarkAugmentSettings(rotation=0, scale=(1, 1), translation=0, flip=0)
FREE = LandmarkAugmentSettings(rotation=35, scale=(0.8, 1.3), translation=0.1, flip=0.5, colour=0.8, cutout=0.3)
SET = LandmarkSetSettings("faces", "faces.json")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[LandmarkAnnotation]:
    return read_faces(write_faces(tmp_path_factory.mktemp("faces")), AFLW_19)


def make(
    faces: list[LandmarkAnnotation], augment: LandmarkAugmentSettings = STILL, **changes: Any
) -> LandmarkTrainingSet:
    options: dict[str, Any] = {"size": (64, 64), "skeleton": AFLW_19, "seed": 1, **changes}
    return LandmarkTrainingSet([(SET, faces)], augment=augment, **options)


def evaluated(face: LandmarkAnnotation, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The picture, RGB in grey levels, and the landmarks in it that an evaluation of the face works with."""
    rectangle = crop_rectangles(face.box[None], aspect=size[1] / size[0])
    images = crop_boxes(face.read(), rectangle, size, (0, 0, 0), (1, 1, 1))
    transform = crop_transforms(rectangle, size)[0]
    return 255 * images[0].transpose(1, 2, 0), (face.points - transform[:, 2]) / np.diag(transform[:, :2])


@pytest.mark.parametrize("size", [(64, 64), (32, 32), (128, 128), (64, 32)])
@pytest.mark.parametrize("cached", [False, True])
def test_an_untouched_sample_is_what_an_evaluation_sees(
    faces: list[LandmarkAnnotation], size: tuple[int, int], cached: bool
) -> None:
    training_set = make(faces, size=size)
    if cached:
        training_set.preload(1.0)
    for number in range(len(faces)):
        sample = training_set[number]
        picture, points = evaluated(faces[int(sample.index)], size)
        np.testing.assert_allclose(sample.points, points, atol=1e-4)
        assert sample.image.shape == (*size, 3)
        # Another filter, and whole source pixels there: half a source pixel is up to one input pixel here.
        difference = np.abs(sample.image.astype(float) - picture).mean()
        shifted = np.abs(np.roll(sample.image, 4, axis=1).astype(float) - picture).mean()
        assert difference < 0.5 * shifted


def test_landmarks_stay_on_their_spots(faces: list[LandmarkAnnotation]) -> None:
    """The spots' colours are found at the labels, however the window lies and whichever way round it is."""
    augment = LandmarkAugmentSettings(rotation=40, scale=(0.8, 1.25), translation=0.1, flip=0.5)
    training_set = make(faces, augment, size=(128, 128))
    flip = np.array(AFLW_19.flip_indices)
    mirrored = 0
    for number in range(16):
        sample = training_set[number]
        face = faces[int(sample.index)]
        columns, rows = np.rint(face.points).astype(int).T
        colours = face.read()[rows, columns, ::-1].astype(float)
        x, y = np.rint(sample.points).astype(int).T
        inside = (x >= 2) & (x < 126) & (y >= 2) & (y < 126)
        seen = sample.image[np.clip(y, 0, 127), np.clip(x, 0, 127)].astype(float)
        plain, exchanged = (np.abs(seen - order)[inside].mean() for order in (colours, colours[flip]))
        assert min(plain, exchanged) < 30
        mirrored += bool(exchanged < plain)
    assert 0 < mirrored < 16


def test_a_sample_is_a_function_of_its_number(faces: list[LandmarkAnnotation]) -> None:
    one, other = make(faces, FREE), make(faces, FREE)
    other.preload(1.0)
    for number in (5, 0, 123, 5):
        for mine, theirs in zip(one[number], other[number], strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(one[0].image, make(faces, FREE, seed=2)[0].image)


def test_every_face_comes_once_before_any_comes_again(faces: list[LandmarkAnnotation]) -> None:
    training_set = make(faces)
    assert sorted(int(training_set[number].index) for number in range(len(faces))) == list(range(len(faces)))


def test_what_does_not_fit_into_the_cache_is_read_when_it_is_shown(faces: list[LandmarkAnnotation]) -> None:
    whole, part, nothing = make(faces, FREE), make(faces, FREE), make(faces, FREE)
    whole.preload(1.0)
    part.preload(1e-4)
    nothing.preload(0.0)
    assert len(whole) == len(faces)
    assert 0 < len(part) < len(faces)
    assert len(nothing) == 0
    for number in range(len(faces)):
        np.testing.assert_array_equal(whole[number].image, part[number].image)


def test_unlabelled_landmarks_have_no_place_and_hidden_ones_have(faces: list[LandmarkAnnotation]) -> None:
    visibility = np.full(AFLW_19.num_keypoints, 2, np.int8)
    visibility[[0, 5]] = 0, 1
    face = LandmarkAnnotation(faces[0].picture, faces[0].points, visibility, faces[0].box)
    sample = make([face])[0]
    assert np.isnan(sample.points[0]).all()
    assert np.isfinite(sample.points[1:]).all()


def test_a_photo_that_is_gone_is_named(faces: list[LandmarkAnnotation], tmp_path: Path) -> None:
    face = LandmarkAnnotation(tmp_path / "gone.png", faces[0].points, faces[0].visibility, faces[0].box)
    training_set = make([face])
    with pytest.raises(DatasetError, match=r"gone\.png"):
        training_set[0]
    with pytest.raises(DatasetError, match=r"gone\.png"):
        training_set.preload(1.0)


def test_a_batch_is_drawn_with_its_landmarks(faces: list[LandmarkAnnotation]) -> None:
    training_set = make(faces, FREE)
    samples = [training_set[number] for number in range(5)]
    batch = LandmarkSample(*(np.stack(parts) for parts in zip(*samples, strict=True)))  # type: ignore[arg-type]
    picture = draw_landmarks(batch, AFLW_19, limit=3)
    assert picture.shape == (128, 3 * 128, 3)
    without = draw_landmarks(batch._replace(points=np.full_like(batch.points, np.nan)), AFLW_19, limit=3)
    assert (picture != without).any()
