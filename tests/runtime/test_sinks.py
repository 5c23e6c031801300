"""Sinks: what they write, when they refuse, and what is left after trouble."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.files import write_whole
from heatstream.results import Faces, Result
from heatstream.runtime.sinks import (
    CocoSink,
    JsonLinesSink,
    PictureSink,
    Recorder,
    Sink,
    VideoSink,
    WindowSink,
    display_trouble,
    pictures,
    save_sink,
    window,
)
from tests.fakes.runtime import result


def whiten(result: Result) -> NDArray[np.uint8]:
    """An overlay: a bright picture."""
    return np.full_like(result.frame, 250)


def write_all(target: Sink | Recorder, results: Iterable[Result]) -> None:
    for item in results:
        target.write(item)


def video_of(path: Path) -> list[NDArray[Any]]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    return frames


# Videos and pictures


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "OUT.AVI"])
def test_a_video_holds_every_drawn_frame(name: str, tmp_path: Path) -> None:
    sink = save_sink(tmp_path / name, whiten, fps=10.0, live=False)
    for number in range(12):
        sink.write(result(number))
    sink.close()
    sink.close()
    frames = video_of(tmp_path / name)
    assert len(frames) == 12
    assert all(frame.shape == (48, 64, 3) and frame.mean() > 240 for frame in frames)


def test_frames_of_other_sizes_are_fitted_into_the_video(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi", whiten)
    for size in ((48, 64), (96, 64), (10, 300), (48, 64)):
        sink.write(result(size=size))
    sink.close()
    frames = video_of(tmp_path / "out.avi")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    tall = frames[1].mean(axis=(0, 2))  # of each column
    assert tall[20:44].min() > 200
    assert max(tall[:8].max(), tall[-8:].max()) < 50


def test_a_live_video_plays_at_the_pace_of_the_world(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi", whiten, fps=10.0, live=True)
    for number, time in enumerate((100.0, 100.01, 100.5, 101.0)):  # one too many, then gaps
        sink.write(result(number, time=time))
    sink.close()
    assert len(video_of(tmp_path / "out.avi")) == 11


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_does_not_stop_or_flood_a_live_video(jump: float, tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi", whiten, fps=10.0, live=True)
    for number in range(20):
        sink.write(result(number, time=100.0 + number / 10 + (jump if number >= 10 else 0.0)))
    sink.close()
    assert len(video_of(tmp_path / "out.avi")) == pytest.approx(20, abs=1)


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
    sink.close()
    sink.close()
    assert drawn == [1]
    assert cv2.imread(str(tmp_path / name)).mean() > 240
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_without_results_nothing_is_left(tmp_path: Path) -> None:
    for sink in (VideoSink(tmp_path / "out.avi", whiten), PictureSink(tmp_path / "out.jpg", whiten)):
        sink.close()
    assert list(tmp_path.iterdir()) == []


# JSON


def test_each_line_is_on_the_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("from an earlier run\n")
    sink = JsonLinesSink(path)
    for number in range(3):
        sink.write(result(number))
        lines = path.read_text().splitlines()  # the sink is still open
        assert [json.loads(line)["frame_index"] for line in lines] == list(range(number + 1))
    sink.close()
    sink.close()
    assert json.loads(lines[0]) == result(0).to_dict()


def test_a_picture_is_named_in_its_line(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(result(4, picture='a "b".jpg'))
    sink.close()
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert (line["picture"], line["frame_index"]) == ('a "b".jpg', 4)


@pytest.mark.parametrize("picture", [None, "a.jpg"])
def test_faces_stand_beside_their_people_in_a_line(picture: str | None, tmp_path: Path) -> None:
    landmarks = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    faces = Faces(landmarks, np.ones(2), np.zeros((2, 4)), np.zeros(2), np.array([0, 0]), "300w-68")
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    for found in (faces, faces[:0]):
        sink.write(replace(result(4, picture=picture), faces=found))
    sink.close()
    two, none = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert none == {**two, "faces": []}
    assert (two["face_skeleton"], two["faces"]) == ("300w-68", faces.to_dict()["faces"])
    people = {name: value for name, value in two.items() if not name.startswith("face")}
    assert people.pop("picture", None) == picture
    assert people == result(4).to_dict()


@pytest.mark.parametrize(("picture", "image_id"), [("000000000790.jpg", 790), ("holiday.jpg", None), (None, None)])
def test_coco_entries_carry_the_pictures_id(picture: str | None, image_id: int | None, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    sink = CocoSink(path)
    sink.write(replace(result(7, picture=picture), image_id=image_id))
    assert path.read_text() == "old"
    sink.close()
    sink.close()
    (entry,) = json.loads(path.read_text())
    assert entry == result(7).poses.to_coco(image_id)[0]
    assert entry["image_id"] == (7 if image_id is None else image_id)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    os.mkfifo(tmp_path / "pipe")
    sink = CocoSink(tmp_path / "link.json")
    sink.close()
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == []
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write_whole(tmp_path / "pipe", b"hello")
    reader.join(10)
    assert taken == [b"hello"]
    assert (tmp_path / "pipe").is_fifo()


# Refusals


MAKERS: dict[str, Callable[[Path], Sink]] = {
    "out.jsonl": JsonLinesSink,
    "out.json": CocoSink,
    "out.mp4": lambda path: VideoSink(path, whiten),
    "out.jpg": lambda path: PictureSink(path, whiten),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_cannot_be_written_is_known_before_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / name).mkdir()
    for path, message in (
        (tmp_path / "none" / name, "there is no folder"),
        (tmp_path / "file" / name, "cannot be written"),
        (tmp_path / name, "is a folder"),
    ):
        with pytest.raises(SinkError, match=message) as caught:
            MAKERS[name](path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["out.gif", "out", "out.txt"])
def test_unknown_kinds_are_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4, \.avi, \.jpg"):
        save_sink(tmp_path / name, whiten, fps=None, live=False)
    with pytest.raises(SinkError, match=r"\.mp4, \.avi"):
        VideoSink(tmp_path / name, whiten)
    assert list(tmp_path.iterdir()) == []


# Trouble on the way


class FullDisk(io.FileIO):
    """A file on a disk with little room: writes end in the middle, then fail."""

    room = 0

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = bytes(data)[: self.room]
        type(self).room -= len(part)
        return super().write(part)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    length = len(result(0).to_json()) + 1
    FullDisk.room = 2 * length + length // 2
    sink._file.close()
    sink._file = FullDisk(path, "w")
    sink.write(result(0))
    sink.write(result(1))
    with pytest.raises(SinkError, match=r"the disk is full, .*out\.jsonl"):
        sink.write(result(2))
    sink.close()
    assert [json.loads(line)["frame_index"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_video_ends_before_the_disk_is_full_and_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = VideoSink(tmp_path / "out.mp4", whiten)
    for number in range(20):
        sink.write(result(number))
    monkeypatch.setattr(pictures, "ROOM_NEEDED", 2**62)
    later = [result(number) for number in range(20, 60)]
    with pytest.raises(SinkError, match=r"the disk is full, .*out\.mp4 ends after 32 frames"):
        write_all(sink, later)
    sink.close()
    assert len(video_of(tmp_path / "out.mp4")) == 32


@pytest.mark.parametrize("name", ["out.json", "out.jpg"])
def test_a_disk_full_at_the_end_keeps_the_earlier_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("old")
    sink = MAKERS[name](tmp_path / name)
    sink.write(result(0))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SinkError, match="the disk is full"):
        sink.close()
    assert (tmp_path / name).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


# The recorder


class FakeSink:
    """Remembers what it got.

    Args:
        fail_on: index of the frame that cannot be written; -1 for the closing.
        gate: writes wait until it is set.
    """

    def __init__(self, *, fail_on: int | None = None, gate: threading.Event | None = None) -> None:
        self.indices: list[int] = []
        self.closed = 0
        self._fail_on = fail_on
        self._gate = gate

    def write(self, item: Result) -> None:
        if self._gate is not None:
            self._gate.wait(20)
        if item.frame_index == self._fail_on:
            raise SinkError("no room")
        self.indices.append(item.frame_index)

    def close(self) -> None:
        self.closed += 1
        if self._fail_on == -1:
            raise SinkError("cannot be finished")


def test_the_recorder_writes_everything_in_order() -> None:
    sinks = [FakeSink(), FakeSink()]
    with Recorder(sinks) as recorder:
        for number in range(50):
            recorder.write(result(number))
    assert [sink.indices for sink in sinks] == [list(range(50))] * 2
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SinkError])
def test_the_recorder_flushes_when_the_run_ends_badly(error: type[BaseException]) -> None:
    gate = threading.Event()
    sink = FakeSink(gate=gate)

    def run(recorder: Recorder) -> None:
        write_all(recorder, [result(number) for number in range(5)])
        gate.set()
        raise error

    with pytest.raises(error), Recorder([sink]) as recorder:
        run(recorder)
    assert sink.indices == list(range(5))
    assert sink.closed == 1


def test_a_failing_sink_is_raised_once_and_nobody_waits() -> None:
    failing, other = FakeSink(fail_on=3), FakeSink()
    recorder = Recorder([failing, other])
    endless = (result(number) for number in itertools.count())
    with pytest.raises(SinkError, match="no room"):
        write_all(recorder, endless)
    write_all(recorder, itertools.islice(endless, 50))  # more than may wait
    recorder.close()
    recorder.close()
    assert failing.indices == other.indices == [0, 1, 2]
    assert (failing.closed, other.closed) == (1, 1)


def test_a_sink_that_cannot_be_finished_is_told_and_the_others_are_closed() -> None:
    failing, other = FakeSink(fail_on=-1), FakeSink()
    with pytest.raises(SinkError, match="cannot be finished"), Recorder([failing, other]) as recorder:
        recorder.write(result(0))
    assert other.closed == 1


def test_the_first_error_is_the_one_reported() -> None:
    def run() -> None:
        raise SinkError("first")

    with pytest.raises(SinkError, match="first"), Recorder([FakeSink(fail_on=-1)]):
        run()


# The window


def test_no_display_is_told_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "--no-window" in (display_trouble() or "")
    with pytest.raises(SinkError, match=r"there is no display.*--save"):
        WindowSink(whiten)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("pass", None),
        ("import sys; sys.exit('The function is not implemented')", "this OpenCV has no windows"),
        ("import os; os.abort()", "the display cannot be used"),
        ("import time; time.sleep(60)", "the display does not answer"),
    ],
)
def test_a_display_is_tried_in_another_process(code: str, trouble: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window, "PROBE", code)
    monkeypatch.setattr(window, "PROBE_SECONDS", 1.0 if "sleep" in code else 30.0)
    found = display_trouble()
    assert (found is None) if trouble is None else (found is not None and found.startswith(trouble))


class FakeHighGui:
    """OpenCV's windows, by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown = 0
        self.key = -1
        self.visible = 1.0
        monkeypatch.setattr(window, "display_trouble", lambda: None)
        monkeypatch.setattr(cv2, "namedWindow", lambda *arguments: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *arguments: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda *arguments: None)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *arguments: self.visible)
        monkeypatch.setattr(cv2, "imshow", self._show)
        monkeypatch.setattr(cv2, "waitKey", lambda *arguments: self.key)

    def _show(self, title: str, picture: NDArray[np.uint8]) -> None:
        assert picture.mean() > 240
        self.shown += 1


@pytest.mark.parametrize(
    ("key", "visible", "closed"),
    [(-1, 1.0, False), (ord("x"), 1.0, False), (ord("q"), 1.0, True), (27, 1.0, True), (-1, 0.0, True)],
)
def test_q_escape_and_a_closed_window_end_the_run(
    key: int, visible: float, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gui = FakeHighGui(monkeypatch)
    sink = WindowSink(whiten)
    sink.write(result(0))
    assert not sink.closed
    gui.key, gui.visible = key, visible
    sink.write(result(1))
    assert sink.closed is closed
    shown = gui.shown
    sink.close()
    sink.write(result(2))
    assert gui.shown == shown
