"""COFW, AFLW and MPII's heads: what is read from MATLAB's files of both kinds, and what a broken one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers import read_aflw, read_aflw_csv, read_cofw, read_mpii_heads, read_mpii_release
from tests.fakes.landmark_sets import grid, photo, write

Content = dict[str, Any]
Change = Callable[[Content], Any]

PHOTOS = [
    np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8),  # RGB
    np.random.default_rng(1).integers(0, 256, (24, 16), np.uint8),  # grey
]


def cells(values: list[Any]) -> Any:
    """MATLAB's cell array of N x 1."""
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def cofw(ending: str = "Tr") -> Content:
    hidden = np.zeros((2, 29))
    hidden[1, 3] = 1
    points = np.tile(grid(29).T.reshape(1, 58), (2, 1))
    return {
        f"Is{ending}": cells(list(PHOTOS)),
        f"phis{ending}": np.hstack([points, hidden]),
        f"bboxes{ending}": np.array([[3.0, 4.0, 10.0, 12.0], [1.0, 1.0, 9.0, 9.0]]),
    }


def write_hdf5(path: Path, content: Content) -> None:
    """The same as MATLAB writes version 7.3: axes reversed, cells as references, a header before the HDF5."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in content.items():
            if value.dtype == object:
                stored = np.empty(value.T.shape, h5py.ref_dtype)
                for place, cell in np.ndenumerate(value.T):
                    stored[place] = file.create_dataset(f"#refs#/{name}{place[1]}", data=cell.T).ref
                file.create_dataset(name, data=stored, dtype=h5py.ref_dtype)
            else:
                file.create_dataset(name, data=value.T)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0x00, 0x02]) + b"IM"
    with path.open("r+b") as raw:
        raw.write(header)


@pytest.mark.parametrize(("part", "ending"), [("train", "Tr"), ("test", "T")])
@pytest.mark.parametrize("save", [savemat, write_hdf5], ids=["version 5", "version 7.3"])
def test_cofw_gives_photos_points_and_what_is_hidden(tmp_path: Path, save: Any, part: Any, ending: str) -> None:
    save(tmp_path / "cofw.mat", cofw(ending))
    first, second = read_cofw(tmp_path / "cofw.mat", part)
    np.testing.assert_array_equal(first.read(), PHOTOS[0][..., ::-1])
    np.testing.assert_array_equal(second.read(), np.repeat(PHOTOS[1][..., None], 3, axis=2))
    np.testing.assert_allclose(second.points, grid(29))
    assert first.box.tolist() == [3, 4, 12, 15]
    assert np.flatnonzero(second.visibility != 2).tolist() == [3]
    assert second.visibility[3] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("phisTr"), r"cofw.mat has no variable 'phisTr'"),
        (lambda c: c.update(phisTr=c["phisTr"][:, :58]), r"variable 'phisTr': \(2, 58\) float64, expected \(N, 87\)"),
        (lambda c: c.update(phisTr=cells(["a", "b"])), r"variable 'phisTr': \(2, 1\) object, expected \(N, 87\)"),
        (lambda c: c.update(bboxesTr=np.full((2, 4), "x")), r"variable 'bboxesTr': .* expected \(N, 4\) numbers"),
        (
            lambda c: c["phisTr"].__setitem__((1, 80), 2),
            r"cofw.mat, row 2: a flag of what is hidden is neither 0 nor 1",
        ),
        (lambda c: c["bboxesTr"].__setitem__((1, 3), -7), r"cofw.mat, row 2: the box .* is empty"),
        (lambda c: c["IsTr"].__setitem__((1, 0), PHOTOS[0] / 255), r"cofw.mat, row 2: the photo is no uint8 picture"),
        (
            lambda c: c["IsTr"].__setitem__((1, 0), PHOTOS[0][..., :2]),
            r"cofw.mat, row 2: the photo is no uint8 picture",
        ),
        (lambda c: c["IsTr"].__setitem__((1, 0), PHOTOS[0][:0]), r"cofw.mat, row 2: the photo is no uint8 picture"),
        (lambda c: c.update(bboxesTr=c["bboxesTr"][:1]), r"do not belong together"),
        (lambda c: c["phisTr"].__setitem__((1, 5), np.nan), r"cofw.mat, row 2: a coordinate is not a finite number"),
        (lambda c: c["bboxesTr"].__setitem__((0, 2), 0), r"cofw.mat, row 1: the box .* is empty"),
        (lambda c: c["IsTr"].__setitem__((1, 0), "text"), r"cofw.mat, row 2: the photo is no uint8 picture"),
    ],
)
def test_a_broken_cofw_file_is_refused_with_the_row(tmp_path: Path, change: Change, message: str) -> None:
    content = cofw()
    change(content)
    savemat(tmp_path / "cofw.mat", content)
    with pytest.raises(DatasetError, match=message):
        read_cofw(tmp_path / "cofw.mat", "train")


def test_what_is_no_matlab_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none.mat could not be read"):
        read_cofw(tmp_path / "none.mat", "train")
    with pytest.raises(DatasetError, match=r"text.mat is damaged or no MATLAB file"):
        read_cofw(write(tmp_path / "text.mat", "not MATLAB's"), "train")
    savemat(tmp_path / "whole.mat", cofw())
    (tmp_path / "short.mat").write_bytes((tmp_path / "whole.mat").read_bytes()[:700])
    (tmp_path / "empty.mat").write_bytes(b"")
    for name in ("short.mat", "empty.mat"):
        with pytest.raises(DatasetError, match=f"{name} is damaged or no MATLAB file"):
            read_cofw(tmp_path / name, "train")
    pytest.importorskip("h5py")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + bytes([0x00, 0x02]) + b"IM"
    (tmp_path / "cut.mat").write_bytes(header + bytes(64))
    with pytest.raises(DatasetError, match=r"cut.mat is damaged or no MATLAB file"):
        read_cofw(tmp_path / "cut.mat", "train")


def aflw(folder: Path) -> Content:
    names = [f"0/{number}.png" for number in range(4)]
    for name in names:
        photo(folder / name)
    masks = np.ones((4, 19))
    masks[2, 6] = 0
    return {
        "nameList": cells(names),
        "data": np.stack([(grid(19) + shift).T.ravel() for shift in range(4)]),
        "bbox": np.tile([2.0, 32.0, 4.0, 24.0], (4, 1)),
        "mask_new": masks,
        "ra": np.array([[4, 1, 3, 2]]),
    }


def test_aflw_is_divided_by_its_own_order(tmp_path: Path) -> None:
    savemat(tmp_path / "aflw.mat", aflw(tmp_path))
    train = read_aflw(tmp_path / "aflw.mat", tmp_path, "train", training_faces=2)
    test = read_aflw(tmp_path / "aflw.mat", tmp_path, "test", training_faces=2)
    assert [example.picture.name for example in [*train, *test]] == ["3.png", "0.png", "2.png", "1.png"]  # type: ignore[union-attr]
    np.testing.assert_allclose(train[0].points, grid(19) + 3)
    assert train[0].box.tolist() == [2, 4, 32, 24]
    assert train[0].length == pytest.approx(600**0.5)
    assert [example.subsets for example in test] == [(), ("frontal",)]
    assert test[0].visibility[6] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("ra"), r"aflw.mat has no variable 'ra'"),
        (
            lambda c: c.update(data=c["data"][:, :36]),
            r"aflw.mat, variable 'data': \(4, 36\) float64, expected \(N, 38\)",
        ),
        (
            lambda c: c.update(bbox=c["bbox"][:3]),
            r"aflw.mat: nameList, data, bbox and mask_new are not of as many faces",
        ),
        (lambda c: c.update(ra=np.array([[1, 1, 2, 3]])), r"aflw.mat, variable 'ra': it is not an order of 4 faces"),
        (lambda c: c.update(ra=np.array([[1, np.nan, 2, 3]])), r"variable 'ra': it is not an order of 4 faces"),
        (lambda c: c.update(ra=cells(["a"])), r"variable 'ra': it is not an order of 4 faces"),
        (lambda c: c["mask_new"].__setitem__((3, 0), np.nan), r"aflw.mat, row 4: a mask is neither 0 nor 1"),
        (lambda c: c["bbox"].__setitem__((3, 1), -9), r"aflw.mat, row 4: the box .* is empty"),
        (lambda c: c["data"].__setitem__((3, 0), np.inf), r"aflw.mat, row 4: a coordinate is not a finite number"),
        (lambda c: c["nameList"].__setitem__((3, 0), 5.0), r"aflw.mat, row 4: the photo has no name"),
        (lambda c: c["nameList"].__setitem__((3, 0), "gone.jpg"), r"aflw.mat, row 4: the photo .* does not exist"),
    ],
)
def test_a_broken_aflw_file_is_refused_with_the_row(tmp_path: Path, change: Change, message: str) -> None:
    content = aflw(tmp_path)
    change(content)
    savemat(tmp_path / "aflw.mat", content)
    with pytest.raises(DatasetError, match=message):
        read_aflw(tmp_path / "aflw.mat", tmp_path, "train")


TABLE_BOX = (0.1, 18.5, 20, 22)
"""Scale, length, and the centre of the square."""


def table(folder: Path, change: Callable[[list[str]], Any] = lambda fields: None) -> Path:
    """A face on line 2 and one on line 3, whose fields are changed."""
    photo(folder / "images" / "0" / "a.png")
    rows = [["0/a.png", *(f"{value:g}" for value in (*TABLE_BOX, *(grid(19) + shift).ravel()))] for shift in (0, 1)]
    change(rows[1])
    titles = ["image_name", "scale", "box_size", "center_w", "center_h", *(f"original_{i}" for i in range(38))]
    return write(folder / "aflw.csv", "\n".join(",".join(row) for row in [titles, *rows]))


def test_aflws_table_gives_points_squares_and_lengths(tmp_path: Path) -> None:
    first, second = read_aflw_csv(table(tmp_path), tmp_path / "images")
    np.testing.assert_allclose(first.points, grid(19))
    np.testing.assert_allclose(second.points, grid(19) + 1)
    assert second.box.tolist() == [10, 12, 29, 31]
    assert second.length == 18.5
    assert second.read().shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop(), r"aflw.csv, line 3: 42 fields, expected 43"),
        (lambda fields: fields.__setitem__(9, ""), r"aflw.csv, line 3: '' is not a number"),
        (lambda fields: fields.__setitem__(9, "nan"), r"aflw.csv, line 3: 'nan' is not a finite number"),
        (lambda fields: fields.__setitem__(1, "-1"), r"aflw.csv, line 3: the box .* is empty"),
        (lambda fields: fields.__setitem__(2, "0"), r"aflw.csv, line 3: the length 0 .* is not positive"),
        (lambda fields: fields.__setitem__(0, "no.png"), r"aflw.csv, line 3: the photo .*no.png does not exist"),
    ],
)
def test_a_broken_table_is_refused_with_the_line(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_aflw_csv(table(tmp_path, change), tmp_path / "images")


def test_mpii_heads_are_a_share_of_the_boxes_diagonal(tmp_path: Path) -> None:
    boxes = np.zeros((2, 2, 2))
    boxes[1] = [[30, 6], [40, 8]]
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": boxes})
    np.testing.assert_allclose(read_mpii_heads(tmp_path / "gt_valid.mat"), [30, 6])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((2, 3, 4)), r"headboxes_src is \(2, 3, 4\) float64, expected \(2, 2, N\)"),
        (np.zeros((2, 2, 3)), r"gt_valid.mat, person 1: the head has no size"),
        (np.full((2, 2, 1), np.nan), r"gt_valid.mat, person 1: the head has no size"),
        (np.full((2, 2, 1), "x"), r"gt_valid.mat: headboxes_src is .*expected \(2, 2, N\)"),
    ],
)
def test_broken_heads_are_refused(tmp_path: Path, boxes: Any, message: str) -> None:
    savemat(tmp_path / "gt_valid.mat", {"headboxes_src": boxes})
    with pytest.raises(DatasetError, match=message):
        read_mpii_heads(tmp_path / "gt_valid.mat")


def structures(values: list[Content]) -> Any:
    """MATLAB's array of structures, 1 x N, each with the fields of the first."""
    array = np.empty((1, len(values)), [(name, object) for name in values[0]])
    for index, value in enumerate(values):
        array[0, index] = tuple(value.values())
    return array


