"""The live window."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.files import write_whole
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw

__all__ = ["KEYS_TEXT", "WindowSink", "display_trouble"]

KEYS_THAT_CLOSE = (27, ord("q"), ord("Q"))  # 27 is Esc
KEY_THAT_PAUSES = ord(" ")
KEYS_THAT_FILL = (ord("f"), ord("F"))
KEYS_THAT_SAVE = (ord("s"), ord("S"))
KEYS_TEXT = "q ends  space pauses  f fills the screen  s saves the picture"
PAUSED_MS = 20
PROBE = "import cv2; cv2.namedWindow('heatstream'); cv2.destroyAllWindows()"
SCREEN = """
import tkinter
root = tkinter.Tk()
root.withdraw()
print(root.winfo_screenwidth(), root.winfo_screenheight())
"""
PROBE_SECONDS = 10.0
USUAL_SCREEN = (1366, 768)
"""(width, height) px of the smallest screens in use; it is taken where Python has no tkinter to ask."""
SHARE_OF_SCREEN = 0.85  # the rest is for the window's frame and the system's bars


def display_trouble() -> str | None:
    """Why no window can be shown here, with a remedy, or None if one can.

    A display that is announced but refuses connections ends the whole process inside OpenCV's window library, so
    it is tried in another process; that takes up to a second.
    """
    linux = sys.platform.startswith("linux")
    if linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display: run with --no-window, or save a video with --save out.mp4"
    try:
        probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "the display does not answer: run with --no-window, or save a video with --save out.mp4"
    if probe.returncode == 0:
        return None
    if b"not implemented" in probe.stderr:
        return (
            "this OpenCV has no windows: run with --no-window, or install opencv-python instead of "
            "opencv-python-headless"
        )
    return "the display cannot be used: run with --no-window, or check DISPLAY and `xhost`"


class WindowSink:
    """Shows each frame with its people, in a window that fits the screen. Use it on the main thread.

    Closing the window, q or Esc sets :attr:`closed`, which is the wish to end the run; space sets and takes back
    :attr:`paused`, the wish to look at this frame. f fills the screen and gives it back; s writes the picture as it is
    shown to the current folder, ``heatstream-20261129-174500.png``.

    Args:
        draw: gives the picture of a result.
        title: the window's title.

    Raises:
        SinkError: no window can be shown here.
    """

    def __init__(self, draw: Draw, *, title: str = "heatstream") -> None:
        trouble = display_trouble()
        if trouble is not None:
            raise SinkError(trouble)
        self._draw = draw
        self._title = title
        self._shown = False
        self._filled = False
        self._picture: NDArray[np.uint8] | None = None
        self.closed = False
        self.paused = False

    def write(self, result: Result) -> None:
        """Show one frame and look at the keyboard.

        Raises:
            SinkError: the window library failed.
        """
        if self.closed:
            return
        try:
            if not self._shown:
                self._open(result.frame.shape[1], result.frame.shape[0])
            self._picture = self._draw(result)
            cv2.imshow(self._title, self._picture)
        except cv2.error as error:
            raise _failed(error) from None
        self.look(1)

    def look(self, milliseconds: int = PAUSED_MS) -> None:
        """Look at the keyboard and the window for so long, without a new frame.

        Raises:
            SinkError: the window library failed.
        """
        try:
            key = cv2.waitKey(milliseconds) & 0xFF
            visible = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error as error:
            raise _failed(error) from None
        if key == KEY_THAT_PAUSES:
            self.paused = not self.paused
        if key in KEYS_THAT_FILL:
            self._filled = not self._filled
            state = cv2.WINDOW_FULLSCREEN if self._filled else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, state)
        if key in KEYS_THAT_SAVE:
            self._save()
        if key in KEYS_THAT_CLOSE or not visible:
            self.closed = True

    def close(self) -> None:
        """Take the window away."""
        self.closed = True
        if self._shown:
            self._shown = False
            cv2.destroyWindow(self._title)

    def _save(self) -> None:
        """Write the picture; a folder that cannot be written ends nothing."""
        if self._picture is None:
            return
        path = Path(time.strftime("heatstream-%Y%m%d-%H%M%S.png"))
        try:
            write_whole(path, cv2.imencode(".png", self._picture)[1].tobytes())
        except SinkError as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)

    def _open(self, width: int, height: int) -> None:
        # Qt complains about fonts that OpenCV's build lacks, and that a window without text does not need.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        # Without the toolbar and menu of OpenCV's own.
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._shown = True
        screen = _screen_size()
        share = min(1.0, SHARE_OF_SCREEN * screen[0] / width, SHARE_OF_SCREEN * screen[1] / height)
        cv2.resizeWindow(self._title, max(1, round(width * share)), max(1, round(height * share)))


def _screen_size() -> tuple[int, int]:
    """(width, height) px. Asked in another process: two window libraries in one do not get along everywhere."""
    try:
        probe = subprocess.run([sys.executable, "-c", SCREEN], capture_output=True, timeout=PROBE_SECONDS, check=False)
        width, height = map(int, probe.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return USUAL_SCREEN
    return width, height


def _failed(error: cv2.error) -> SinkError:
    return SinkError(f"the window failed ({error.err}): run with --no-window")
