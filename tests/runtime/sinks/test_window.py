"""The window: when there is none, how it looks, and which keys it knows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.runtime.sinks import WindowSink, display_trouble, window
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import result, whiten


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
        ("import time; time.sleep(600)", "the display does not answer"),
    ],
)
def test_a_display_is_tried_in_another_process(code: str, trouble: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(window, "PROBE", code)
    monkeypatch.setattr(window, "PROBE_SECONDS", 1.0 if "sleep" in code else HANG_SECONDS)
    found = display_trouble()
    assert (found is None) if trouble is None else (found is not None and found.startswith(trouble))


class FakeHighGui:
    """OpenCV's windows, by hand, on a screen of 1000 x 500 px."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown = 0
        self.key = -1
        self.visible = 1.0
        self.flags = 0
        self.size = (0, 0)
        monkeypatch.setattr(window, "display_trouble", lambda: None)
        monkeypatch.setattr(window, "SCREEN", "print(1000, 500)")
        monkeypatch.setattr(cv2, "namedWindow", lambda title, flags: setattr(self, "flags", flags))
        monkeypatch.setattr(cv2, "resizeWindow", lambda title, *size: setattr(self, "size", size))
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


def test_space_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    gui = FakeHighGui(monkeypatch)
    sink = WindowSink(whiten)
    states = []
    for gui.key in (ord(" "), -1, ord(" "), ord(" "), ord("q")):
        sink.look()
        states.append((sink.paused, sink.closed))
    assert states == [(True, False), (True, False), (False, False), (True, False), (True, True)]


def test_f_fills_the_screen_and_s_saves_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gui = FakeHighGui(monkeypatch)
    monkeypatch.chdir(tmp_path)
    states: list[float] = []
    monkeypatch.setattr(cv2, "setWindowProperty", lambda title, number, state: states.append(state))
    sink = WindowSink(whiten)
    gui.key = ord("s")
    sink.look()  # nothing is shown yet
    sink.write(result(0, size=(48, 64)))
    (saved,) = tmp_path.glob("heatstream-*.png")
    picture = cv2.imread(str(saved))
    assert picture is not None
    assert picture.shape == (48, 64, 3)
    gui.key = ord("f")
    sink.look()
    sink.look()
    assert states == [cv2.WINDOW_FULLSCREEN, cv2.WINDOW_NORMAL]
    assert not sink.closed


def test_a_picture_that_cannot_be_saved_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gui = FakeHighGui(monkeypatch)

    def refuse(path: Path, data: bytes) -> None:
        raise SinkError("no room")

    monkeypatch.setattr(window, "write_whole", refuse)
    sink = WindowSink(whiten)
    gui.key = ord("s")
    with pytest.warns(RuntimeWarning, match="no room"):
        sink.write(result(0))
    assert not sink.closed


@pytest.mark.parametrize(
    ("frame", "shown"),
    [((480, 640), (567, 425)), ((100, 200), (200, 100)), ((2160, 3840), (756, 425)), ((1000, 30), (13, 425))],
)
def test_the_window_fits_the_screen_and_has_no_toolbar(
    frame: tuple[int, int], shown: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gui = FakeHighGui(monkeypatch)
    WindowSink(whiten).write(result(0, size=frame))
    assert gui.size == shown
    assert gui.flags == cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL


def test_without_tkinter_the_screen_is_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gui = FakeHighGui(monkeypatch)
    monkeypatch.setattr(window, "SCREEN", "import no_such_library")
    WindowSink(whiten).write(result(0, size=(2160, 3840)))
    assert gui.size == (1161, 653)
