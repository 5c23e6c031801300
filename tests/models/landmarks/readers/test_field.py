"""Files of published sets that are not, or not quite, what a reader expects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.kernels.reference.crops import crop_rectangles
from heatstream.models.landmarks.body_evaluation import _best
from heatstream.models.landmarks.readers import read_aflw_csv, read_wflw
from heatstream.models.landmarks.readers.detect import detect_dataset
from heatstream.skeletons import COCO_17
from tests.fakes.landmark_sets import grid, photo, text, write


def test_wflws_own_lists_of_a_subset_have_neither_boxes_nor_flags(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (face,) = read_wflw(write(tmp_path / "list_98pt_test_blur.txt", f"{text(grid(98))} a.png\n"), tmp_path)
    np.testing.assert_allclose(face.points, grid(98), rtol=1e-5)
    np.testing.assert_allclose(face.box, [*grid(98).min(axis=0), *grid(98).max(axis=0)], rtol=1e-5)
    assert detect_dataset(tmp_path, Path("list_98pt_test_blur.txt")).tight


@pytest.mark.parametrize(("points", "name"), [(98, "WFLW"), (68, "300-W"), (29, "COFW")])
def test_other_sets_lists_are_not_taken_for_aflw(points: int, name: str, tmp_path: Path) -> None:
    line = ",".join(["a.png", "1", "30", "40", *text(grid(points)).split()])
    with pytest.raises(DatasetError, match=f"HRNet's list of {name}"):
        read_aflw_csv(write(tmp_path / "face.csv", f"titles\n{line}\n"), tmp_path)


def test_a_square_of_200_px_names_its_last_pixel(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    line = ",".join(["a.png", "0.1", "10", "30", "20", *text(grid(19)).split()])
    (face,) = read_aflw_csv(write(tmp_path / "aflw.csv", f"titles\n{line}\n"), tmp_path)
    assert face.box.tolist() == pytest.approx([20, 10, 39, 29])


def test_faces_in_cocos_layout_are_told(tmp_path: Path) -> None:
    labels = {"images": [], "annotations": [{"keypoints": [1, 2, 2] * 68}], "categories": [{"id": 1, "name": "face"}]}
    (tmp_path / "faces.json").write_text(json.dumps(labels))
    with pytest.raises(DatasetError, match="68 landmarks of faces in COCO's layout"):
        detect_dataset(tmp_path)


def test_two_poses_in_one_box_are_as_near_as_the_published_programs_have_it() -> None:
    """All joints 10 px off in x and y in a box of AP_H_56's, photo 785: HRNet's OKS is 0.9161, that of one person."""
    box = np.array([[277.118, 45.7, 277.118 + 225.091 - 1, 45.7 + 333.56 - 1]] * 2)
    keypoints = np.stack([np.full((17, 2), 300.0), np.full((17, 2), 310.0)])
    crops = crop_rectangles(box, aspect=0.75)
    assert np.prod(crops[0, 2:] - crops[0, :2]) == pytest.approx(130385.7, abs=0.5)
    assert len(_best(keypoints, np.array([0.9, 0.8]), crops, COCO_17)) == 1
    assert len(_best(keypoints, np.array([0.9, 0.8]), box, COCO_17)) == 2


def test_a_number_beyond_every_float_is_told(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    face = {"image": "a.png", "points": [[1, 2]] * 68, "bbox": [0, 0, 10**400, 5]}
    (tmp_path / "val.json").write_text(json.dumps({"num_points": 68, "images": [face]}))
    with pytest.raises(DatasetError, match=r"entry 1.*too large.*: correct the file"):
        detect_dataset(tmp_path).read()


FACES = {"num_points": 68, "images": [{"image": "a.png", "points": [], "bbox": [0, 0, 9, 9]}]}
DAMAGED = {
    "lists in lists without end": b'{"images": ' + b"[" * 100_000,
    "a number of thousands of digits": b'{"images": ' + b"9" * 5000 + b"}",
    "categories that are a number": b'{"annotations": [], "categories": 5, "images": []}',
    "keypoints that are a number": b'{"annotations": [], "categories": [{"keypoints": 5}], "images": []}',
    "UTF-16 with a broken entry": json.dumps(FACES).encode("utf-16"),
    "UTF-32 with a broken entry": json.dumps(FACES).encode("utf-32"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_json_is_one_sentence(name: str, tmp_path: Path) -> None:
    (tmp_path / "val.json").write_bytes(DAMAGED[name])
    with pytest.raises(DatasetError, match=r"val\.json.*(again|correct|give)"):
        detect_dataset(tmp_path).read()
