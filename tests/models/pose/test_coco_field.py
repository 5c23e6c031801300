"""COCO keypoint files as annotation tools and other sets really write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.pose.annotations import read_photos
from heatstream.models.pose.evaluation import evaluate
from heatstream.models.pose.ground_truth import read_ground_truth
from heatstream.results import Poses
from heatstream.skeletons import COCO_17, get

KEYPOINTS = [value for joint in range(17) for value in (10.0 + joint, 20.0 + 2 * joint, 2)]


def content(**changes: Any) -> dict[str, Any]:
    """A file of one person in one image of two; a change of ``images__width`` changes that of the first image."""
    data: dict[str, Any] = {
        "images": [
            {"id": 139, "file_name": "139.png", "height": 64, "width": 64},
            {"id": 785, "file_name": "785.png", "height": 64, "width": 64},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 139,
                "category_id": 1,
                "iscrowd": 0,
                "area": 500.0,
                "num_keypoints": 17,
                "keypoints": list(KEYPOINTS),
                "bbox": [10, 20, 17, 33],
            }
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}],
    }
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            data[part][0][key] = value
        else:
            data[part] = value
    return data


def write(folder: Path, data: Any) -> Path:
    for name in ("139.png", "785.png"):
        (folder / name).write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    path = folder / "labels.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def right(frame: np.ndarray) -> Poses:
    keypoints = np.array(KEYPOINTS, np.float32).reshape(1, 17, 3)[:, :, :2]
    return Poses(keypoints, np.ones((1, 17), np.float32), np.ones(1, np.float32), "coco-17")


HARMLESS = {
    "an image without people": {},
    "a second category": {"categories": [*content()["categories"], {"id": 2, "name": "person", "supercategory": None}]},
    "null iscrowd": {"annotations__iscrowd": None},
    "null area": {"annotations__area": None},
    "null category": {"annotations__category_id": None},
    "null id": {"annotations__id": None},
    "null number of keypoints": {"annotations__num_keypoints": None},
    "no box": {"annotations__bbox": []},
    "null size": {"images__height": None, "images__width": None},
    "numbers as texts": {
        "annotations__area": "500",
        "annotations__iscrowd": "0",
        "annotations__image_id": "139",
        "annotations__num_keypoints": "17",
        "annotations__category_id": "1",
    },
    "null categories": {"categories": None},
    "a category without an id": {"categories": [{"name": "person", "keypoints": list(COCO_17.keypoints)}]},
    "names of numbers": {"categories__keypoints": [str(joint) for joint in range(17)]},
    "names with blanks": {"categories__keypoints": [name.replace("_", " ").title() for name in COCO_17.keypoints]},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_tools_leave_out_does_not_matter(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, content(**HARMLESS[name]))
    result = evaluate(lambda frame: right(frame), path, tmp_path, skeleton="coco-17", workers=1)
    assert result.metrics["AP"] == pytest.approx(100)
    if "size" not in name:
        (photo,) = read_photos(path, tmp_path, COCO_17)
        assert photo.people.shape == (1, 17, 3)


def test_ids_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    data = content(images__id="front door", annotations__image_id="front door")
    truth = read_ground_truth(write(tmp_path, data), COCO_17)
    assert [image["id"] for image in truth.images] == [1, 2]
    assert [person["image_id"] for person in truth.content["annotations"]] == [1]


DEEP = "[" * 100_000 + "]" * 100_000
BROKEN = {
    "null name": content(images__file_name=None),
    "a name that leaves": content(images__file_name="../139.png"),
    "an absolute name": content(images__file_name="/etc/hostname"),
    "a name that leaves on Windows": content(images__file_name="..\\139.png"),
    "text as area": content(annotations__area="large"),
    "a keypoint of null": content(annotations__keypoints=[None, *KEYPOINTS[1:]]),
    "keypoints that are an object": content(annotations__keypoints={"nose": [1, 2, 2]}),
    "keypoints in lists": content(annotations__keypoints=[[1, 2, 2]] * 17),
    "every number a list": content(annotations__keypoints=[[1, 2, 2]] * 51),
    "a keypoint out of this world": content(annotations__keypoints=[1e300, *KEYPOINTS[1:]]),
    "a number without end": content(annotations__keypoints=[10**400, *KEYPOINTS[1:]]),
    "an id that is a list": content(images__id=[1]),
    "an entry that is null": content(annotations=[None]),
    "an entry that is a number": content(images=[7]),
    "categories that are a number": content(categories=5),
    "a size of nothing": content(images__height=0),
    "a list": [],
    "nesting": f'{{"images": [], "annotations": {DEEP}}}',
    "digits": f'{{"images": [], "annotations": [{"9" * 5000}]}}',
    "a text": "labels",
    "nothing": "",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, BROKEN[name])
    for read in (lambda: read_ground_truth(path, COCO_17), lambda: read_photos(path, tmp_path, COCO_17)):
        if name == "text as area" and read.__code__.co_names[0] == "read_photos":
            continue  # training does not look at it
        with pytest.raises(DatasetError, match=r"labels.json") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


# The first names of two published sets that have as many joints as ours.
AI_CHALLENGER = (
    *("Right Shoulder", "Right Elbow", "Right Wrist", "Left Shoulder", "Left Elbow", "Left Wrist", "Right Hip"),
    *("Right Knee", "Right Ankle", "Left Hip", "Left Knee", "Left Ankle", "Head top", "Neck"),
)
POSETRACK_18 = ("nose", "head_bottom", "head_top", *COCO_17.keypoints[3:])


@pytest.mark.parametrize(
    ("names", "skeleton", "fits"),
    [
        (AI_CHALLENGER, "crowdpose-14", False),
        (POSETRACK_18, "coco-17", False),
        (COCO_17.keypoints[::-1], "coco-17", False),
        (COCO_17.keypoints, "coco-17", True),
        (["top_head" if name == "head_top" else name for name in get("crowdpose-14").keypoints], "crowdpose-14", True),
    ],
)
def test_names_that_differ_are_another_skeleton(
    names: tuple[str, ...], skeleton: str, fits: bool, tmp_path: Path
) -> None:
    layout = get(skeleton)
    data = content(categories__keypoints=list(names), annotations__keypoints=KEYPOINTS[: 3 * layout.num_keypoints])
    path = write(tmp_path, data)
    if fits:
        read_ground_truth(path, layout)
        return
    with pytest.raises(DatasetError, match=f"{names[0]}.*{skeleton} has {layout.keypoints[0]}"):
        read_ground_truth(path, layout)
