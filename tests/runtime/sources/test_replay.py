"""Files that begin anew and files at the pace of a camera, a folder that is being filled, and the screen."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from heatstream.errors import MissingExtraError, SourceError
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame, open_source
from heatstream.runtime.stream import stream
from tests.fakes.runtime import FakeEngine, write_video


def picture(path: Path, value: int = 100) -> Path:
    assert cv2.imwrite(str(path), np.full((20, 30, 3), value, np.uint8))
    return path


# Loops


def test_a_loop_begins_anew_and_indices_and_times_go_on(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.avi", frames=10), loop=True)
    assert (source.live, source.frame_count, source.fps) == (False, None, 25.0)
    frames = list(itertools.islice(source, 35))
    source.close()
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.index for frame in frames if isinstance(frame, Frame)] == list(range(35))
    times = [frame.capture_time for frame in frames if isinstance(frame, Frame)]
    np.testing.assert_allclose(times, np.arange(35) / 25, atol=2e-3)
    assert np.array_equal(frames[3].image, frames[23].image)  # type: ignore[union-attr]


def test_a_stream_over_a_loop_ends_when_it_is_closed(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.avi", frames=5), loop=True)
    with stream(source, CpuPosePipeline(FakeEngine()), frames=17) as results:
        assert [result.frame_index for result in results] == list(range(17))


def test_pictures_loop_too(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    frames = itertools.islice(open_source(tmp_path, loop=True), 5)
    assert [frame.picture for frame in frames if isinstance(frame, Frame)] == [
        "a.png",
        "b.png",
        "a.png",
        "b.png",
        "a.png",
    ]


# Real time


def test_a_file_in_real_time_is_a_live_source(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "clip.avi", frames=15), realtime=True)
    assert source.live
    begun, wall = time.perf_counter(), time.time()
    frames = [frame for frame in source if isinstance(frame, Frame)]
    took = time.perf_counter() - begun
    source.close()
    assert took >= 14 / 25
    assert [frame.index for frame in frames] == list(range(15))
    stamps = np.array([frame.capture_monotonic for frame in frames], float)
    np.testing.assert_allclose(np.diff(stamps), 1 / 25, atol=2e-3)
    assert begun <= stamps[0] < begun + 0.1
    assert wall <= frames[0].capture_time < wall + 0.2
    assert frames[0].capture_clock == "file"


def test_a_file_in_real_time_loses_what_nobody_takes(tmp_path: Path) -> None:
    class Slow(FakeEngine):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            time.sleep(0.1)
            return super().run(images)

    source = open_source(write_video(tmp_path / "clip.avi", frames=20), realtime=True)
    results = stream(source, CpuPosePipeline(Slow()))
    got = len(list(results))
    assert got < 15
    assert got + results.summary().dropped == 20


def test_closing_does_not_wait_for_a_frame_that_is_long_in_coming(tmp_path: Path) -> None:
    path = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 0.1, (32, 32))
    for _ in range(3):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()
    results = stream(open_source(path, realtime=True), CpuPosePipeline(FakeEngine()))
    next(results)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 0.9
    assert not any(thread.is_alive() for thread in results._threads)


@pytest.mark.parametrize("options", [{"realtime": True}, {"watch": True, "loop": True}, {"watch": True}])
def test_what_makes_no_sense_is_refused(options: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"only videos are played in real time|one folder is watched|only folders"):
        open_source(picture(tmp_path / "a.png"), **options)  # type: ignore[arg-type]


# A folder that is being filled


def test_a_watched_folder_gives_what_lies_there_and_what_comes(tmp_path: Path) -> None:
    picture(tmp_path / "2.png")
    picture(tmp_path / "10.png")
    source = open_source(tmp_path, watch=True)
    assert (source.live, source.frame_count) == (False, None)
    frames: Iterator[Frame] = iter(source)  # type: ignore[assignment]
    assert [next(frames).picture for _ in range(2)] == ["2.png", "10.png"]
    half = picture(tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()

    def slowly() -> None:
        with (tmp_path / "3.png").open("wb") as file:
            for start in range(0, len(half), 40):
                file.write(half[start : start + 40])
                file.flush()
                time.sleep(0.05)

    writer = threading.Thread(target=slowly)
    writer.start()
    frame = next(frames)
    writer.join()
    assert (frame.picture, frame.index, frame.image.shape) == ("3.png", 2, (20, 30, 3))
    assert source.warnings == ()
    picture(tmp_path / "2.png", value=7)  # one that is replaced is another one
    os.utime(tmp_path / "2.png", (1, 1))
    frame = next(frames)
    assert (frame.picture, frame.image[0, 0, 0]) == ("2.png", 7)
    (tmp_path / "no.png").write_text("no picture")
    picture(tmp_path / "zz.png")
    assert next(frames).picture == "zz.png"
    (warning,) = source.warnings
    assert "no.png" in warning


def test_a_stream_over_a_watched_folder_closes_at_once(tmp_path: Path) -> None:
    results = stream(open_source(tmp_path, watch=True), CpuPosePipeline(FakeEngine()))
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 0.9
    assert not any(thread.is_alive() for thread in results._threads)


# The screen


class FakeMss:
    """A screen whose two monitors are of one colour each."""

    monitors = ({"width": 64}, {"width": 32}, {"width": 32})
    closed = 0

    def grab(self, place: dict[str, int]) -> np.ndarray:
        return np.full((24, place["width"], 4), (10, 20, 30, 255), np.uint8)

    def close(self) -> None:
        FakeMss.closed += 1


@pytest.mark.parametrize(("text", "name", "width"), [("screen", "screen 1", 32), ("screen:0", "the whole screen", 64)])
def test_the_screen_is_a_camera(text: str, name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mss", SimpleNamespace(MSS=FakeMss))
    source = open_source(text)
    frames = list(itertools.islice(source, 3))
    source.close()
    assert (source.name, source.live, source.fps, source.size) == (name, True, 30.0, (24, width))
    assert all(isinstance(frame, Frame) and frame.image[0, 0].tolist() == [10, 20, 30] for frame in frames)


def test_a_screen_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mss", SimpleNamespace(MSS=FakeMss))
    with pytest.raises(SourceError, match="there is no screen 3: the last one is 2"):
        open_source("screen:3")
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(MissingExtraError, match=r"heatstream\[screen\]"):
        open_source("screen")


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb, a display without a screen, is not installed")
def test_a_real_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mss", reason="mss, of the extra screen, is not installed")
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "320x240x24"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        monkeypatch.setenv("DISPLAY", f":{int(server.stdout.readline())}")
        source = open_source("screen")
        assert [frame.image.shape for frame in itertools.islice(source, 2) if isinstance(frame, Frame)] == [
            (240, 320, 3)
        ] * 2
        source.close()
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_the_variable_for_webcams_on_windows_is_set_before_opencv_loads() -> None:
    code = (
        "import os, sys; sys.platform = 'win32'; import heatstream; "
        "print(os.environ['OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS'], 'cv2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
