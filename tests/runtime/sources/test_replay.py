"""Files that begin anew and files at the pace of a camera, a folder that is being filled, and the screen."""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from heatstream.errors import MissingExtraError, SourceError
from heatstream.runtime import stream as stream_module
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame, open_source, replay, watch
from heatstream.runtime.stream import stream
from tests.fakes.patience import HANG_SECONDS, until
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


def test_a_file_in_real_time_is_a_live_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On clocks that its waiting alone moves."""
    source = open_source(write_video(tmp_path / "clip.avi", frames=15), realtime=True)
    assert isinstance(source, replay.RealTime)
    now = [100.0]
    monkeypatch.setattr(replay, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(replay, "to_wall_clock", lambda: 1_800_000_000.0)

    class Waiting:
        def get(self, timeout: float) -> None:
            now[0] += timeout
            raise queue.Empty

    monkeypatch.setattr(source, "_wake", Waiting())
    assert source.live
    frames, given = [], []
    for frame in source:
        assert isinstance(frame, Frame)
        frames.append(frame)
        given.append(now[0])
    source.close()
    assert [frame.index for frame in frames] == list(range(15))
    due = 100 + np.arange(15) / 25
    np.testing.assert_allclose(given, due, atol=2e-3)
    np.testing.assert_allclose([frame.capture_monotonic for frame in frames], given, atol=1e-9)  # type: ignore[arg-type]
    np.testing.assert_allclose([frame.capture_time - 1_800_000_000 for frame in frames], given, atol=1e-6)
    assert frames[0].capture_clock == "file"


def test_a_file_in_real_time_loses_what_nobody_takes(tmp_path: Path) -> None:
    gate = threading.Event()
    source = open_source(write_video(tmp_path / "clip.avi", frames=20), realtime=True)
    results = stream(source, CpuPosePipeline(FakeEngine(gate=gate)))
    until(lambda: results.summary().dropped >= 18)  # all but the one that is looked at and the newest
    gate.set()
    assert [result.frame_index for result in results][-1] == 19
    assert results.summary().frames + results.summary().dropped == 20


def test_closing_does_not_wait_for_a_frame_that_is_long_in_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_SECONDS", 50.0)
    path = tmp_path / "slow.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 0.01, (32, 32))  # every 100 s
    for _ in range(3):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()
    results = stream(open_source(path, realtime=True), CpuPosePipeline(FakeEngine()))
    next(results)
    results.close()
    assert not any(thread.is_alive() for thread in results._threads)


@pytest.mark.parametrize("options", [{"realtime": True}, {"watch": True, "loop": True}, {"watch": True}])
def test_what_makes_no_sense_is_refused(options: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"only videos are played in real time|one folder is watched|only folders"):
        open_source(picture(tmp_path / "a.png"), **options)  # type: ignore[arg-type]


# A folder that is being filled


def test_a_watched_folder_gives_what_lies_there_and_what_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.01)
    picture(tmp_path / "2.png")
    picture(tmp_path / "10.png")
    source = open_source(tmp_path, watch=True)
    assert (source.live, source.frame_count) == (False, None)
    frames: Iterator[Frame] = iter(source)  # type: ignore[assignment]
    assert [next(frames).picture for _ in range(2)] == ["2.png", "10.png"]
    half = picture(tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()

    looks: list[int] = []
    look = source._list  # type: ignore[attr-defined]

    def while_it_is_written() -> list[Path]:
        """At every look there is a little more of it."""
        begin = 40 * len(looks)
        looks.append(begin)
        if begin < len(half):
            with (tmp_path / "3.png").open("ab") as file:
                file.write(half[begin : begin + 40])
        return look()  # type: ignore[no-any-return]

    monkeypatch.setattr(source, "_list", while_it_is_written)
    frame = next(frames)
    assert 40 * (len(looks) - 1) >= len(half) > 40
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


def test_a_stream_over_a_watched_folder_closes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(watch, "POLL_SECONDS", 2 * HANG_SECONDS)
    results = stream(open_source(tmp_path, watch=True), CpuPosePipeline(FakeEngine()))
    results.close()
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
