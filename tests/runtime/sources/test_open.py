"""What people type: addresses of files, patterns, links, pipes, lists, and names of every kind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from heatstream.errors import InputError, SourceError
from heatstream.runtime.sources import CameraSettings, cameras, open_source, opencv, video
from heatstream.runtime.sources.images import image_ids
from tests.fakes.runtime import write_video

LINUX = sys.platform == "linux"


def picture(path: Path, *, size: tuple[int, int] = (20, 30)) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, np.full((*size, 3), 99, np.uint8))[1].tobytes())
    return path


def count(source: Any) -> int:
    opened = open_source(source)
    try:
        return sum(1 for _ in opened)
    finally:
        opened.close()


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "with blank.png",
        "caf\u00e9.png",
        "100%.png",
        "a#b?c.png",
        " blanks .png ",
        "x!y.png",
        "a*[1].png",
        "a@b:c.png",
    ],
)
def test_files_of_any_name_and_their_uris(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "p.png").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    uri = (tmp_path / name).as_uri()
    localhost, short = uri.replace("file://", "FILE://localhost"), uri.replace("file://", "file:")
    for text in (name, tmp_path / name, str(tmp_path / name), uri, localhost, short):
        assert count(text) == 1, text


@pytest.mark.parametrize("text", ["file://elsewhere/clip.mp4", "file:clip.mp4", "file://clip.mp4", "file:"])
def test_uris_of_no_file_here(text: str) -> None:
    with pytest.raises(SourceError, match="file on this machine"):
        open_source(text)


@pytest.mark.skipif(not LINUX, reason="other systems do not allow such names")
@pytest.mark.parametrize("name", [b"caf\xe9.png", b"caf\xe9.avi"])
def test_names_that_are_not_utf_8(name: bytes, tmp_path: Path) -> None:
    """OpenCV ends the process on them, so this has one of its own."""
    source = write_video(tmp_path / "a.avi", frames=3) if name.endswith(b"avi") else picture(tmp_path / "a.png")
    os.rename(source, os.path.join(os.fsencode(tmp_path), name))
    code = "import sys; from heatstream.runtime.sources import open_source; print(len(list(open_source(sys.argv[1]))))"
    command = [sys.executable, "-c", code, os.path.join(os.fsencode(tmp_path), name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "3" if name.endswith(b"avi") else "1"), done.stderr


def test_links(tmp_path: Path) -> None:
    (tmp_path / "good.png").symlink_to(picture(tmp_path / "a.png"))
    (tmp_path / "gone.png").symlink_to(tmp_path / "none.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert count(tmp_path / "good.png") == 1
    for name in ("gone.png", "loop.png"):
        with pytest.raises(SourceError, match="leads nowhere"):
            open_source(str(tmp_path / name))


@pytest.mark.parametrize("text", ["~nobody-of-that-name/clip.mp4", "a\0b", "/dev/zero"])
def test_paths_that_lead_nowhere_are_one_sentence(text: str) -> None:
    with pytest.raises(SourceError, match=r"there is no file|neither a file"):
        open_source(text)


def test_patterns_and_lists(tmp_path: Path) -> None:
    paths = [picture(tmp_path / name) for name in ("10.png", "2.png")]
    (tmp_path / "notes.txt").write_text("no picture")
    write_video(tmp_path / "clip.avi", frames=2)
    source = open_source(str(tmp_path / "*"))
    assert [frame.picture for frame in source] == ["2.png", "10.png"]
    assert [frame.picture for frame in open_source(paths)] == ["10.png", "2.png"]  # in the order they were given
    assert count(str(tmp_path / "*.avi")) == 2
    assert count([str(tmp_path / "clip.avi")]) == 2
    with pytest.raises(SourceError, match="no file matches"):
        open_source(str(tmp_path / "*.webm"))
    with pytest.raises(SourceError, match=r"must be pictures, and .*clip.avi"):
        open_source([paths[0], tmp_path / "clip.avi"])


@pytest.mark.parametrize("source", [None, 1.5, True, [], [1], {}, np.zeros((4, 4, 3), np.uint8), -1])
def test_what_is_no_source_is_one_sentence(source: Any) -> None:
    with pytest.raises(SourceError, match=r"a source is|the first is 0"):
        open_source(source)


def test_sub_folders_are_told(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    picture(tmp_path / "day" / "1.png")
    with pytest.raises(SourceError, match=r"sub-folders \(day\) are not looked into"):
        open_source(tmp_path)
    picture(tmp_path / "2.png")
    (told,) = open_source(tmp_path).warnings
    assert "(day) are not looked into" in told


def test_further_pages_are_told(tmp_path: Path) -> None:
    pages = [np.full((20, 30, 3), value, np.uint8) for value in (10, 200)]
    assert cv2.imwritemulti(str(tmp_path / "scan.tif"), pages)
    source = open_source(tmp_path / "scan.tif")
    (frame,) = source
    assert int(frame.image.mean()) == 10
    assert "only the first is looked at" in source.warnings[0]


def jpegs(path: Path, *values: int) -> Path:
    parts = [cv2.imencode(".jpg", np.full((48, 64, 3), value, np.uint8))[1].tobytes() for value in values]
    path.write_bytes(b"".join(parts))
    return path


@pytest.mark.parametrize("name", ["film.mjpeg", "film.mjpg", "film"])
def test_jpegs_in_a_row_are_a_film(name: str, tmp_path: Path) -> None:
    assert count(jpegs(tmp_path / name, *range(0, 200, 10))) == 20


def test_a_picture_with_another_behind_it_stays_one(tmp_path: Path) -> None:
    assert count(jpegs(tmp_path / "phone.jpg", 10, 20)) == 1
    one = jpegs(tmp_path / "phone", 10)
    one.write_bytes(one.read_bytes() + cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    assert count(one) == 1  # a small one, as phones keep for brightness


@pytest.mark.skipif(not LINUX, reason="named pipes are opened by FFmpeg on Linux")
def test_a_video_through_a_pipe(tmp_path: Path) -> None:
    data = jpegs(tmp_path / "film.mjpeg", *range(0, 200, 10)).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert count(tmp_path / "pipe") == 20
    writer.join()


@pytest.mark.skipif(not LINUX, reason="named pipes are opened by FFmpeg on Linux")
def test_a_pipe_without_a_writer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "OPEN_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="nobody writes into the pipe"):
        open_source(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["000000000139.jpg", "000000000785.jpg"], [139, 785]),
        (["COCO_val2014_000000000139.jpg", "COCO_val2014_000000000785.jpg"], [139, 785]),
        (["1764410000123456789.png", "1764410000223456789.png"], [1764410000123456789, 1764410000223456789]),
        (["1.png", "a.png"], [0, 1]),
        (["7.png", "7.jpg", "007.bmp"], [0, 1, 2]),
        (["99999999999999999999.png", "2.png"], [0, 1]),
        (["b.png", "a.png"], [0, 1]),
    ],
)
def test_ids_of_pictures_never_collide(names: list[str], ids: list[int]) -> None:
    assert image_ids(names) == ids


class Camera:
    """A camera that gives what it likes."""

    size = (480, 640)
    backend = cv2.CAP_ANY

    def __init__(self) -> None:
        self.asked: dict[int, float] = {}

    def set(self, number: int, value: float) -> None:
        self.asked[number] = value

    def read(self) -> np.ndarray:
        time.sleep(0.01)
        return np.zeros((480, 640, 3), np.uint8)

    def rate(self) -> float:
        return 30.0

    def property(self, number: int) -> float:
        return float(cv2.VideoWriter.fourcc(*"YUYV")) if number == cv2.CAP_PROP_FOURCC else 0.0

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (CameraSettings(), None),
        (CameraSettings((640, 480), 30, "yuyv"), None),
        (CameraSettings((1280, 720), 60, "MJPG"), "gives 640x480 px and 30 pictures per second and YUYV as its format"),
    ],
)
def test_a_camera_is_asked_and_what_it_gives_instead_is_told(
    settings: CameraSettings, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera()
    monkeypatch.setattr(opencv.Capture, "open", lambda *arguments: camera)
    monkeypatch.setattr(cameras, "_check_camera_device", lambda index: None)
    source = open_source("0", camera=settings)
    assert len(camera.asked) == 4 * (settings.size is not None)
    assert (told in source.warnings[0]) if told else source.warnings == ()
    source.close()


@pytest.mark.parametrize("values", [{"size": (0, 480)}, {"fps": 0.0}, {"fps": float("nan")}, {"format": "MJPEG"}])
def test_impossible_camera_settings(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="camera"):
        CameraSettings(**values)


def test_camera_settings_are_for_cameras(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="asked of cameras alone"):
        open_source(picture(tmp_path / "a.png"), camera=CameraSettings(fps=30))
