"""Poses: shapes checked once, and what is written is what was found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from heatstream.errors import InputError, UnknownNameError
from heatstream.results import Faces, Poses, Result, StageTimes


def some_poses(people: int, *, seed: int = 0, **kwargs: Any) -> Poses:
    """COCO people with random keypoints, a tenth of them missing."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 1, (people, 17)).astype(np.float32)
    keypoints = rng.uniform(0, 1000, (people, 17, 2)).astype(np.float32)
    missing = rng.random((people, 17)) < 0.1
    scores[missing] = 0
    keypoints[missing] = 0
    return Poses(keypoints, scores, scores.mean(axis=1), "coco-17", **kwargs)


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("keypoints", (2, 17)),
        ("keypoints", (2, 16, 2)),
        ("keypoints", (2, 17, 3)),
        ("keypoints", (0,)),
        ("keypoint_scores", (2, 16)),
        ("keypoint_scores", (3, 17)),
        ("keypoint_scores", (2, 17, 1)),
        ("scores", (3,)),
        ("scores", (2, 1)),
        ("ids", (1,)),
        ("ids", (2, 1)),
    ],
)
def test_a_wrong_shape_is_refused_by_name(field: str, shape: tuple[int, ...]) -> None:
    right: dict[str, Any] = {
        "keypoints": np.zeros((2, 17, 2)),
        "keypoint_scores": np.zeros((2, 17)),
        "scores": np.zeros(2),
        "ids": np.zeros(2, int),
    }
    with pytest.raises(InputError, match=r"^Poses\.") as caught:
        Poses(**{**right, field: np.zeros(shape)}, skeleton="coco-17")
    assert f"got {shape}" in str(caught.value)
    assert "coco-17" in str(caught.value)


def test_an_unknown_skeleton_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="coco-17"):
        Poses.empty("coco-16")


def test_arrays_become_the_documented_dtypes() -> None:
    poses = Poses(np.ones((1, 17, 2)), np.ones((1, 17)), np.ones(1), "coco-17", ids=np.array([7], np.int32))
    assert (poses.keypoints.dtype, poses.keypoint_scores.dtype) == (np.float32, np.float32)
    assert (poses.scores.dtype, poses.ids.dtype) == (np.float32, np.int64)


def test_ids_left_out_are_minus_one() -> None:
    assert some_poses(3).ids.tolist() == [-1, -1, -1]


def test_empty_is_nobody_with_every_shape_kept() -> None:
    poses = Poses.empty("crowdpose-14")
    assert len(poses) == 0
    assert poses.keypoints.shape == (0, 14, 2)
    assert poses.keypoint_scores.shape == (0, 14)
    assert (poses.scores.shape, poses.ids.shape) == ((0,), (0,))
    assert poses.boxes().shape == (0, 4)
    assert poses.to_coco(0) == []
    assert poses.joint("left_wrist").shape == (0, 2)
    assert poses.to_dict() == {"skeleton": "crowdpose-14", "people": []}


def test_boxes_hold_the_seen_keypoints_alone() -> None:
    keypoints = np.zeros((2, 17, 2), np.float32)
    scores = np.zeros((2, 17), np.float32)
    keypoints[0, 3], keypoints[0, 9], keypoints[0, 5] = (10, 40), (30, 20), (999, 999)
    scores[0, 3] = scores[0, 9] = 0.5
    boxes = Poses(keypoints, scores, scores.mean(axis=1), "coco-17").boxes()
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[10, 20, 30, 40], [0, 0, 0, 0]]


def test_to_coco_is_the_results_format() -> None:
    poses = some_poses(2)
    entries = poses.to_coco(6)
    assert [entry["image_id"] for entry in entries] == [6, 6]
    assert [entry["category_id"] for entry in entries] == [1, 1]
    for person, entry in enumerate(entries):
        triples = np.array(entry["keypoints"]).reshape(17, 3)
        np.testing.assert_allclose(triples[:, :2], poses.keypoints[person], atol=1e-4)
        np.testing.assert_allclose(triples[:, 2], poses.keypoint_scores[person], atol=1e-4)
        assert entry["score"] == pytest.approx(poses.scores[person], abs=1e-6)
    json.dumps(entries)