def person(shift: float = 0.0, joints: int = 16) -> Content:
    points = [
        {"x": x + 1 + shift, "y": y + 1, "id": float(joint), "is_visible": np.zeros((0, 0))}
        for joint, (x, y) in enumerate(grid(16)[:joints])
    ]
    return {
        **dict.fromkeys(("x1", "y1"), 10.0),
        "x2": 40.0,
        "y2": 50.0,
        "scale": 0.2,
        "objpos": {"x": 31.0, "y": 21.0},
        "annopoints": {"point": structures(points)},
    }


def release(folder: Path, change: Change = lambda people: None) -> Path:
    """Three photos: one of training with two people, one of training with nobody, one of the test."""
    photo(folder / "images" / "a.jpg")
    people: Any = [person(), person(1.0, joints=14)]
    change(people)
    photos = [
        {"image": {"name": name}, "annorect": rects}
        for name, rects in (
            ("a.jpg", structures(people)),
            ("b.jpg", np.zeros((0, 0))),
            ("c.jpg", structures([{"scale": 1.0}])),
        )
    ]
    file = folder / "mpii_human_pose_v1_u12_1.mat"
    savemat(file, {"RELEASE": {"annolist": structures(photos), "img_train": np.array([[1, 1, 0]])}})
    return file


def test_mpiis_release_gives_the_people_of_its_training(tmp_path: Path) -> None:
    first, second = read_mpii_release(release(tmp_path), tmp_path / "images")
    np.testing.assert_allclose(first.points, grid(16))
    np.testing.assert_allclose(second.points[:14], grid(16)[:14] + np.array([1, 0]))
    assert second.visibility.tolist() == [2] * 14 + [0, 0]
    np.testing.assert_allclose(first.box, [30 - 20, 23 - 20, 30 + 19, 23 + 19])
    assert first.length == pytest.approx(0.6 * 50)
    assert first.picture == tmp_path / "images" / "a.jpg"


def test_people_without_joints_are_left_out(tmp_path: Path) -> None:
    file = release(tmp_path, lambda people: people[0].update(annopoints=np.zeros((0, 0))))
    assert len(read_mpii_release(file, tmp_path / "images")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[1].update(scale=-1.0), r"12_1.mat, image 1, person 2: the box .* is empty"),
        (lambda p: p[1].update(objpos={"x": 3.0}), r"12_1.mat, image 1, person 2: the key 'y' is missing"),
        (lambda p: p[1].update(x1="a"), r"12_1.mat, image 1, person 2: "),
        (lambda p: p[1].update(x1=np.nan), r"12_1.mat, image 1, person 2: the length nan .* is not positive"),
        (
            lambda p: p[1].update(annopoints={"point": {"x": 1.0, "y": 2.0, "id": 16.0}}),
            r"12_1.mat, image 1, person 2: a joint has the id 16, expected 0 to 15",
        ),
    ],
)
def test_a_broken_release_is_refused_with_the_person(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_mpii_release(release(tmp_path, change), tmp_path / "images")
