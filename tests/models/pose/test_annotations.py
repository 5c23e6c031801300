"""What training learns of a photo, and what is said of a wrong file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.pose.annotations import read_photos
from heatstream.models.pose.crop_window import decode_mask
from heatstream.skeletons import COCO_17, CROWDPOSE_14, MPII_16, Skeleton
from tests.fakes.coco_sets import annotation, person, write_set

NOSE = person({0: (10, 20, 2)})
NOBODY = person({})


def test_people_come_with_their_boxes(tmp_path: Path) -> None:
    first = annotation(person({0: (10, 20, 2), 9: (30, 40, 1)}), bbox=[5, 6, 7, 8])
    (photo,) = read_photos(*write_set(tmp_path, [first]), COCO_17)
    assert photo.path == tmp_path / "photos" / "1.png"
    assert photo.size == (48, 64)
    assert photo.people.shape == (1, 17, 3)
    assert photo.people[0, 9].tolist() == [30, 40, 1]
    assert photo.boxes.tolist() == [[5, 6, 7, 8]]
    assert len(photo.ignored_boxes) == 0
    assert photo.ignored_mask is None
    assert not photo.boxes_only


POLYGON = [[2, 3, 12, 3, 12, 9, 2, 9]]


@pytest.mark.parametrize(
    "others",
    [
        [annotation(NOBODY, bbox=[2, 3, 10, 6])],
        [annotation(NOSE, bbox=[2, 3, 10, 6], iscrowd=1)],  # a crowd, whatever joints it names
        [annotation(NOBODY, bbox=[2, 3, 10, 6], num_keypoints=4)],  # the joints count, not their stated number
    ],
    ids=["without joints", "crowd", "wrong number"],
)
def test_the_unlabelled_are_ignored_by_their_box(tmp_path: Path, others: list[dict[str, Any]]) -> None:
    (photo,) = read_photos(*write_set(tmp_path, [annotation(NOSE), *others]), COCO_17)
    assert len(photo.people) == 1
    assert photo.ignored_boxes.tolist() == [[2, 3, 10, 6]]


@pytest.mark.parametrize("kind", ["polygons", "run lengths", "compressed"])
def test_the_unlabelled_are_ignored_by_their_mask_where_there_is_one(tmp_path: Path, kind: str) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    expected = np.zeros((48, 64), np.uint8)
    expected[3:9, 2:12] = 1
    columns = np.diff(np.flatnonzero(np.diff(expected.ravel(order="F"), prepend=0, append=0)), prepend=0)
    compressed = coco.encode(np.asfortranarray(expected))
    segmentation = {
        "polygons": POLYGON,
        "run lengths": {"size": [48, 64], "counts": [*columns.tolist(), expected.size - int(columns.sum())]},
        "compressed": {"size": [48, 64], "counts": compressed["counts"].decode()},
    }[kind]
    crowd = annotation(NOBODY, iscrowd=1, segmentation=segmentation)
    (photo,) = read_photos(*write_set(tmp_path, [annotation(NOSE), crowd]), COCO_17)
    assert len(photo.ignored_boxes) == 0
    assert photo.ignored_mask is not None
    np.testing.assert_array_equal(decode_mask(photo.ignored_mask), expected)


def test_several_masks_become_one(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    crowds = [annotation(NOBODY, segmentation=[[x, 1, x + 4, 1, x + 4, 5, x, 5]]) for x in (1, 3, 20)]
    (photo,) = read_photos(*write_set(tmp_path, [annotation(NOSE), *crowds]), COCO_17)
    assert photo.ignored_mask is not None
    assert int(decode_mask(photo.ignored_mask).sum()) == 4 * 6 + 4 * 4


def test_joints_that_a_set_never_labels_are_known_to_be_missing(tmp_path: Path) -> None:
    people = [annotation(person({5: (1, 1, 2)})), annotation(person({6: (1, 1, 1)}), image_id=2)]
    first, second = read_photos(*write_set(tmp_path, people, photos=2), COCO_17)
    assert np.flatnonzero(first.known_joints).tolist() == np.flatnonzero(second.known_joints).tolist() == [5, 6]


def test_photos_in_which_nothing_can_be_learned_are_left_out(tmp_path: Path) -> None:
    found = [annotation(NOSE), annotation(NOBODY, image_id=2)]  # and the third has no annotation
    assert len(read_photos(*write_set(tmp_path, found, photos=3), COCO_17)) == 2
    (photo,) = read_photos(*write_set(tmp_path, found, photos=3, ignore_unknown=1), COCO_17)
    assert photo.boxes_only


def test_crowdpose_is_read_as_its_skeleton(tmp_path: Path) -> None:
    found = [annotation(person({13: (4, 5, 2)}, skeleton=CROWDPOSE_14))]
    (photo,) = read_photos(*write_set(tmp_path, found, crowdIndex=0.4), CROWDPOSE_14)
    assert photo.people.shape == (1, 14, 3)


def _rewritten(tmp_path: Path, change: Callable[[dict[str, Any]], Any], *annotations: dict[str, Any]) -> Any:
    """Write a set with COCO's category and another, change the file, and read it."""
    labels, images = write_set(tmp_path, annotations)
    content = json.loads(labels.read_text())
    content["categories"] = [
        {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)},
        {"id": 2, "name": "dog"},
    ]
    change(content)
    labels.write_text(json.dumps(content))
    return read_photos(labels, images, COCO_17)


