"""OpenCV's capture, kept quiet: what goes wrong is told once, by us."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Capture", "backend_for_files", "quiet"]

FFMPEG_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"  # OpenCV reads it when FFmpeg is first used in the process
FFMPEG_QUIET = "-8"
MOST_FPS = 1000.0
CLOSE_SECONDS = 0.5

_lock = threading.Lock()
_users = 0
_level_before = 0
_ffmpeg_is_ours = False


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV's own messages for as long as anybody is in here, and FFmpeg's if this is its first use.

    A level that the user set for FFmpeg in the environment is left alone.
    """
    global _users, _level_before, _ffmpeg_is_ours
    with _lock:
        _users += 1
        if _users == 1:
            _level_before = cv2.utils.logging.getLogLevel()
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            _ffmpeg_is_ours = FFMPEG_LOG_LEVEL not in os.environ
            if _ffmpeg_is_ours:
                os.environ[FFMPEG_LOG_LEVEL] = FFMPEG_QUIET
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                cv2.utils.logging.setLogLevel(_level_before)
                if _ffmpeg_is_ours:
                    os.environ.pop(FFMPEG_LOG_LEVEL, None)


class Capture:
    """An open ``cv2.VideoCapture`` that may be closed by any thread, even while another one hangs in a read."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._busy = threading.Lock()

    @classmethod
    def open(cls, target: str | int, backend: int, params: Sequence[int] = ()) -> Capture | None:
        """Open a file, device or address, or give None if OpenCV cannot."""
        with quiet():
            try:
                capture = cv2.VideoCapture(target, backend, list(params))
            except cv2.error:
                return None
        return cls(capture) if capture.isOpened() else None

    def read(self) -> NDArray[np.uint8] | None:
        """The next frame, (H, W, 3) uint8 BGR in memory of its own, or None if there is none."""
        with self._busy, quiet():
            try:
                there, image = self._capture.read()
            except cv2.error:
                return None
        if not there or image is None or image.size == 0:
            return None
        if image.ndim == 2 or image.shape[2] == 1:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return np.asarray(image, np.uint8)

    def property(self, number: int) -> float:
        """One of OpenCV's ``CAP_PROP_`` values."""
        with self._busy:
            return float(self._capture.get(number))

    def rate(self) -> float | None:
        """Frames per second as announced, None if that is missing or senseless."""
        fps = self.property(cv2.CAP_PROP_FPS)
        return fps if 0 < fps < MOST_FPS else None

    def close(self) -> None:
        """Give the file or device back; one that hangs in a read keeps it until the process ends."""
        if self._busy.acquire(timeout=CLOSE_SECONDS):
            try:
                self._capture.release()
            finally:
                self._busy.release()


def backend_for_files() -> int:
    """FFmpeg, or whatever OpenCV has where it was built without it."""
    return cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
