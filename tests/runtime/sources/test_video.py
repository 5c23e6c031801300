"""Films as containers may hold them: late beginnings, frames left out, mirrors."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.sources import open_source, video

FPS = 25
CORNERS = {"R": (0, 0, 250), "G": (0, 250, 0), "B": (250, 0, 0), "-": (0, 0, 0)}


NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def write_film(path: Path, picture: NDArray[np.uint8] = NOISE, *, frames: int, start: int = 0, title: str = "") -> Path:
    """A film whose first frame comes after so many frames' time; noise moves, so that its frames take room."""
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.height, stream.width = picture.shape[:2]
        for number in range(frames):
            moved = np.roll(picture, number, axis=1) if picture is NOISE else picture
            frame = av.VideoFrame.from_ndarray(moved, format="bgr24")
            frame.pts, frame.time_base = start + number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["late.mkv", "late.ts", "late.mp4"])
def test_a_film_that_begins_late_is_whole(name: str, tmp_path: Path) -> None:
    source = open_source(write_film(tmp_path / name, frames=20, start=5 * FPS))
    assert source.frame_count == 20
    assert [frame.capture_time for frame in source] == pytest.approx([number / FPS for number in range(20)], abs=1e-3)
    assert source.warnings == ()


def test_a_film_that_begins_late_may_still_be_cut_off(tmp_path: Path) -> None:
    path = write_film(tmp_path / "late.mkv", frames=60, start=5 * FPS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(path)
    assert len(list(source)) < 40
    assert "it announces 60 frames" in source.warnings[0]


@pytest.mark.parametrize("name", ["title.mkv", "title.mp4"])
def test_a_title_that_is_not_utf_8_does_not_matter(name: str, tmp_path: Path) -> None:
    path = write_film(tmp_path / name, frames=3, title="caf__")
    data = path.read_bytes()
    assert data.count(b"caf__") == 1
    path.write_bytes(data.replace(b"caf__", b"caf\xe9!"))
    assert len(list(open_source(path))) == 3


def test_an_avi_with_frames_left_out_is_whole(tmp_path: Path) -> None:
    path = write_film(tmp_path / "slow.avi", frames=20, start=5 * FPS)
    source = open_source(path)
    assert source.frame_count == 5 * FPS + 20  # as the container has it: the first frame lasts five seconds
    assert list(source)[-1].capture_time == pytest.approx((5 * FPS + 19) / FPS)
    assert source.warnings == ()


@pytest.mark.parametrize(
    ("matrix", "shown"),  # the frames as stored are RG above B-
    [
        ((1, 0, 0, 1), "RGB-"),
        ((0, 1, -1, 0), "BR-G"),
        ((-1, 0, 0, -1), "-BGR"),
        ((-1, 0, 0, 1), "GR-B"),
        ((1, 0, 0, -1), "B-RG"),
        ((0, 1, 1, 0), "RBG-"),
        ((0, -1, -1, 0), "-GBR"),
    ],
)
def test_films_are_turned_and_mirrored_as_they_say(
    matrix: tuple[int, int, int, int], shown: str, tmp_path: Path
) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    for corner, name in zip(np.ndindex(2, 2), "RGB-", strict=True):
        picture[24 * corner[0] :, 32 * corner[1] :] = CORNERS[name]
    path = write_film(tmp_path / "phone.mp4", picture, frames=3)
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    source = open_source(path)
    frames = [frame.image for frame in source]
    assert [frame.shape[:2] for frame in frames] == [source.size] * 3
    height, width = frames[0].shape[:2]
    assert (height > width) == (matrix[0] == 0)
    found = [frames[-1][height * y // 4, width * x // 4] for y in (1, 3) for x in (1, 3)]
    for name, pixel in zip(shown, found, strict=True):
        assert pixel == pytest.approx(CORNERS[name], abs=40)


def test_av1_that_opencv_does_not_decode_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's wheels open such a film and give no frame of it."""
    path = tmp_path / "clip.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3")
    capture = SimpleNamespace(
        size=(48, 64),
        read=lambda: None,
        close=lambda: None,
        property=lambda number: video.AV1 if number == cv2.CAP_PROP_FOURCC else 0.0,
    )
    monkeypatch.setattr(video.opencv.Capture, "open", lambda *arguments: capture)
    with pytest.raises(SourceError, match="is AV1, which this OpenCV does not decode"):
        video.open_video(path)
