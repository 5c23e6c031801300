"""Which set is recognised in a folder, and what is said of a folder that holds none or several."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers import detect_dataset
from heatstream.skeletons import CROWDPOSE_14
from tests.fakes.coco_sets import annotation, person, write_set
from tests.fakes.landmark_sets import photo, write
from tests.models.landmarks.readers.test_json_sets import faces, mpii
from tests.models.landmarks.readers.test_matlab_sets import aflw, cofw, table
from tests.models.landmarks.readers.test_text_sets import lapa, pts, wflw


def put_wflw(folder: Path, below: str = "") -> None:
    labels, _ = wflw(folder)
    target = folder / below / "list_98pt_rect_attr_test.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    labels.rename(target)


def put_mpii(folder: Path) -> None:
    labels, _ = mpii(folder)
    (folder / "annot").mkdir()
    labels.rename(folder / "annot" / "valid.json")
    heads = np.zeros((2, 2, 2))
    heads[1] = 10
    savemat(folder / "annot" / "gt_valid.mat", {"headboxes_src": heads})


def put_coco(folder: Path, name: str = "annotations/person_keypoints_val2017.json") -> None:
    labels, images = write_set(folder, [annotation(person({0: (10, 20, 2)}))])
    images.rename(folder / "val2017")
    (folder / name).parent.mkdir(exist_ok=True)
    labels.rename(folder / name)


def put_h3r(folder: Path) -> None:
    labels, images = wflw(folder)
    (folder / "WFLW").mkdir()
    labels.rename(folder / "WFLW" / "test.txt")
    images.rename(folder / "WFLW" / "images")


def put_hrnet(folder: Path) -> None:
    put_coco(folder)
    (folder / "images").mkdir()
    (folder / "val2017").rename(folder / "images" / "val2017")


def put_crowdpose(folder: Path) -> None:
    labels, images = write_set(folder, [annotation(person({0: (10, 20, 2)}, skeleton=CROWDPOSE_14))])
    (folder / "json").mkdir()
    labels.rename(folder / "json" / "crowdpose_test.json")
    images.rename(folder / "images")


def put_300w(folder: Path) -> None:
    for name in ("helen/testset/a.pts", "lfpw/testset/b.pts", "IBUG/c.pts", "afw/d.pts"):
        pts(folder / name)


@pytest.mark.parametrize(
    ("make", "title", "skeleton", "measure", "norm", "examples"),
    [
        (put_wflw, "WFLW", "wflw-98", "nme", "inter-ocular", 2),
        (
            lambda d: put_wflw(d, "WFLW_annotations/list_98pt_rect_attr_train_test"),
            *("WFLW", "wflw-98", "nme", "inter-ocular", 2),
        ),
        (lambda d: faces(d).rename(d / "val.json"), "faces", "300w-68", "nme", "inter-ocular", 2),
        (lambda d: faces(d).rename(d / "test.json"), "faces", "300w-68", "nme", "inter-ocular", 2),
        (lambda d: faces(d), "faces", "300w-68", "nme", "inter-ocular", 2),
        (lambda d: savemat(d / "COFW_test_color.mat", cofw("T")), "COFW", "cofw-29", "nme", "inter-ocular", 2),
        (
            lambda d: table(d).rename(d / "face_landmarks_aflw_test.csv"),
            *("AFLW", "aflw-19", "nme", "box", 2),
        ),
        (lambda d: lapa(d), "LaPa", "lapa-106", "nme", "inter-ocular", 1),
        (lambda d: lapa(d / "test"), "LaPa", "lapa-106", "nme", "inter-ocular", 1),
        (put_300w, "300-W, full test", "300w-68", "nme", "inter-ocular", 3),
        (lambda d: put_300w(d / "300W"), "300-W, full test", "300w-68", "nme", "inter-ocular", 3),
        (lambda d: put_300w(d / "sets" / "300W"), "300-W, full test", "300w-68", "nme", "inter-ocular", 3),
        (put_h3r, "WFLW", "wflw-98", "nme", "inter-ocular", 2),
        (put_hrnet, "COCO", "coco-17", "oks", "box", 1),
        (put_crowdpose, "COCO", "crowdpose-14", "oks", "box", 1),
        (lambda d: pts(d / "helen" / "testset" / "a.pts"), "300-W", "300w-68", "nme", "inter-ocular", 1),
        (put_mpii, "MPII", "mpii-16", "pckh", "box", 2),
        (put_coco, "COCO", "coco-17", "oks", "box", 1),
        (lambda d: put_coco(d, "val.json"), "COCO", "coco-17", "oks", "box", 1),
    ],
)
def test_a_set_is_known_by_its_files(
    tmp_path: Path, make: Callable[[Path], Any], title: str, skeleton: str, measure: str, norm: str, examples: int
) -> None:
    make(tmp_path)
    if (tmp_path / "val.json").exists() and title == "COCO":
        (tmp_path / "val2017").rename(tmp_path / "val")
    found = detect_dataset(tmp_path)
    assert (found.title, found.skeleton.name, found.measure, found.norm) == (title, skeleton, measure, norm)
    assert len(found.read()) == examples


def test_aflw_is_measured_on_its_test(tmp_path: Path) -> None:
    savemat(tmp_path / "AFLWinfo_release.mat", aflw(tmp_path / "data" / "flickr"))
    found = detect_dataset(tmp_path)
    assert (found.title, found.skeleton.name, found.norm) == ("AFLW", "aflw-19", "box")
    assert found.images == tmp_path / "data" / "flickr"
    with pytest.raises(DatasetError, match="holds 4 faces, none of which is for the test"):
        found.read()


@pytest.mark.parametrize(
    ("make", "annotations", "title"),
    [
        (lambda d: wflw(d), "list.txt", "WFLW"),
        (lambda d: savemat(d / "some.mat", cofw("Tr")), "some.mat", "COFW"),
        (lambda d: faces(d), "train.json", "faces"),
    ],
)
def test_any_file_of_labels_may_be_named(
    tmp_path: Path, make: Callable[[Path], Any], annotations: str, title: str
) -> None:
    make(tmp_path)
    for given in (Path(annotations), tmp_path / annotations):
        found = detect_dataset(tmp_path, given)
        assert (found.title, len(found.read())) == (title, 2)


def test_the_photos_of_named_labels_are_in_the_folder(tmp_path: Path) -> None:
    faces(tmp_path / "photos").rename(tmp_path / "else.json")
    assert len(detect_dataset(tmp_path / "photos", tmp_path / "else.json").read()) == 2


@pytest.mark.parametrize(
    ("make", "annotations", "message"),
    [
        (lambda d: photo(d / "a.jpg"), None, r"holds no set that is known; looked for .*val.json.*WFLW.*\.pts"),
        (lambda d: (put_wflw(d), lapa(d)), None, r"several sets, list_98pt.*\(WFLW\) and \. \(LaPa\)"),
        (lambda d: None, "absent.json", r"there are no annotations at .*absent.json"),
        (lambda d: write(d / "a.xml", ""), "a.xml", r"a.xml is of no known kind: labels end in .txt, .mat"),
        (lambda d: (write(d / "a.json", "[]"), write(d / "b.json", "[]")), None, r"holds no set that is known"),
        (lambda d: write(d / "a.json", "[1\n"), "a.json", r"a.json, line 2, column 1: "),
        (lambda d: write(d / "val.json", "{}"), None, r"val.json holds neither faces .* nor COCO"),
        (lambda d: write(d / "a.json", "7"), "a.json", r"a.json holds a int, a dict or a list was expected"),
        (lambda d: write(d / "a.json", '{"num_points": 5}'), "a.json", r"a.json: no layout of a face has num_points 5"),
        (lambda d: write(d / "a.mat", "text"), "a.mat", r"a.mat is damaged or no MATLAB file"),
        (
            lambda d: savemat(d / "a.mat", {"x": 1}),
            "a.mat",
            r"a.mat holds neither COFW's IsT, AFLW's nameList nor MPII's RELEASE",
        ),
    ],
)
def test_what_is_not_known_is_told(
    tmp_path: Path, make: Callable[[Path], Any], annotations: str | None, message: str
) -> None:
    make(tmp_path)
    with pytest.raises(DatasetError, match=message):
        detect_dataset(tmp_path, None if annotations is None else Path(annotations))


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"absent is not a folder"):
        detect_dataset(tmp_path / "absent")


def test_counts_of_points_tell_the_layout(tmp_path: Path) -> None:
    content = json.loads(faces(tmp_path).read_text())
    for entry in content["images"]:
        entry["points"] = entry["points"][:29]
    write(tmp_path / "val.json", json.dumps({**content, "num_points": 29}))
    assert detect_dataset(tmp_path).skeleton.name == "cofw-29"
