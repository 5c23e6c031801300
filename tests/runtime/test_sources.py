"""Sources: what each kind gives, and what each trouble says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from heatstream.errors import SourceError
from heatstream.pictures import read_picture
from heatstream.quiet_opencv import SILENT
from heatstream.quiet_opencv import _levels as levels
from heatstream.results import Gap
from heatstream.runtime.sources import Frame, base, cameras, images, network, open_source, opencv
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import write_video

REPOSITORY = Path(__file__).resolve().parents[2]


def frames_of(source: str | int | Path) -> tuple[list[Frame], tuple[str, ...]]:
    opened = open_source(source)
    try:
        return list(opened), opened.warnings
    finally:
        opened.close()


def write_picture(path: Path, *, size: tuple[int, int] = (20, 30), value: int = 100) -> Path:
    assert cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


# Videos


@pytest.mark.parametrize(("name", "codec"), [("clip.avi", "MJPG"), ("clip.mp4", "mp4v"), ("12:30 a%d!.avi", "MJPG")])
def test_a_video_gives_every_frame_with_its_time(name: str, codec: str, tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / name, frames=30, codec=codec)))
    assert (source.live, source.fps, source.frame_count, source.size) == (False, 25.0, 30, (48, 64))
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.capture_time for frame in frames], np.arange(30) / 25, atol=1e-3)
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert all(frame.picture is None for frame in frames)
    assert source.warnings == ()
    source.close()
    source.close()


def test_frames_own_their_memory(tmp_path: Path) -> None:
    frames, _ = frames_of(write_video(tmp_path / "clip.avi", frames=3))
    assert not np.array_equal(frames[0].image, frames[1].image)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_a_video_cut_off_keeps_its_frames_and_says_so(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "clip.avi", frames=60), 0.5)
    frames, warnings = frames_of(path)
    assert 25 <= len(frames) <= 32
    (warning,) = warnings
    assert f"{path} is cut off or damaged: it announces 60 frames and only {len(frames)}" in warning


def test_damage_in_the_middle_is_stepped_over_and_told(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames=60, codec="mp4v")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    path.write_bytes(data)
    frames, warnings = frames_of(path)
    assert 30 < len(frames) <= 60
    (warning,) = warnings
    assert "damaged" in warning
    assert f"{path}" in warning


@pytest.mark.parametrize(
    ("announced", "rate", "exact", "read", "last", "told"),
    [
        (100, 25.0, True, 100, 3.96, False),
        (100, 25.0, True, 98, 3.88, False),  # the last ones often lack
        (100, 25.0, True, 97, 3.84, True),
        (1000, 25.0, True, 990, 39.6, False),
        (100, 25.0, False, 60, 3.90, False),  # variable frame rate: fewer frames, whole duration
        (100, 25.0, False, 60, 2.36, True),
        (100, None, False, 60, 2.36, True),
        (None, 25.0, False, 60, 2.36, False),  # nothing announced, nothing missing
        (100, 25.0, True, 120, 4.80, False),
    ],
)
def test_when_a_video_counts_as_cut_off(
    announced: int | None, rate: float | None, exact: bool, read: int, last: float, told: bool, tmp_path: Path
) -> None:
    video = open_source(write_video(tmp_path / "clip.avi", frames=2))
    video.frame_count, video.fps, video._exact = announced, rate, exact  # type: ignore[misc, attr-defined]
    assert bool(video._verdict(read, last, 0)) == told  # type: ignore[attr-defined]
    assert video._verdict(read, last, 1)  # type: ignore[attr-defined]
    video.close()


# Pictures


def test_one_picture(tmp_path: Path) -> None:
    ((frame,), warnings) = frames_of(str(write_picture(tmp_path / "one.png")))
    assert (frame.index, frame.capture_time, frame.picture) == (0, 0.0, "one.png")
    assert frame.image.shape == (20, 30, 3)
    assert warnings == ()


def test_a_picture_is_known_by_its_content_too(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "one.png").rename(tmp_path / "one")
    ((frame,), _) = frames_of(path)
    assert frame.picture == "one"


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((8, 9), 77, np.uint8),
        np.full((8, 9, 4), 77, np.uint8),
        np.full((8, 9), 77 * 257, np.uint16),
        np.full((8, 9, 3), 77 * 257, np.uint16),
    ],
    ids=["grey", "alpha", "grey 16 bit", "colour 16 bit"],
)
def test_every_depth_becomes_bgr_of_8_bits(pixels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    assert cv2.imwrite(str(path), pixels)
    image, _ = read_picture(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.full((8, 9, 3), 77))


def test_a_picture_stands_upright_as_its_exif_says(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, :16] = 255  # white on the left
    assert cv2.imwrite(str(path), image)
    # A JPEG's APP1 segment with one TIFF entry: orientation (0x0112) 6, turn right to see it upright.
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    upright, _ = read_picture(path)
    assert upright.shape == (32, 16, 3)
    assert upright[:12].min() > 200 > 50 > upright[-12:].max()  # white on top


def test_a_folder_in_natural_order_without_the_rest(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "b.JPG", "a1.png"):
        write_picture(tmp_path / name)
    write_picture(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    source = open_source(tmp_path)
    assert source.frame_count == 4
    assert [frame.picture for frame in source] == ["2.png", "10.png", "a1.png", "b.JPG"]
    (told,) = source.warnings
    assert "the sub-folders of" in told
    assert "(folder.png)" in told


def test_a_corrupt_picture_in_a_folder_is_named_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        write_picture(tmp_path / f"{number}.jpg", size=(200, 200))
    write_picture(tmp_path / "6.png", size=(200, 200))
    (tmp_path / "1.jpg").write_text("no picture at all")
    (tmp_path / "2.jpg").write_bytes(b"")
    cut(tmp_path / "4.jpg", 0.6)
    cut(tmp_path / "6.png", 0.6)
    frames, warnings = frames_of(str(tmp_path))
    assert [(frame.index, frame.picture) for frame in frames] == [(0, "0.jpg"), (3, "3.jpg"), (5, "5.jpg")]
    for name, warning in zip(("1.jpg", "2.jpg", "4.jpg", "6.png"), warnings, strict=True):
        assert name in warning
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_nothing_but_corrupt_pictures_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("no")
    (tmp_path / "2.jpg").write_text("no")
    with pytest.raises(SourceError, match="none of the 2 pictures"):
        frames_of(tmp_path)


# Troubles


def _nothing(folder: Path) -> str:
    return str(folder / "none.mp4")


def _misspelt(folder: Path) -> str:
    (folder / "holiday.mp4").write_bytes(b"x")
    return str(folder / "holidy.mp4")


def _file(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _folder(folder: Path) -> str:
    return str(folder)


def _cut_to(size: int, name: str, codec: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = write_video(folder / name, codec=codec)
        path.write_bytes(path.read_bytes()[:size])
        return str(path)

    return make


def _text(text: str) -> Callable[[Path], str]:
    return lambda folder: text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_nothing, "there is no file or folder"),
        (_misspelt, "did you mean .*holiday.mp4"),
        (_text("x" * 5000), "there is no file or folder"),
        (_text(""), "the source is empty"),
        (_file("empty.mp4", b""), "is empty"),
        (_file("empty.jpg", b""), "is empty"),
        (_folder, "holds no pictures"),
        (_file("text.jpg", b"hello"), "text.jpg is not a picture"),
        (_file("text.mp4", b"hello " * 2000), "is a text file"),
        (_file("text.txt", b"hello"), "is a text file"),  # FFmpeg would play it as a terminal
        (_file("noise.mp4", bytes(range(256)) * 40), "cannot be opened as a video"),
        (_cut_to(5000, "clip.avi", "MJPG"), "damaged, cut off"),
        (_cut_to(5800, "clip.avi", "MJPG"), "cut off or damaged before its first frame"),
        (_cut_to(2000, "clip.mp4", "mp4v"), "cut off"),
        (_cut_to(600, "clip.mkv", "MJPG"), "cut off"),
        (_text("197"), "camera 197"),
        (_text("/dev/video197"), "camera 197"),
        (_text("rtsp://user:secret@127.0.0.1:9/stream"), "rtsp://127.0.0.1:9/... does not answer"),
        (_text("http://127.0.0.1:9/clip.mp4"), "does not answer"),
    ],
)
def test_a_trouble_is_one_line_in_time(make: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    source = make(tmp_path)
    start = time.monotonic()
    with pytest.raises(SourceError, match=message) as caught:
        open_source(source)
    assert time.monotonic() - start < HANG_SECONDS
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_opencv_and_ffmpeg_print_nothing(tmp_path: Path) -> None:
    sources = [
        _file("noise.mp4", bytes(range(256)) * 40)(tmp_path),
        _cut_to(2000, "clip.mp4", "mp4v")(tmp_path),
        _cut_to(600, "clip.mkv", "MJPG")(tmp_path),
        "http://127.0.0.1:9/clip.mp4",
        "197",
    ]
    # FFmpeg takes its level when it is first used, so this needs a process of its own.
    code = (
        "import sys\n"
        "from heatstream.errors import SourceError\n"
        "from heatstream.runtime.sources import open_source\n"
        "for source in sys.argv[1:]:\n"
        "    try:\n"
        "        open_source(source)\n"
        "    except SourceError:\n"
        "        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *sources],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["refused"] * len(sources)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "one.png")
    path.chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        open_source(path)


def test_an_unreadable_file_names_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_picture(tmp_path / "one.png")

    def refuse(*arguments: object, **keywords: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match=r"one.png cannot be read: Permission denied"):
        open_source(path)


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_LIMIT", 0.3)
    late = pytest.raises(SourceError, match="does not answer in time")  # a longer wait would be told otherwise
    with socket.create_server(("127.0.0.1", 0)) as server, late:
        open_source(f"http://127.0.0.1:{server.getsockname()[1]}/live")


@pytest.mark.skipif(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER), reason="this OpenCV was built with GStreamer")
def test_gstreamer_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(SourceError, match=r"built without GStreamer.*JetPack"):
        open_source("videotestsrc ! appsink")


# Live sources, by a capture that is made by hand


class FakeCapture:
    """Gives so many frames, then none."""

    def __init__(self, frames: int) -> None:
        self.left = frames
        self.taken: list[float] = []
        self.closed = False

    def read(self) -> np.ndarray | None:
        self.left -= 1
        self.taken.append(time.perf_counter() - 0.033)
        return np.zeros((10, 20, 3), np.uint8) if self.left >= 0 else None

    def rate(self) -> float | None:
        return 30.0

    def property(self, number: int) -> float:
        return 0.0

    size = (10, 20)
    backend = cv2.CAP_V4L2

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> FakeCapture:
    fake = FakeCapture(5)
    monkeypatch.setattr(opencv.Capture, "open", lambda *arguments: fake)
    monkeypatch.setattr(cameras, "_check_camera_device", lambda index: None)
    return fake


@pytest.mark.parametrize("text", ["3", "/dev/video3"])
def test_a_camera_gives_frames_until_it_is_lost_and_then_says_so(text: str, capture: FakeCapture) -> None:
    before = time.time()
    source = open_source(text)
    assert (source.name, source.live, source.fps, source.frame_count) == ("camera 3", True, 30.0, None)
    assert source.size == (10, 20)
    items = []
    for item in source:
        items.append(item)
        if isinstance(item, Gap):
            break
    *frames, gap = items
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.over) == ("ended", False)
    assert frames
    after = time.time()  # that the clocks are read one after the other is granted a second
    assert all(isinstance(frame, Frame) and before - 1 <= frame.capture_time <= after + 1 for frame in frames)
    source.close()
    assert capture.closed


@pytest.mark.skipif(sys.platform != "linux", reason="the driver's time is read on Linux alone")
def test_a_drivers_time_is_the_frames_time(capture: FakeCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeCapture, "property", lambda self, number: 1000 * self.taken[-1])
    source = open_source("3")
    frame = next(iter(source))
    source.close()
    assert isinstance(frame, Frame)
    assert frame.capture_clock == "driver"
    assert frame.capture_monotonic is not None
    assert frame.arrival is not None
    # Exactly the moment that the driver says, which only its way through milliseconds may round.
    assert frame.capture_monotonic in [pytest.approx(taken, rel=0, abs=1e-6) for taken in capture.taken]
    assert frame.arrival > frame.capture_monotonic


def test_a_camera_without_pictures_is_given_back(capture: FakeCapture) -> None:
    capture.left = 0
    with pytest.raises(SourceError, match="camera 3 gives no picture"):
        open_source(3)
    assert capture.closed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows its cameras as files")
def test_an_absent_camera_names_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "list_cameras", lambda: [198, 199])
    with pytest.raises(SourceError, match=r"camera 197 .* there is 198, 199"):
        open_source("197")


# The deadline and the quiet


def test_what_hangs_is_left_behind_and_tidied_up() -> None:
    gate, tidied = threading.Event(), threading.Event()

    def hang() -> str:
        gate.wait(HANG_SECONDS)
        return "late"

    with pytest.raises(SourceError, match="too late"):
        base.within(0.05, hang, late="too late", discard=lambda result: tidied.set())
    assert not tidied.is_set()
    gate.set()
    assert tidied.wait(HANG_SECONDS)


def test_what_fails_within_the_deadline_raises_its_own_error() -> None:
    def fail() -> str:
        raise SourceError("no such thing")

    with pytest.raises(SourceError, match="no such thing"):
        base.within(HANG_SECONDS, fail, late="too late", discard=lambda result: None)


def test_the_quiet_ends_and_leaves_no_trace(tmp_path: Path) -> None:
    level, environment = levels.getLogLevel(), dict(os.environ)
    with opencv.quiet(), opencv.quiet():
        assert levels.getLogLevel() == SILENT
    with pytest.raises(SourceError):
        open_source(_file("noise.mp4", bytes(range(256)) * 40)(tmp_path))
    assert levels.getLogLevel() == level
    assert dict(os.environ) == environment


def test_a_capture_can_be_closed_while_another_thread_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "CLOSE_SECONDS", 0.05)
    capture = opencv.Capture.open(str(write_video(tmp_path / "clip.avi")), opencv.backend_for_files())
    assert capture is not None
    with capture._busy:  # as if a read hung
        capture.close()
    assert capture.read() is not None  # it was left alone
    capture.close()
    assert capture.read() is None


def test_pictures_are_listed_for_others_too(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    assert images.list_pictures(tmp_path) == [tmp_path / "a.png"]
