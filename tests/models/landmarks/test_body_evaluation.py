"""AP of bodies in boxes: the labels' boxes or a detector's, and what becomes of a person who is found twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.models.landmarks.body_evaluation import evaluate_in_boxes
from heatstream.models.landmarks.readers import PersonBox
from tests.fakes.labelled_photos import LabelledSet, make_set

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")


def boxes_of(labelled: LabelledSet) -> list[PersonBox]:
    """The labelled boxes as a detector would give them, with scores that differ."""
    names = {entry["id"]: labelled.images / entry["file_name"] for entry in labelled.content["images"]}
    found = []
    for number, person in enumerate(labelled.content["annotations"]):
        x, y, width, height = person["bbox"]
        box = np.array([x, y, x + width - 1, y + height - 1])
        found.append(PersonBox(names[person["image_id"]], person["image_id"], box, 0.9 - 0.01 * number))
    return found


def finder(labelled: LabelledSet, *, away: float = 0.0, scores: Any = None) -> Any:
    """Finds in each box the person whose box it is, so many px away."""

    def find(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> tuple[Any, Any]:
        people = labelled.people[int(frame[0, 0, 0])]
        middles = np.array([person.mean(axis=0) for person in people])
        nearest = [int(np.argmin(np.abs(middles - (box[:2] + box[2:]) / 2).sum(axis=1))) for box in boxes]
        return people[nearest] + away, np.ones(len(boxes)) if scores is None else scores[: len(boxes)]

    return find


def measured(labelled: LabelledSet, find: Any, boxes: list[PersonBox] | None, **options: Any) -> Any:
    return evaluate_in_boxes(find, labelled.annotations, labelled.images, boxes, skeleton="coco-17", **options)


def test_who_is_found_in_every_box_has_the_best_precision(tmp_path: Path) -> None:
    labelled = make_set(tmp_path)
    for boxes in (None, boxes_of(labelled)):
        result = measured(labelled, finder(labelled), boxes, workers=2)
        assert (result.metrics["AP"], result.metrics["AR"]) == (pytest.approx(100), pytest.approx(100))
        assert sum(image.missed + image.false for image in result.images) == 0
    assert measured(labelled, finder(labelled, away=4), None).metrics["AP"] < 90


def test_a_person_in_two_boxes_counts_once_with_the_better_score(tmp_path: Path) -> None:
    labelled = make_set(tmp_path, images=2)
    first = boxes_of(labelled)
    doubles = [PersonBox(box.picture, box.image_id, box.box + 1, box.score - 0.5) for box in first]
    result = measured(labelled, finder(labelled), [*doubles, *first])
    assert [len(image.poses) for image in result.images] == [len(image.ground_truth) for image in result.images]
    best = sorted(box.score for box in first if box.image_id == result.images[0].image_id)
    np.testing.assert_allclose(sorted(result.images[0].poses.scores.tolist()), best, rtol=1e-6)


def test_scores_are_the_boxs_times_the_landmarks(tmp_path: Path) -> None:
    labelled = make_set(tmp_path, images=1)
    (box,) = boxes_of(labelled)
    result = measured(labelled, finder(labelled, scores=np.array([0.5])), [box])
    np.testing.assert_allclose(result.images[0].poses.scores, [0.5 * box.score], rtol=1e-6)


def test_images_without_boxes_have_nobody(tmp_path: Path) -> None:
    labelled = make_set(tmp_path, images=3)
    only = [box for box in boxes_of(labelled) if box.image_id == 100]
    result = measured(labelled, finder(labelled), only, limit=3)
    assert [len(image.poses) for image in result.images] == [0, 0, 1]  # ids 98, 99, 100
    assert result.metrics["AP"] < 60


def test_boxes_of_crowds_and_of_the_unlabelled_are_not_looked_at(tmp_path: Path) -> None:
    labelled = make_set(tmp_path, images=1)

    def change(content: dict[str, Any]) -> None:
        person = content["annotations"][0]
        content["annotations"] += [
            {**person, "id": 50, "iscrowd": 1},
            {**person, "id": 51, "num_keypoints": 0, "keypoints": [0] * 51},
            {**person, "id": 52, "bbox": [5, 5, 0, 9]},
        ]

    labelled.rewrite(change)
    sizes = []

    def find(frame: NDArray[np.uint8], boxes: NDArray[np.float64]) -> tuple[Any, Any]:
        sizes.append(len(boxes))
        return finder(labelled)(frame, boxes)

    measured(labelled, find, None)
    assert sizes == [1]
