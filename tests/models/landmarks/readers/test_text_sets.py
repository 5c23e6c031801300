"""WFLW, 300-W and LaPa: what is read from their text files, and what a broken one is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import DatasetError
from heatstream.models.landmarks.readers import read_300w, read_lapa, read_wflw
from tests.fakes.landmark_sets import grid, photo, text, write

Change = Callable[[list[str]], None]


def wflw(folder: Path, *, change: Change | None = None) -> tuple[Path, Path]:
    """Two faces of one photo; `change` works on the fields of the second, which is on line 3."""
    photo(folder / "WFLW_images" / "0--Parade" / "a b.png")
    first, second = (
        [*text(grid(98) + shift).split(), *["1", "2", "50", "40"], *flags.split(), "0--Parade/a b.png"]
        for shift, flags in ((0, "0 0 0 0 0 0"), (0.5, "1 0 0 1 0 1"))
    )
    if change is not None:
        change(second)
    return write(folder / "list.txt", f"{' '.join(first)}\n\n{' '.join(second)}\n"), folder / "WFLW_images"


def test_wflw_gives_points_boxes_and_attributes(tmp_path: Path) -> None:
    first, second = read_wflw(*wflw(tmp_path))
    np.testing.assert_allclose(first.points, grid(98), rtol=1e-5)
    np.testing.assert_allclose(second.points, grid(98) + 0.5, rtol=1e-5)
    assert second.box.tolist() == [1, 2, 50, 40]
    assert (first.subsets, second.subsets) == ((), ("pose", "make-up", "blur"))
    assert second.visibility.tolist() == [2] * 98
    assert second.length is None
    assert second.read().shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.__delitem__(slice(2)), r"line 3: 206 fields, expected 207"),
        (lambda fields: fields.__setitem__(7, "x"), r"line 3: 'x' is not a number"),
        (lambda fields: fields.__setitem__(7, "nan"), r"line 3: 'nan' is not a finite number"),
        (lambda fields: fields.__setitem__(198, "0"), r"line 3: the box \[1.0, 2.0, 0.0, 40.0\] is empty"),
        (lambda fields: fields.__setitem__(203, "2"), r"line 3: a flag is neither 0 nor 1"),
        (lambda fields: fields.__setitem__(-1, "gone.jpg"), r"line 3: the photo .*gone.jpg does not exist"),
    ],
)
def test_a_broken_wflw_list_is_refused_with_the_line(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(DatasetError, match=r"list.txt, " + message):
        read_wflw(*wflw(tmp_path, change=change))


def test_a_missing_or_empty_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none.txt could not be read \(No such file"):
        read_wflw(tmp_path / "none.txt", tmp_path)
    with pytest.raises(DatasetError, match=r"empty.txt lists no face"):
        read_wflw(write(tmp_path / "empty.txt", "\n"), tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"binary.txt is no text"):
        read_wflw(tmp_path / "binary.txt", tmp_path)


def pts(file: Path, *, lines: list[str] | None = None) -> Path:
    """A face with 68 points, 1-based in the file, and its photo."""
    photo(file.with_suffix(".jpg"))
    points = [text(point) for point in grid(68) + 1]
    content = ["version: 1", "n_points:  68", "{", *points, "}"] if lines is None else lines
    return write(file, "\n".join(content) + "\n")


def test_300w_is_divided_as_usual(tmp_path: Path) -> None:
    for name in ("afw/a.pts", "helen/trainset/b.pts", "lfpw/trainset/c.pts"):
        pts(tmp_path / name)
    for name in ("helen/testset/d.pts", "lfpw/testset/e.pts", "ibug/f.pts"):
        pts(tmp_path / name)
    names = {part: [e.picture.stem for e in read_300w(tmp_path, part)] for part in ("train", "test", "all")}  # type: ignore[union-attr, arg-type]
    assert names["train"] == ["a", "b", "c"]
    assert names["test"] == ["d", "e", "f"]
    assert sorted(names["all"]) == list("abcdef")
    subsets = [example.subsets for example in read_300w(tmp_path, "test")]
    assert subsets == [("common",), ("common",), ("challenging",)]


def test_pts_points_become_zero_based(tmp_path: Path) -> None:
    pts(tmp_path / "ibug" / "a.pts")
    (example,) = read_300w(tmp_path)
    np.testing.assert_allclose(example.points, grid(68), rtol=1e-5)
    np.testing.assert_allclose(example.box, [*grid(68).min(axis=0), *grid(68).max(axis=0)])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"a.pts, line 1: the file ends without a line '{'"),
        (["version: 1", "n_points: 68", *["1 2"] * 3], r"a.pts, line 5: the file ends without a line '{'"),
        (["version: 1", "n_points: 98", "{"], r"a.pts, line 2: n_points is 98, expected 68"),
        (["{", "1 2", "3 inf"], r"a.pts, line 3: 'inf' is not a finite number"),
        (["{", *["1 2"] * 68, "}", "3 4"], r"a.pts, line 71: text after the points"),
        (["{", "1 2", "3"], r"a.pts, line 3: 1 fields, expected x and y"),
        (["{", "1 2", "3 y"], r"a.pts, line 3: 'y' is not a number"),
        (["{", "1 2", "3 4"], r"a.pts, line 3: the points end without '}'"),
        (["{", "1 2", "3 4", "}"], r"a.pts, line 4: 2 points before '}', expected 68"),
        (["{", *["1 2"] * 69, "}"], r"a.pts, line 71: 69 points before '}', expected 68"),
    ],
)
def test_a_broken_pts_file_is_refused_with_the_line(tmp_path: Path, lines: list[str], message: str) -> None:
    pts(tmp_path / "a.pts", lines=lines)
    with pytest.raises(DatasetError, match=message):
        read_300w(tmp_path)


@pytest.mark.parametrize(("start", "end"), [("", "\r\n"), ("\ufeff", "\n"), ("", "\r")])
def test_a_mark_at_the_start_and_any_end_of_lines_are_read(tmp_path: Path, start: str, end: str) -> None:
    file = pts(tmp_path / "a.pts")
    file.write_bytes((start + end.join(file.read_text().splitlines())).encode())
    np.testing.assert_allclose(read_300w(tmp_path)[0].points, grid(68), rtol=1e-5)
    file.write_bytes(file.read_bytes().replace(b"}", b"?"))
    with pytest.raises(DatasetError, match=r"a.pts, line 72: 1 fields, expected x and y"):
        read_300w(tmp_path)


def test_other_folders_of_pts_files_are_subsets(tmp_path: Path) -> None:
    for name in ("01_Indoor/a.pts", "HELEN/testset/b.pts", "c.pts"):
        pts(tmp_path / name)
    assert [example.subsets for example in read_300w(tmp_path)] == [("01_Indoor",), ("HELEN",), ()]


def test_300w_without_files_or_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"afw holds no .pts file"):
        read_300w(tmp_path, "train")
    pts(tmp_path / "a.pts").with_suffix(".jpg").unlink()
    with pytest.raises(DatasetError, match=r"a.pts has no photo of its name beside it"):
        read_300w(tmp_path)


def lapa(folder: Path, *, change: Change | None = None) -> Path:
    photo(folder / "images" / "7.jpg")
    lines = ["106", *(text(point) for point in grid(106))]
    if change is not None:
        change(lines)
    write(folder / "landmarks" / "7.txt", "\n".join(lines))
    return folder


def test_lapa_gives_points(tmp_path: Path) -> None:
    (example,) = read_lapa(lapa(tmp_path))
    np.testing.assert_allclose(example.points, grid(106), rtol=1e-5)
    assert example.picture == tmp_path / "images" / "7.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines.__setitem__(0, "68"), r"7.txt, line 1: the number of points is not 106"),
        (lambda lines: lines.pop(), r"7.txt, line 106: 105 points, expected 106"),
        (lambda lines: lines.__setitem__(4, "1 2 3"), r"7.txt, line 5: 3 fields, expected x and y"),
        (lambda lines: lines.__setitem__(4, "1 ?"), r"7.txt, line 5: '\?' is not a number"),
        (lambda lines: lines.__setitem__(4, "nan 1"), r"7.txt, line 5: 'nan' is not a finite number"),
        (lambda lines: lines.append("1 2"), r"7.txt, line 108: 107 points, expected 106"),
        (lambda lines: lines.clear(), r"7.txt, line 1: the number of points is not 106"),
    ],
)
def test_a_broken_lapa_file_is_refused_with_the_line(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_lapa(lapa(tmp_path, change=change))


def test_a_folder_that_is_not_lapa_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"landmarks holds no .txt file"):
        read_lapa(tmp_path)


def test_a_photo_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (example,) = read_lapa(lapa(tmp_path))
    write(tmp_path / "images" / "7.jpg", "no picture")
    with pytest.raises(DatasetError, match=r"7\.jpg is not a picture that OpenCV can read"):
        example.read()
