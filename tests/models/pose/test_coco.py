"""COCO keypoint JSON: training and evaluation read the same file, and say the same of a wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heatstream.errors import DatasetError
from heatstream.models.pose.annotations import read_photos
from heatstream.models.pose.coco import read_coco
from heatstream.models.pose.ground_truth import read_ground_truth
from heatstream.skeletons import COCO_17
from tests.fakes.coco_sets import annotation, person, write_set

NOSE = person({0: (10, 20, 2), 9: (30, 44, 1)})


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("images"),
        lambda content: content["annotations"][0].update(keypoints=[1, 2, 2]),
        lambda content: content["annotations"][0].update(bbox=[1, 2, 3]),
        lambda content: content["annotations"][0].update(bbox=[1, 2, float("nan"), 3]),
        lambda content: content["annotations"][0].pop("image_id"),
        lambda content: content["images"][0].pop("file_name"),
        lambda content: content.update(categories=[{"id": 1, "keypoints": COCO_17.keypoints[::-1]}]),
        lambda content: content.update(categories=[{"id": 1, "keypoints": COCO_17.keypoints[1:]}]),
        lambda content: content["annotations"].insert(0, None),
    ],
)
def test_training_and_evaluation_say_the_same(tmp_path: Path, damage: Callable[[dict[str, Any]], Any]) -> None:
    labels, images = write_set(tmp_path, [annotation(NOSE)])
    content = json.loads(labels.read_text())
    damage(content)
    labels.write_text(json.dumps(content))
    messages = []
    for read in (lambda: read_photos(labels, images, COCO_17), lambda: read_ground_truth(labels, COCO_17)):
        with pytest.raises(DatasetError) as raised:
            read()
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    assert str(labels) in messages[0]
    assert "\n" not in messages[0]


def test_what_follows_from_the_rest_is_filled_in(tmp_path: Path) -> None:
    labels, _ = write_set(tmp_path, [annotation(NOSE), annotation(person({}))])
    content = json.loads(labels.read_text())
    for each in content["annotations"]:
        del each["bbox"]
    del content["annotations"][1]["keypoints"]
    content["annotations"].append({**content["annotations"][0], "image_id": 99})  # of an image that is left out
    labels.write_text(json.dumps(content))
    first, second = read_coco(labels, COCO_17).people[1]
    assert first["bbox"] == [10, 20, 20, 24]
    assert (second["keypoints"], second["bbox"]) == ([0.0] * 51, None)


def test_only_the_category_with_keypoints_counts(tmp_path: Path) -> None:
    labels, _ = write_set(tmp_path, [annotation(NOSE), annotation(NOSE, category_id=3)])
    content = json.loads(labels.read_text())
    content["categories"] = [{"id": 3, "name": "bag"}, {"id": 1, "name": "somebody"}]  # which name no keypoints
    labels.write_text(json.dumps(content))
    found = read_coco(labels, COCO_17)
    assert found.category == {"id": 1, "name": "somebody"}
    assert len(found.people[1]) == 1
