"""The live window."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw

__all__ = ["WindowSink", "display_trouble"]

KEYS_THAT_CLOSE = (27, ord("q"), ord("Q"))  # 27 is Esc
PROBE = "import cv2; cv2.namedWindow('heatstream'); cv2.destroyAllWindows()"
PROBE_SECONDS = 10.0


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
    """Shows each frame with its people. Use it on the main thread.

    Closing the window, q or Esc sets :attr:`closed`, which is the wish to end the run.

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
        self.closed = False

    def write(self, result: Result) -> None:
        """Show one frame and look at the keyboard.

        Raises:
            SinkError: the window library failed.
        """
        if self.closed:
            return
        try:
            if not self._shown:
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.resizeWindow(self._title, result.frame.shape[1], result.frame.shape[0])
                self._shown = True
            elif cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                self.closed = True
                return
            cv2.imshow(self._title, self._draw(result))
            key = cv2.waitKey(1) & 0xFF
        except cv2.error as error:
            raise SinkError(f"the window failed ({error.err}): run with --no-window") from None
        self.closed = key in KEYS_THAT_CLOSE

    def close(self) -> None:
        """Take the window away."""
        self.closed = True
        if self._shown:
            self._shown = False
            cv2.destroyWindow(self._title)
