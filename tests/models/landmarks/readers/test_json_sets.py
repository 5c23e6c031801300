"""MPII, COCO's person boxes and our own faces: what is read from JSON, and what a broken file is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers import read_coco, read_faces, read_mpii, read_person_boxes
from tests.fakes.coco_sets import annotation, person, write_set
from tests.fakes.landmark_sets import grid, photo, write

Change = Callable[[Any], Any]


def broken(path: Path, change: Change) -> Path:
    content = json.loads(path.read_text())
    change(content)
    return write(path, json.dumps(content))


def mpii(folder: Path) -> tuple[Path, Path]:
    photo(folder / "images" / "a.jpg")
    entry = {
        "image": "a.jpg",
        "center": [31.0, 21.0],
        "scale": 0.2,
        "joints": (grid(16) + 1).tolist(),
        "joints_vis": [1] * 15 + [0],
    }
    return write(folder / "valid.json", json.dumps([entry, entry])), folder / "images"


def test_mpii_gives_zero_based_joints_and_the_box_of_a_person_of_its_scale(tmp_path: Path) -> None:
    first, _ = read_mpii(*mpii(tmp_path))
    np.testing.assert_allclose(first.points, grid(16))
    assert first.visibility.tolist() == [2] * 15 + [0]
    np.testing.assert_allclose(first.box, [30 - 20, 23 - 20, 30 + 19, 23 + 19])
    assert first.length is None


def test_mpii_takes_its_lengths_from_the_heads(tmp_path: Path) -> None:
    boxes = np.zeros((2, 2, 2))
    boxes[1] = [[30, 6], [40, 8]]
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": boxes})
    examples = read_mpii(*mpii(tmp_path), tmp_path / "gt_valid.mat")
    assert [example.length for example in examples] == pytest.approx([30, 6])
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": boxes[:, :, :1]})
    with pytest.raises(DatasetError, match=r"gt_valid.mat holds 1 people, .*valid.json 2"):
        read_mpii(*mpii(tmp_path), tmp_path / "gt_valid.mat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1].pop("scale"), r"valid.json, line 1, entry 2: the key 'scale' is missing"),
        (lambda c: c[1]["joints"].pop(), r"valid.json, line 1, entry 2: \(15, 2\) joints and \(16,\) flags"),
        (lambda c: c[1].update(center="left"), r"valid.json, line 1, entry 2: could not convert"),
        (lambda c: c[1].update(scale=-1), r"valid.json, line 1, entry 2: the box .* is empty"),
        (
            lambda c: c[1].update(scale=float("nan")),
            r"valid.json, line 1, entry 2: a coordinate is not a finite number",
        ),
        (
            lambda c: c[1].update(joints_vis=[1] * 15 + [None]),
            r"valid.json, line 1, entry 2: a joint's flag is neither 0 nor 1",
        ),
        (
            lambda c: c[1].update(joints_vis=[1] * 15 + [3]),
            r"valid.json, line 1, entry 2: a joint's flag is neither 0 nor 1",
        ),
        (lambda c: c[1].update(joints=None), r"valid.json, line 1, entry 2: \(\) joints"),
        (lambda c: c.__setitem__(1, None), r"valid.json, line 1, entry 2: it is no object"),
        (lambda c: c.clear(), r"valid.json lists no person"),
        (lambda c: c[1].update(image=7), r"valid.json, line 1, entry 2: the photo's name is 7"),
        (lambda c: c[1].update(image="gone.jpg"), r"valid.json, line 1, entry 2: the photo .*gone.jpg does not exist"),
    ],
)
def test_a_broken_mpii_file_is_refused_with_the_entry(tmp_path: Path, change: Change, message: str) -> None:
    annotations, images = mpii(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_mpii(broken(annotations, change), images)


def test_json_that_is_none_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a.json, line 2, column 1: Expecting value"):
        read_mpii(write(tmp_path / "a.json", "[\n?]"), tmp_path)
    with pytest.raises(DatasetError, match=r"a.json holds a dict, a list was expected"):
        read_mpii(write(tmp_path / "a.json", "{}"), tmp_path)
    with pytest.raises(DatasetError, match=r"none.json could not be read"):
        read_faces(tmp_path / "none.json")


def test_coco_people_come_one_by_one(tmp_path: Path) -> None:
    people = [annotation(person({0: (10, 20, 2), 5: (12, 22, 1)}), bbox=[5, 6, 7, 8]), annotation(person({}))]
    (example,) = read_coco(*write_set(tmp_path, people))
    assert example.box.tolist() == [5, 6, 11, 13]
    assert example.points[5].tolist() == [12, 22]
    assert example.visibility[[0, 1, 5]].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["annotations"][1].pop("image_id"),
            r"labels.json .*line 1, annotation 2: the key 'image_id' is missing",
        ),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, -3, 4]), r"labels.json, 1.png: the box .* is empty"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), r"labels.json is not COCO .*annotation 2: its bbox "),
        (
            lambda c: c["annotations"][1].update(bbox=[1, 2, float("nan"), 4]),
            r"a keypoint or the box of .*annotation .* is not a",
        ),
        (lambda c: c["annotations"][1]["keypoints"].pop(), r"labels.json: line 1, annotation 1 of image 1 has 50 "),
        (
            lambda c: c["annotations"].__setitem__(1, 5),
            r"labels.json is not COCO .*line 1, annotation 2: it is no object",
        ),
        (lambda c: c["images"][0].pop("id"), r"labels.json is not COCO .*line 1, image 1: the key 'id' is missing"),
        (lambda c: c["images"][0].pop("height"), r"labels.json is not COCO .*1.png: the key 'height'"),
        (lambda c: c["images"][0].update(file_name="no.png"), r"labels.json, no.png: the photo .* does not exist"),
    ],
)
def test_broken_coco_labels_are_refused_with_the_entry(tmp_path: Path, change: Change, message: str) -> None:
    labels, images = write_set(tmp_path, [annotation(person({0: (10, 20, 2)})) for _ in range(2)])
    with pytest.raises(DatasetError, match=message):
        read_coco(broken(labels, change), images)


def detections(folder: Path) -> tuple[Path, Path, Path]:
    annotations, images = write_set(folder, [annotation(person({0: (10, 20, 2)}))])
    (image,) = json.loads(annotations.read_text())["images"]
    found = [
        {"image_id": image["id"], "category_id": 1, "bbox": [1.5, 2, 10, 20], "score": 0.9},
        {"image_id": image["id"], "category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.1},
        {"image_id": image["id"], "category_id": 3, "bbox": [1, 2, 10, 20], "score": 0.8},
        {"image_id": image["id"], "category_id": 1, "bbox": [1, 2, 0, 20], "score": 0.8},
    ]
    return write(folder / "boxes.json", json.dumps(found)), annotations, images


def test_a_detectors_boxes_are_those_of_people(tmp_path: Path) -> None:
    files = detections(tmp_path)
    (best,) = read_person_boxes(*files, least_score=0.5)
    assert best.box.tolist() == [1.5, 2, 10.5, 21]
    assert best.score == 0.9
    assert best.picture.is_file()
    assert len(read_person_boxes(*files)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[1].pop("score"), r"boxes.json, line 1, entry 2: the key 'score' is missing"),
        (
            lambda c: c[1].update(bbox=[1, 2, 3]),
            r"boxes.json, line 1, entry 2: the box \[1, 2, 3\] is not x, y, width, height",
        ),
        (lambda c: c[1].update(image_id=77), r"boxes.json, line 1, entry 2: .* has no photo 77"),
        (lambda c: c.__setitem__(1, 5), r"boxes.json, line 1, entry 2: it is no object"),
        (
            lambda c: c[1].update(bbox=[1, 2, float("nan"), 4]),
            r"boxes.json, line 1, entry 2: the box .* is not x, y, width",
        ),
        (lambda c: c[1].update(bbox=[1, 2, -3, 4]), r"boxes.json, line 1, entry 2: the box .* has a negative side"),
        (lambda c: c[1].update(bbox=["a", 2, 3, 4]), r"boxes.json, line 1, entry 2: could not convert"),
        (lambda c: c[1].update(score=float("inf")), r"boxes.json, line 1, entry 2: the score inf is not 0 to 1"),
        (lambda c: c[1].update(score=-0.1), r"boxes.json, line 1, entry 2: the score -0.1 is not 0 to 1"),
    ],
)
def test_broken_boxes_are_refused_with_the_entry(tmp_path: Path, change: Change, message: str) -> None:
    boxes, annotations, images = detections(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_person_boxes(broken(boxes, change), annotations, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (5, "no list 'images'"),
        ([{"id": 1, "file_name": "../a.png"}], "image 1: .* leads out of the folder"),
        ([{"id": 1, "file_name": None}], "image 1: its file_name is None"),
    ],
)
def test_photos_that_cannot_be_are_told(tmp_path: Path, images: Any, message: str) -> None:
    boxes, _, folder = detections(tmp_path)
    labels = write(tmp_path / "labels.json", json.dumps({"images": images}))
    with pytest.raises(DatasetError, match=message):
        read_person_boxes(boxes, labels, folder)


def faces(folder: Path) -> Path:
    photo(folder / "train" / "a.jpg")
    points = grid(68)
    start, end = points.min(axis=0), points.max(axis=0)
    entry = {"image": "train/a.jpg", "points": points.tolist(), "bbox": [*start, *(end - start)], "source": "helen"}
    return write(folder / "train.json", json.dumps({"num_points": 68, "images": [entry, entry]}))


def test_faces_give_points_and_boxes(tmp_path: Path) -> None:
    first, _ = read_faces(faces(tmp_path))
    np.testing.assert_allclose(first.points, grid(68))
    np.testing.assert_allclose(first.box, [*grid(68).min(axis=0), *grid(68).max(axis=0)])
    assert first.subsets == ("helen",)
    assert first.read().shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(num_points=98), r"train.json has 98 points per face, 300w-68 68"),
        (lambda c: c.pop("images"), r"train.json: the key 'images' is missing"),
        (lambda c: c["images"][1]["points"].pop(), r"train.json, line 1, entry 2: points \(67, 2\) and box \(4,\)"),
        (lambda c: c["images"][1]["points"][3].pop(), r"train.json, line 1, entry 2: "),
        (lambda c: c["images"][1].pop("bbox"), r"train.json, line 1, entry 2: the key 'bbox' is missing"),
        (
            lambda c: c["images"][1].update(image="no.jpg"),
            r"train.json, line 1, entry 2: the photo .*no.jpg does not exist",
        ),
        (lambda c: c["images"][1].update(image=None), r"train.json, line 1, entry 2: the photo's name is None"),
        (lambda c: c["images"][1].update(bbox=[9, 9, -4, 5]), r"train.json, line 1, entry 2: the box .* is empty"),
        (
            lambda c: c["images"][1].update(bbox=[9, 9, float("nan"), 5]),
            r"line 1, entry 2: a coordinate is not a finite number",
        ),
        (
            lambda c: c["images"][1]["points"].__setitem__(5, [None, 3]),
            r"line 1, entry 2: a coordinate is not a finite number",
        ),
        (
            lambda c: c["images"][1]["points"].__setitem__(5, ["x", 3]),
            r"train.json, line 1, entry 2: could not convert",
        ),
        (lambda c: c["images"].__setitem__(1, "a.jpg"), r"train.json, line 1, entry 2: it is no object"),
        (lambda c: c.update(images=[]), r"train.json lists no face"),
        (lambda c: c.update(images={"a": 1}), r"train.json: 'images' is no list"),
    ],
)
def test_a_broken_faces_file_is_refused_with_the_entry(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_faces(broken(faces(tmp_path), change))


def test_an_entry_is_named_with_its_line(tmp_path: Path) -> None:
    path = faces(tmp_path)
    content = {"more": [{"images": 1}, [2]], **json.loads(path.read_text())}
    content["images"][1].pop("bbox")
    write(path, json.dumps(content, indent=1))
    line = path.read_text().splitlines().index('   "image": "train/a.jpg",', 30)  # the second entry's first key
    with pytest.raises(DatasetError, match=rf"train.json, line {line}, entry 2: the key 'bbox' is missing"):
        read_faces(path)
    annotations, images = mpii(tmp_path)
    entries = json.loads(annotations.read_text())
    entries[1].pop("scale")
    write(annotations, "[" + ",\n".join(json.dumps(entry) for entry in entries) + "]")
    with pytest.raises(DatasetError, match=r"valid.json, line 2, entry 2: the key 'scale' is missing"):
        read_mpii(annotations, images)


def test_the_shared_faces_read(shared_data: Callable[[str], Path]) -> None:
    examples = read_faces(shared_data("faces/val.json"))
    assert {example.points.shape for example in examples} == {(68, 2)}
    for example in examples[::50]:
        height, width = example.read().shape[:2]
        assert (example.box >= 0).all()
        assert (example.box[2:] < (width, height)).all()