def test_other_categories_are_passed_over(tmp_path: Path) -> None:
    dog = {"id": 9, "image_id": 1, "category_id": 2, "bbox": [1, 1, 5, 5], "segmentation": POLYGON}
    (photo,) = _rewritten(tmp_path, lambda content: None, annotation(NOSE, category_id=1), dog)
    assert len(photo.people) == 1
    assert len(photo.ignored_boxes) == 0
    assert photo.ignored_mask is None


@pytest.mark.parametrize("nothing", [{}, {"keypoints": []}, {"keypoints": None}])
def test_a_box_alone_is_ignored(tmp_path: Path, nothing: dict[str, Any]) -> None:
    alone = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 6], **nothing}
    (photo,) = _rewritten(tmp_path, lambda content: None, alone, annotation(NOSE))
    assert photo.ignored_boxes.tolist() == [[2, 3, 10, 6]]
    assert len(photo.people) == 1


def test_a_person_without_a_box_gets_that_of_the_joints(tmp_path: Path) -> None:
    def without_boxes(content: dict[str, Any]) -> None:
        for each in content["annotations"]:
            del each["bbox"]

    people = [annotation(person({3: (10, 20, 2), 9: (30, 44, 1), 12: (90, 90, 0)})), annotation(NOBODY)]
    (photo,) = _rewritten(tmp_path, without_boxes, *people)
    assert photo.boxes.tolist() == [[10, 20, 20, 24]]
    assert len(photo.ignored_boxes) == 0


def test_keypoints_in_another_order_are_refused(tmp_path: Path) -> None:
    def exchange(content: dict[str, Any]) -> None:
        names = content["categories"][0]["keypoints"]
        names[5], names[6] = names[6], names[5]

    with pytest.raises(
        DatasetError, match=r"labels\.json has another skeleton than coco-17: .*, right_ear, right_shoulder, "
    ):
        _rewritten(tmp_path, exchange, annotation(NOSE))


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(key)


def _image_without_size(content: dict[str, Any]) -> None:
    del content["images"][0]["height"]


def _short(content: dict[str, Any]) -> None:
    content["annotations"].append({**content["annotations"][0], "id": 77, "keypoints": [1, 2, 2]})


def _not_finite(content: dict[str, Any]) -> None:
    content["annotations"][0]["keypoints"][0] = float("nan")


def _box_not_finite(content: dict[str, Any]) -> None:
    content["annotations"].append(annotation(NOBODY, bbox=[float("nan")] * 4))


def _text(content: dict[str, Any]) -> None:
    content["annotations"][0]["bbox"] = "everywhere"


def _unlabelled(content: dict[str, Any]) -> None:
    content["annotations"][0]["keypoints"] = [0] * 51


