"""The best picture of a run."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks import save_sink
from tests.fakes.runtime import result, whiten


@pytest.mark.parametrize("name", ["best.jpg", "best.png"])
def test_the_best_picture_is_kept(name: str, tmp_path: Path) -> None:
    drawn: list[int] = []

    def draw(result: Result) -> NDArray[np.uint8]:
        drawn.append(result.frame_index)
        return whiten(result)

    sink = save_sink(tmp_path / name, draw, fps=None, live=False)
    for number, score in enumerate((0.1, 0.9, 0.3)):
        sink.write(result(number, score=score))
    assert not (tmp_path / name).exists()
    assert sink.close() == tmp_path / name
    assert sink.close() is None
    assert drawn == [1]
    picture = cv2.imread(str(tmp_path / name))
    assert picture is not None
    assert picture.mean() > 240
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_disk_full_at_the_end_keeps_the_earlier_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.jpg").write_text("old")
    sink = save_sink(tmp_path / "out.jpg", whiten, fps=None, live=False)
    sink.write(result(0))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(SinkError, match=r"the disk is full, .*out\.jpg"):
        sink.close()
    assert (tmp_path / "out.jpg").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jpg"]


@pytest.mark.parametrize("name", ["out.gif", "out.txt"])
def test_unknown_kinds_are_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4, \.avi, \.jpg"):
        save_sink(tmp_path / name, whiten, fps=None, live=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_holds_every_picture_under_its_name(tmp_path: Path) -> None:
    folder, other = tmp_path / "drawn", tmp_path / "other.jpg"
    other.write_bytes(b"of somebody")
    sink = save_sink(folder, whiten, fps=None, live=False)
    (folder / "c.png").symlink_to(other)
    for number, name in enumerate(["a.JPG", "b.heic", "c.png", "a.JPG", None]):
        sink.write(result(number, picture=name))
    assert sink.close() == folder
    names = ["000003-a.JPG", "000004.jpg", "a.JPG", "b.heic.jpg", "c.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.shape == (48, 64, 3)
        assert picture.mean() > 240
    assert other.read_bytes() == b"of somebody"


def test_a_folder_without_pictures_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        assert save_sink(tmp_path / name, whiten, fps=None, live=False).close() is None
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_has_one_writer_and_must_be_one(tmp_path: Path) -> None:
    sink = save_sink(tmp_path / "drawn", whiten, fps=None, live=False)
    with pytest.raises(SinkError, match="another run is writing"):
        save_sink(tmp_path / "drawn", whiten, fps=None, live=False)
    sink.close()
    (tmp_path / "file").write_text("")
    for name in ("file", "none/drawn", "-"):
        with pytest.raises(SinkError, match=r"does not end in a kind|there is no folder"):
            save_sink(tmp_path / name if name != "-" else Path("-"), whiten, fps=None, live=False)


def test_a_folder_that_goes_away_is_told(tmp_path: Path) -> None:
    sink = save_sink(tmp_path / "drawn", whiten, fps=None, live=False)
    sink.write(result(0))
    shutil.rmtree(tmp_path / "drawn")
    with pytest.raises(SinkError, match="there is no folder"):
        sink.write(result(1))
    sink.close()
