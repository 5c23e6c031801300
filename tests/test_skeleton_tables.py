"""Skeletons as data: written, read, derived from labels, known by name, and taken along to other processes."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from heatstream import skeletons
from heatstream.errors import InputError, ModelFileError, UnknownNameError
from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.model_info import LAYOUT_KEY, METADATA_KEY, ModelInfo
from heatstream.results import Poses
from heatstream.skeleton_tables import skeleton_from_table, skeleton_of_category, skeleton_to_table
from heatstream.skeletons import COCO_17, DEFAULT_SIGMA, SKELETONS, Skeleton
from tests.fakes.patience import HANG_SECONDS

TABLE = {"name": "puppet-5", "keypoints": ["head", "left_hand", "right_hand", "Foot L", "Foot R"]}


def own(name: str, count: int) -> Skeleton:
    names = [f"{name} {number}" for number in range(count)]
    limbs = [list(limb) for limb in pairwise(names)]
    return skeletons.register(skeleton_from_table({"name": name, "keypoints": names, "limbs": limbs}))


@pytest.mark.parametrize("name", SKELETONS)
def test_a_table_makes_the_same_skeleton(name: str) -> None:
    skeleton = SKELETONS[name]
    table = json.loads(json.dumps(skeleton_to_table(skeleton)))
    sigmas = skeleton.sigmas or (DEFAULT_SIGMA,) * skeleton.num_keypoints
    again = skeleton_from_table(table)
    assert again.sigmas == sigmas
    assert {**vars(again), "sigmas": None} == {**vars(skeleton), "sigmas": None}


def test_what_is_left_out_is_derived() -> None:
    skeleton = skeleton_from_table({**TABLE, "limbs": [["head", "Foot L"]]})
    assert skeleton.limbs == ((0, 3),)
    assert skeleton.flip_pairs == ((1, 2), (3, 4))
    assert skeleton.grouping_order == (0, 1, 2, 3, 4)
    assert skeleton.sigmas == (DEFAULT_SIGMA,) * 5
    assert skeleton.colors[1] != skeleton.colors[2]
    known = skeleton_from_table({"name": "a", "keypoints": ["Left Wrist", "tail"]})
    assert COCO_17.sigmas is not None
    assert known.sigmas == (COCO_17.sigmas[COCO_17.keypoints.index("left_wrist")], DEFAULT_SIGMA)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": ""}, "name is a text"),
        ({"name": "a\nb"}, "name is a text"),
        ({"keypoints": []}, "1 to 255 names"),
        ({"keypoints": [f"k{number}" for number in range(256)]}, "1 to 255 names"),
        ({"keypoints": "head"}, "1 to 255 names"),
        ({"keypoints": ["a", "a"]}, "two keypoints called a"),
        ({"limbs": [["head"]]}, "limbs of puppet-5 are pairs"),
        ({"limbs": [["head", "tail"]]}, "limbs of puppet-5 are pairs"),
        ({"limbs": [["head", "head"]]}, "with itself"),
        ({"limbs": [[["head"], "head"]]}, "are pairs"),
        ({"flip_pairs": [["head", "Foot L"], ["Foot L", "Foot R"]]}, "in two flip_pairs"),
        ({"sigmas": [0.1] * 4}, "are 5 numbers"),
        ({"sigmas": [0.1] * 4 + [float("nan")]}, "are 5 numbers"),
        ({"grouping_order": ["head"] * 5}, "every keypoint once"),
        ({"colors": [[0, 0, 256]] * 5}, "from 0 to 255"),
        ({"sigma": [1]}, "has no 'sigma'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        skeleton_from_table({**TABLE, **change})
    assert "\n" not in str(caught.value)


def test_a_category_of_a_known_layout_is_that_layout() -> None:
    spelled = [name.replace("_", " ").title() for name in COCO_17.keypoints]
    assert skeleton_of_category({"name": "person", "keypoints": spelled}, 17) is COCO_17
    assert skeleton_of_category({}, 14).name == "crowdpose-14"
    assert skeleton_of_category({"keypoints": [f"keypoint_{n}" for n in range(17)]}, 17) is COCO_17


def test_a_category_of_its_own_is_named_after_what_it_holds() -> None:
    category = {"name": "Dog!", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]], "keypoint_colors": ["#ff0000"] * 2}
    dog = skeleton_of_category(category, 2)
    assert dog.name.startswith("dog-2-")
    assert dog.limbs == ((0, 1),)
    assert dog.colors == ((0, 0, 255),) * 2
    assert dog.sigmas == (0.026, DEFAULT_SIGMA)
    other = skeleton_of_category({**category, "keypoints": ["nose", "paw"]}, 2)
    assert other.name != dog.name
    assert skeleton_of_category({}, 3).keypoints == ("keypoint_0", "keypoint_1", "keypoint_2")
    with pytest.raises(InputError, match="numbers from 1 to 2"):
        skeleton_of_category({**category, "skeleton": [[0, 1]]}, 2)


def test_one_name_is_one_skeleton() -> None:
    first = own("twice", 3)
    assert skeletons.get("twice") is first
    assert own("twice", 3) == first
    with pytest.raises(InputError, match="two different skeletons called twice"):
        own("twice", 4)
    with pytest.raises(InputError, match="called coco-17"):
        own("coco-17", 17)
    with pytest.raises(UnknownNameError, match="did you mean 'twice'"):
        skeletons.get("twicee")


def test_a_model_file_carries_its_skeleton() -> None:
    layout = own("carried", 4)
    info = ModelInfo(name="a", skeleton=layout.name, input_size=(64, 64))
    metadata = info.to_metadata()
    program = (
        "import sys, json; from heatstream import skeletons; from heatstream.model_info import ModelInfo\n"
        "info = ModelInfo.from_metadata(json.loads(sys.argv[1]), path='a.onnx')\n"
        "print(json.dumps([info.num_keypoints, skeletons.get(info.skeleton).keypoints]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(metadata)],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert json.loads(done.stdout) == [4, list(layout.keypoints)]
    assert LAYOUT_KEY not in json.loads(ModelInfo("a", "coco-17", (64, 64)).to_metadata()[METADATA_KEY])
    content = json.loads(metadata[METADATA_KEY])
    content[LAYOUT_KEY]["keypoints"][0] = content[LAYOUT_KEY]["limbs"][0][0] = "other"
    content[LAYOUT_KEY]["grouping_order"][0] = "other"
    with pytest.raises(ModelFileError, match=r"a.onnx: there are two different skeletons called carried"):
        ModelInfo.from_metadata({METADATA_KEY: json.dumps(content)}, path="a.onnx")
    del content[LAYOUT_KEY]["keypoints"]
    with pytest.raises(ModelFileError, match="damaged heatstream metadata"):
        ModelInfo.from_metadata({METADATA_KEY: json.dumps(content)}, path="a.onnx")


def test_results_take_their_skeleton_to_another_process() -> None:
    layout = own("travelling", 2)
    poses = Poses(np.ones((1, 2, 2)), np.ones((1, 2)), np.ones(1), layout.name)
    program = (
        "import sys, pickle; poses = pickle.loads(sys.stdin.buffer.read())\n"
        "print(poses[0].joint('travelling 1').tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(poses),
        capture_output=True,
        check=True,
        timeout=HANG_SECONDS,
    )
    assert done.stdout.decode().strip() == "[1.0, 1.0]"


@pytest.mark.parametrize("count", [1, 2, 21, 68, 133, 255])
def test_any_number_of_keypoints_is_decoded(count: int) -> None:
    layout = own(f"many-{count}", count)
    heatmaps = np.zeros((1, count, 16, 16), np.float32)
    tags = np.zeros((1, count, 16, 16, 1), np.float32)
    places = [(1 + 7 * joint % 13, 1 + 5 * joint % 13) for joint in range(count)]
    for joint, (x, y) in enumerate(places):
        heatmaps[0, joint, y, x] = 0.9
    (poses,) = decode_poses(heatmaps, tags, DecodeSettings(skeleton=layout.name, adjust="none"))
    assert len(poses) == 1
    np.testing.assert_array_equal(poses.keypoints[0], np.array(places, np.float32))
    assert poses.joint(layout.keypoints[-1]).tolist() == [list(map(float, places[-1]))]
