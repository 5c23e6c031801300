"""Labels from a network: what they are worth, who can read them, and what training takes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from heatstream.catalog import get
from heatstream.demo.labelling.coco import Band, coco_labels
from heatstream.demo.labelling.label_studio import label_studio_interface, label_studio_tasks
from heatstream.results import Poses, Result, StageTimes
from heatstream.skeletons import COCO_17

BAND = Band(doubtful=0.2, sure=0.5)
WIDTH, HEIGHT = 200, 100


def labels_of(*people: list[float]) -> dict[str, Any]:
    """One picture with people whose joints have these scores; joint k of person p is at (10 + 5 k, 20 + 10 p)."""
    scores = np.array(people, np.float32).reshape(len(people), 17)
    keypoints = np.zeros((len(people), 17, 2), np.float32)
    keypoints[:, :, 0] = 10 + 5 * np.arange(17)
    keypoints[:, :, 1] = 20 + 10 * np.arange(len(people))[:, None] + np.arange(17) % 3
    result = Result(
        Poses(keypoints, scores, scores.mean(axis=1), "coco-17"),
        StageTimes({}, 0.0),
        frame=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        picture="a photo.jpg",
        image_id=7,
    )
    return coco_labels([result], get("swahr-small").info(), COCO_17, BAND)


CERTAIN = [0.9] * 17
MIXED = [0.9, 0.5, 0.49, 0.2, 0.19, *[0.0] * 12]
NOBODY = [0.1] * 17


def test_scores_become_visibilities_and_boxes_stay_in_the_picture() -> None:
    labels = labels_of(CERTAIN, MIXED, NOBODY)
    certain, mixed = labels["annotations"]
    assert certain["keypoints"][2::3] == [2] * 17
    assert mixed["keypoints"][2::3] == [2, 2, 1, 1, *[0] * 13]
    assert mixed["keypoints"][:3] == [10, 30, 2]
    assert mixed["keypoints"][12:15] == [0, 0, 0]
    assert mixed["num_keypoints"] == 4
    assert (mixed["keypoint_scores"][2], mixed["ignore_below"]) == (pytest.approx(0.49), 0.5)
    for person in (certain, mixed):
        x, y, width, height = person["bbox"]
        assert 0 <= x < x + width <= WIDTH
        assert 0 <= y < y + height <= HEIGHT
        assert person["area"] == pytest.approx(0.53 * width * height, abs=0.01)
    assert labels["images"] == [{"id": 7, "file_name": "a photo.jpg", "width": WIDTH, "height": HEIGHT}]


def test_the_file_is_coco_keypoints_as_cvat_documents_it() -> None:
    """Its fields and their types; skeletons count from 1, ids are unique, and no annotation lacks what COCO has."""
    labels = json.loads(json.dumps(labels_of(CERTAIN, MIXED)))
    assert {"info", "licenses", "images", "categories", "annotations"} <= set(labels)
    (category,) = labels["categories"]
    assert category["keypoints"] == list(COCO_17.keypoints)
    assert {joint for limb in category["skeleton"] for joint in limb} <= set(range(1, 18))
    ids = [annotation["id"] for annotation in labels["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for annotation in labels["annotations"]:
        assert annotation["category_id"] == category["id"]
        assert annotation["image_id"] == 7
        assert len(annotation["keypoints"]) == 51
        assert set(annotation["keypoints"][2::3]) <= {0, 1, 2}
        assert all(isinstance(visibility, int) for visibility in annotation["keypoints"][2::3])
        assert annotation["num_keypoints"] == sum(v > 0 for v in annotation["keypoints"][2::3])
        assert (annotation["iscrowd"], annotation["segmentation"]) == (0, [])


def test_pycocotools_loads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools comes with the extra train")
    (tmp_path / "labels.json").write_text(json.dumps(labels_of(CERTAIN, MIXED)))
    loaded = coco.COCO(str(tmp_path / "labels.json"))
    capsys.readouterr()
    assert len(loaded.loadAnns(loaded.getAnnIds(imgIds=[7], catIds=[1]))) == 2


def test_training_learns_what_is_sure_and_ignores_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    from heatstream.models.pose.annotations import read_photos

    labels = labels_of(CERTAIN, MIXED)
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    (photo,) = read_photos(tmp_path / "labels.json", tmp_path, COCO_17)
    assert (photo.people[0, :, 2] == 2).all()
    assert photo.people[1, :, 2].tolist() == [2, 2, *[0] * 15]
    boxes = photo.ignored_boxes
    assert len(boxes) == 2
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, [[20, 32], [25, 30]])  # the two doubtful joints

    for annotation in labels["annotations"]:  # as annotation tools export it
        del annotation["ignore_below"], annotation["keypoint_scores"]
    (tmp_path / "corrected.json").write_text(json.dumps(labels))
    (photo,) = read_photos(tmp_path / "corrected.json", tmp_path, COCO_17)
    assert photo.people[1, :, 2].tolist() == [2, 2, 1, 1, *[0] * 13]
    assert len(photo.ignored_boxes) == 0


def test_label_studio_gets_its_own_format() -> None:
    """As documented: percents, sizes of the picture, labels that the interface has, keypoints under their rectangle."""
    labels = labels_of(CERTAIN, MIXED)
    (task,) = label_studio_tasks(labels, "my photos", "swahr-small")
    assert task["data"]["image"] == "/data/local-files/?d=my%20photos/a%20photo.jpg"
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "swahr-small"
    assert 0 <= prediction["score"] <= 1
    interface = ElementTree.fromstring(label_studio_interface(COCO_17))
    offered = {
        control.get("name"): (control.tag.lower(), {label.get("value") for label in control})
        for control in interface
        if control.tag != "Image"
    }
    rectangles = [entry for entry in prediction["result"] if entry["type"] == "rectanglelabels"]
    points = [entry for entry in prediction["result"] if entry["type"] == "keypointlabels"]
    assert (len(rectangles), len(points)) == (2, 17 + 4)
    assert len({entry["id"] for entry in prediction["result"]}) == len(prediction["result"])
    for entry in prediction["result"]:
        kind, names = offered[entry["from_name"]]
        assert entry["type"] == kind
        assert set(entry["value"][kind]) <= names
        assert (entry["original_width"], entry["original_height"], entry["image_rotation"]) == (WIDTH, HEIGHT, 0)
        assert entry["to_name"] == "image"
        assert all(0 <= entry["value"][side] <= 100 for side in ("x", "y", "width"))
    assert {entry["parentID"] for entry in points} == {entry["id"] for entry in rectangles}
    assert (points[0]["value"]["x"], points[0]["value"]["y"]) == (5, 20)
    assert re.fullmatch(r"[\x20-\x7e\n]+", label_studio_interface(COCO_17))