def test_pycocotools_takes_to_coco() -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools comes with the extra test")
    poses = some_poses(2)
    truth = coco.COCO()
    truth.dataset = {"images": [{"id": 0}], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    assert len(truth.loadRes(poses.to_coco(0)).anns) == 2


def test_to_dict_reads_back_as_the_same_people() -> None:
    poses = some_poses(3, ids=np.array([0, -1, 12]))
    read = json.loads(json.dumps(poses.to_dict()))
    people = read["people"]
    assert [person["id"] for person in people] == [0, None, 12]
    triples = np.array([person["keypoints"] for person in people], np.float32)
    scores = np.array([person["score"] for person in people], np.float32)
    again = Poses(triples[:, :, :2], triples[:, :, 2], scores, read["skeleton"])
    np.testing.assert_allclose(again.keypoints, poses.keypoints, atol=6e-4)
    np.testing.assert_allclose(again.keypoint_scores, poses.keypoint_scores, atol=6e-4)
    np.testing.assert_allclose(again.scores, poses.scores, atol=6e-6)


CHOICES = [
    (np.array([True, False, True, True]), [0, 2, 3]),
    (np.array([2, 0]), [2, 0]),
    ([2, 0], [2, 0]),
    ([], []),
    (slice(1, 3), [1, 2]),
]


@pytest.mark.parametrize(("chosen", "rows"), CHOICES)
def test_some_of_the_people_keep_all_they_have(chosen: Any, rows: list[int]) -> None:
    poses = some_poses(4, ids=np.array([5, 6, 7, 8]))
    some = poses[chosen]
    assert some.skeleton == "coco-17"
    for name in ("keypoints", "keypoint_scores", "scores", "ids"):
        np.testing.assert_array_equal(getattr(some, name), getattr(poses, name)[rows])


def test_one_person_is_a_pose() -> None:
    poses = some_poses(3, ids=np.array([5, 6, 7]))
    assert [pose.id for pose in poses] == [5, 6, 7]
    for pose in (poses[1], poses[np.int64(-2)], list(poses)[1]):
        np.testing.assert_array_equal(pose.keypoints, poses.keypoints[1])
        np.testing.assert_array_equal(pose.keypoint_scores, poses.keypoint_scores[1])
        np.testing.assert_array_equal(pose.joint("left_wrist"), poses.keypoints[1, 9])
        assert (pose.score, pose.skeleton, pose.id) == (pytest.approx(poses.scores[1]), "coco-17", 6)
        assert pose.to_dict() == poses.to_dict()["people"][1]
    with pytest.raises(IndexError):
        poses[3]


def test_joints_have_names() -> None:
    poses = some_poses(3)
    np.testing.assert_array_equal(poses.joint("left_wrist"), poses.keypoints[:, 9])
    with pytest.raises(
        UnknownNameError, match=r"no keypoint of coco-17 is called 'left_wirst': did you mean 'left_wri"
    ):
        poses.joint("left_wirst")


def test_above_keeps_the_sure_ones() -> None:
    poses, faces = some_poses(5), some_faces(5)
    assert poses.above(float(poses.scores[2])).scores.tolist() == [s for s in poses.scores if s >= poses.scores[2]]
    assert len(poses.above(0)) == 5
    assert len(faces.above(1.1)) == 0


def test_what_is_printed_is_one_line() -> None:
    scores = np.linspace(0.9, 0.3, 7)
    crowd = Poses(np.zeros((7, 17, 2)), np.zeros((7, 17)), scores, "coco-17")
    assert repr(crowd) == "Poses(7 people of coco-17, scores 0.90, 0.80, 0.70, 0.60, 0.50, ...)"
    assert repr(crowd[:1]) == "Poses(1 person of coco-17, scores 0.90)"
    assert repr(Faces.empty("300w-68")) == "Faces(0 faces of 300w-68)"
    result = Result(crowd[:1], StageTimes({}, latency=0.0123), faces=Faces.empty("300w-68"), frame_index=4)
    assert repr(result) == f"Result(frame 4, {crowd[:1]}, Faces(0 faces of 300w-68), 12.3 ms)"


def some_faces(count: int, *, seed: int = 0, **kwargs: Any) -> Faces:
    """300-W faces with random landmarks."""
    rng = np.random.default_rng(seed)
    return Faces(
        landmarks=rng.uniform(0, 1000, (count, 68, 2)),
        scores=rng.uniform(0, 1, count),
        boxes=rng.uniform(0, 1000, (count, 4)),
        angles=rng.uniform(-3, 3, count),
        people=np.arange(count) - 1,
        skeleton="300w-68",
        **kwargs,
    )


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("landmarks", (2, 68)),
        ("landmarks", (2, 98, 2)),
        ("landmarks", (2, 68, 3)),
        ("scores", (3,)),
        ("scores", (2, 68)),
        ("boxes", (2, 5)),
        ("boxes", (4,)),
        ("angles", (1,)),
        ("people", (2, 1)),
    ],
)
def test_a_wrong_shape_of_faces_is_refused_by_name(field: str, shape: tuple[int, ...]) -> None:
    right: dict[str, Any] = {
        "landmarks": np.zeros((2, 68, 2)),
        "scores": np.zeros(2),
        "boxes": np.zeros((2, 4)),
        "angles": np.zeros(2),
        "people": np.zeros(2, int),
    }
    with pytest.raises(InputError, match=r"^Faces\.") as caught:
        Faces(**{**right, field: np.zeros(shape)}, skeleton="300w-68")
    assert f"got {shape}" in str(caught.value)
    assert "300w-68" in str(caught.value)


