"""Training samples: what is drawn where, and what the loss is told to ignore."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from heatstream.models.people_data import Photo, draw_sample, load_photos

SIDE = 64


def photo(*, ignored: bool = False, boxes_only: bool = False, crop: bool = False) -> Photo:
    """A grey photo with one person who has a nose in the middle, a left wrist beside it, and nothing else."""
    people = np.zeros((1, 17, 3))
    people[0, 0] = 48, 48, 2
    people[0, 9] = 60, 52, 1
    return Photo(
        image=np.full((96, 96, 3), 128, np.uint8),
        people=people,
        boxes=np.array([[36.0, 36.0, 30.0, 24.0]]),
        ignored=np.array([[0.0, 0.0, 96.0, 96.0]]) if ignored else np.zeros((0, 4)),
        boxes_only=boxes_only,
        crop=crop,
    )


@pytest.mark.parametrize("seed", range(8))
def test_heatmaps_peak_where_the_joints_are_read(seed: int) -> None:
    sample = draw_sample(photo(), SIDE, 64, np.random.default_rng(seed))
    assert sample.image.shape == (SIDE, SIDE, 3)
    assert sample.heatmaps4.shape == sample.masks4.shape == (SIDE // 4, SIDE // 4, 17)
    assert sample.heatmaps2.shape == sample.masks2.shape == (SIDE // 2, SIDE // 2, 17)
    channels_first = sample.heatmaps4.transpose(2, 0, 1).ravel()
    rows = sample.joints[sample.joints[..., 1] > 0]
    assert len(rows) > 0
    assert (channels_first[rows[:, 0]] == 1).all()


def test_a_mirrored_person_has_the_other_wrist() -> None:
    wrists = {9: 0, 10: 0}
    for seed in range(20):
        maps = draw_sample(photo(), SIDE, 64, np.random.default_rng(seed)).heatmaps2
        for joint in wrists:
            wrists[joint] += bool(maps[:, :, joint].any())
    assert min(wrists.values()) >= 4  # each happens in about half of the samples


def test_ignored_regions_are_silent_but_for_labelled_joints() -> None:
    sample = draw_sample(photo(ignored=True), SIDE, 64, np.random.default_rng(1))
    inside = sample.heatmaps2 > 0.01
    assert sample.masks2[inside].all()
    centre = sample.masks2[12:20, 12:20, 5]  # an unlabelled joint, well inside the ignored box
    assert not centre.any()


def test_outside_the_boxes_nothing_is_trained_where_people_may_be_unlabelled() -> None:
    sample = draw_sample(photo(boxes_only=True), SIDE, 64, np.random.default_rng(1))
    assert sample.masks2[:, :, 5].any()
    assert not sample.masks2[0, 0].any()


def test_unlabelled_joints_of_a_crop_are_never_trained() -> None:
    sample = draw_sample(photo(crop=True, boxes_only=True), SIDE, 64, np.random.default_rng(1))
    trained = sample.masks2.any(axis=(0, 1))
    assert trained[0]
    assert not trained[5]


def test_the_same_seed_draws_the_same_sample() -> None:
    first, second = (draw_sample(photo(), SIDE, 64, np.random.default_rng(4)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_photos_come_with_their_people_and_ignored_boxes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    picture = np.zeros((8, 10, 3), np.uint8)
    picture[..., 0] = 255  # blue in OpenCV's order
    cv2.imwrite(str(tmp_path / "train" / "a.png"), picture)
    person = {"image_id": 7, "num_keypoints": 1, "iscrowd": 0, "keypoints": [1, 2, 2] + [0] * 48, "bbox": [0, 1, 2, 3]}
    crowd = {"image_id": 7, "num_keypoints": 0, "iscrowd": 1, "keypoints": [0] * 51, "bbox": [4, 5, 6, 7]}
    images = [{"id": 7, "file_name": "a.png"}]
    (tmp_path / "train.json").write_text(json.dumps({"images": images, "annotations": [person, crowd]}))
    (loaded,) = load_photos(tmp_path)
    assert loaded.image[0, 0].tolist() == [0, 0, 255]
    assert loaded.people.shape == (1, 17, 3)
    assert loaded.boxes.tolist() == [[0, 1, 2, 3]]
    assert loaded.ignored.tolist() == [[4, 5, 6, 7]]


def test_a_folder_without_labels_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.json"):
        load_photos(tmp_path)
