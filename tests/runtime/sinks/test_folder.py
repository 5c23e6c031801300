"""Every annotated picture in a folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from heatstream.errors import SinkError
from heatstream.runtime.sinks import save_sink
from tests.fakes.runtime import result, whiten


def test_every_picture_is_there_under_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "drawn"
    sink = save_sink(folder, whiten, fps=None, live=False)
    assert sink.close() is None
    for number, name in enumerate(["a.png", "b.JPG", "b.heic", "../../c.png", None]):
        sink.write(result(number, picture=name))
        assert len(list(folder.iterdir())) == number + 1  # at once
    assert sink.close() == folder
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["a.png", "b.JPG", "b.heic.jpg", "c.png", "frame-000004.jpg"]
    for path in folder.iterdir():
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.shape == (48, 64, 3)
        assert picture.mean() > 245
    assert not (tmp_path / "c.png").exists()


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be made"):
        save_sink(tmp_path / "file" / "drawn", whiten, fps=None, live=False)
    with pytest.raises(SinkError, match="or name a folder"):
        save_sink(tmp_path / "out.xyz", whiten, fps=None, live=False)
