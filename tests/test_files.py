"""A file is replaced whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from heatstream.errors import SinkError, TrainingError
from heatstream.files import make_folder, replacing


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_raised_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.onnx"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (lambda folder: folder, "it is a folder"),
        (lambda folder: folder / "no" / "out.onnx", "there is no folder .*no, make it first"),
        (lambda folder: folder / ("x" * 300), "file name too long"),
    ],
)
def test_an_unwritable_place_is_refused_before_the_work(
    tmp_path: Path, name: Callable[[Path], Path], words: str
) -> None:
    path = name(tmp_path)
    with pytest.raises(SinkError, match=words) as caught, replacing(path):
        pytest.fail("the work was started")
    assert str(path) in str(caught.value)


def test_a_full_disk_is_said_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(SinkError, match="no space left on device; choose another place"),
        replacing(tmp_path / "out.onnx"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path = tmp_path / "there" / "out.onnx"
    path.parent.mkdir()
    link = tmp_path / "link.onnx"
    link.symlink_to(path)
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"


def test_a_folder_is_made_with_those_above_it_and_one_that_is_there_is_taken(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"file/c cannot be made .*: choose another"):
        make_folder(tmp_path / "file" / "c", TrainingError)


@pytest.mark.parametrize("address", ["http://nas.local/results", "s3://bucket/results"])
def test_a_folder_in_the_network_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match="is an address"):
        make_folder(Path(address))
    assert list(tmp_path.iterdir()) == []