def _boxes(content: dict[str, Any]) -> None:
    del content["annotations"][0]["keypoints"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("images"), "no list 'images'"),
        (_without("annotations"), "no list 'annotations'"),
        (_image_without_size, "'height' is missing"),
        (_short, "annotation 77 of image 1 has 3 keypoint values, not 3 x 17"),
        (_not_finite, "of image 1 is not a finite number"),
        (_box_not_finite, "of image 1 is not a finite number"),
        (_text, "not COCO keypoint JSON"),
        (_unlabelled, "labels no keypoint"),
        (_boxes, "has no keypoints"),
    ],
)
def test_a_wrong_file_is_told_so_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    labels, images = write_set(tmp_path, [annotation(NOSE)])
    content = json.loads(labels.read_text())
    change(content)
    labels.write_text(json.dumps(content))
    with pytest.raises(DatasetError) as error:
        read_photos(labels, images, COCO_17)
    assert message in str(error.value)
    assert str(labels) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [4, 4], "counts": [8, 8]},
        {"size": [48, 64], "counts": [1, 2]},
        {"size": [4, 4], "counts": "04L"},
        {"size": [48, 64], "counts": "1"},
        {"size": [48, 64], "counts": ""},
        {"size": [48, 64], "counts": [-8, 3080]},
        {"size": [48, 64], "counts": [1.5, 3070.5]},
        {"counts": [3072]},
        [[1, 2, 3, 4]],
        [[1, 2]],
        [["a", 1, 2, 3, 4, 5]],
        [{"size": [48, 64], "counts": [5]}],
        [[1, 1, float("nan"), 1, 5, 5]],
        [[1, 1, float("inf"), 1, 5, 5]],
        [[1, 1, 1e9, 1, 5, 5]],
    ],
)
def test_a_damaged_mask_is_refused(tmp_path: Path, segmentation: Any) -> None:
    pytest.importorskip("pycocotools")
    crowd = annotation(NOBODY, iscrowd=1, segmentation=segmentation)
    whole = annotation(NOBODY, iscrowd=1, segmentation={"size": [48, 64], "counts": [3072]})
    with pytest.raises(DatasetError, match=r"labels\.json is not COCO keypoint JSON"):
        read_photos(*write_set(tmp_path, [annotation(NOSE), whole, crowd]), COCO_17)


@pytest.mark.parametrize("text", ["{", "", "[1, 2]", "\x00\xff"])
def test_what_is_not_json_is_refused(tmp_path: Path, text: str) -> None:
    labels, images = write_set(tmp_path, [annotation(NOSE)])
    labels.write_text(text)
    with pytest.raises(DatasetError, match=r"labels\.json"):
        read_photos(labels, images, COCO_17)


def test_missing_files_are_named(tmp_path: Path) -> None:
    labels, images = write_set(tmp_path, [annotation(NOSE)])
    with pytest.raises(DatasetError, match=r"other\.json cannot be read"):
        read_photos(tmp_path / "other.json", images, COCO_17)
    with pytest.raises(DatasetError, match="other is no folder"):
        read_photos(labels, tmp_path / "other", COCO_17)


@pytest.mark.parametrize(
    ("skeleton", "asked", "hint"),
    [
        (CROWDPOSE_14, COCO_17, "crowdpose-14 would fit"),
        (COCO_17, MPII_16, "coco-17 would fit"),
    ],
)
def test_another_skeleton_is_recognised(tmp_path: Path, skeleton: Skeleton, asked: Skeleton, hint: str) -> None:
    labels, images = write_set(tmp_path, [annotation(person({0: (1, 1, 2)}, skeleton=skeleton))])
    with pytest.raises(DatasetError, match=hint) as error:
        read_photos(labels, images, asked)
    for part in (f"has {skeleton.num_keypoints} keypoints", f"{asked.name} has {asked.num_keypoints}", str(labels)):
        assert part in str(error.value)


def test_the_category_says_how_many_keypoints_there_are(tmp_path: Path) -> None:
    labels, images = write_set(tmp_path, [annotation(NOSE)])
    content = json.loads(labels.read_text())
    content["categories"] = [{"id": 1, "keypoints": ["a", "b"]}]
    labels.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"has 2 keypoints.*leave model.skeleton out to take the file's own"):
        read_photos(labels, images, COCO_17)


@pytest.mark.parametrize("name", ["coco_people", "coco_people_more", "lspet"])
def test_the_real_sets_are_read_whole(shared_data: Callable[[str], Path], name: str) -> None:
    labels = shared_data(f"{name}/train.json")
    photos = read_photos(labels, labels.with_suffix(""), COCO_17)
    content = json.loads(labels.read_text())
    labelled = sum(a["num_keypoints"] > 0 and not a["iscrowd"] for a in content["annotations"])
    assert len(photos) == len(content["images"])
    assert sum(len(photo.people) for photo in photos) == labelled
    assert sum(len(photo.ignored_boxes) for photo in photos) == len(content["annotations"]) - labelled
    assert photos[0].known_joints.sum() == (12 if name == "lspet" else 17)