def test_faces_have_the_documented_dtypes_and_an_empty_value() -> None:
    for faces, count in ((some_faces(2), 2), (Faces.empty("300w-68"), 0)):
        assert len(faces) == count
        floats = (faces.landmarks, faces.scores, faces.boxes, faces.angles)
        assert [array.dtype for array in floats] == [np.float32] * 4
        assert [len(array) for array in (*floats, faces.people)] == [count] * 5
        assert faces.people.dtype == np.int64
    assert Faces.empty("wflw-98").to_dict() == {"skeleton": "wflw-98", "faces": []}


@pytest.mark.parametrize(("chosen", "rows"), CHOICES)
def test_some_of_the_faces_keep_all_they_have(chosen: Any, rows: list[int]) -> None:
    faces = some_faces(4)
    some = faces[chosen]
    assert some.skeleton == "300w-68"
    for name in ("landmarks", "scores", "boxes", "angles", "people"):
        np.testing.assert_array_equal(getattr(some, name), getattr(faces, name)[rows])


def test_one_face_is_a_face() -> None:
    faces = some_faces(3)
    assert [face.person for face in faces] == [-1, 0, 1]
    for face in (faces[1], faces[-2], list(faces)[1]):
        np.testing.assert_array_equal(face.landmarks, faces.landmarks[1])
        np.testing.assert_array_equal(face.box, faces.boxes[1])
        np.testing.assert_array_equal(face.landmark("chin"), faces.landmarks[1, 8])
        assert (face.score, face.angle) == (pytest.approx(faces.scores[1]), pytest.approx(faces.angles[1]))
        assert face.to_dict() == faces.to_dict()["faces"][1]
    np.testing.assert_array_equal(faces.landmark("chin"), faces.landmarks[:, 8])
    with pytest.raises(UnknownNameError, match="300w-68"):
        faces.landmark("tail")


def test_faces_read_back_from_json_are_the_same() -> None:
    faces = some_faces(3)
    read = json.loads(json.dumps(faces.to_dict()))
    assert read["skeleton"] == "300w-68"
    assert [face["person"] for face in read["faces"]] == [None, 0, 1]
    for name, key, places in (("landmarks", "landmarks", 3), ("scores", "score", 5), ("boxes", "box", 2)):
        values = np.array([face[key] for face in read["faces"]], np.float32)
        np.testing.assert_allclose(values, getattr(faces, name), atol=0.6 * 10**-places)
    np.testing.assert_allclose([face["angle"] for face in read["faces"]], faces.angles, atol=6e-5)


def test_a_result_is_one_line_of_json() -> None:
    poses, faces = some_poses(2), some_faces(2)
    bare = Result(poses, StageTimes({}, latency=0.0))
    line = bare.to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "type": "result",
        "frame_index": 0,
        "capture_time": 0.0,
        "capture_clock": "file",
        "frame_size": None,
        "dropped": 0,
        "timing": {"capture": 0.0, "latency": 0.0},
        **poses.to_dict(),
    }
    assert bare.frame.shape == (0, 0, 3)
    times = StageTimes({}, latency=0.0)
    full = Result(poses, times, faces, frame_index=3, capture_time=0.1234567, picture='a "b".jpg').to_dict()
    assert list(full) == [
        *("type", "picture", "frame_index", "capture_time", "capture_clock", "frame_size", "dropped", "timing"),
        *("skeleton", "people", "face_skeleton", "faces"),
    ]
    assert (full["picture"], full["frame_index"], full["capture_time"]) == ('a "b".jpg', 3, 0.123457)
    assert (full["face_skeleton"], full["faces"]) == ("300w-68", faces.to_dict()["faces"])


def test_times_are_told_in_the_order_of_the_frames_way() -> None:
    stages = {"preprocess": 1.0, "network": 2.0, "faces": 4.0}
    times = StageTimes(stages, latency=9.0, capture=0.5, per_face=2.0)
    assert list(times.named().items()) == [("capture", 0.5), *stages.items(), ("per face", 2.0), ("latency", 9.0)]
    assert list(StageTimes(stages, latency=9.0).named()) == ["capture", *stages, "latency"]
