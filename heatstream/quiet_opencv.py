"""OpenCV kept quiet: what goes wrong is told once, by us."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

__all__ = ["quiet"]

FFMPEG_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"  # OpenCV reads it when FFmpeg is first used in the process
FFMPEG_QUIET = "-8"
SILENT = 0  # OpenCV's LOG_LEVEL_SILENT

_levels: Any = getattr(cv2.utils, "logging", cv2)  # where 4.10 to 4.12 keep the same two functions
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
            _level_before = _levels.getLogLevel()
            _levels.setLogLevel(SILENT)
            _ffmpeg_is_ours = FFMPEG_LOG_LEVEL not in os.environ
            if _ffmpeg_is_ours:
                os.environ[FFMPEG_LOG_LEVEL] = FFMPEG_QUIET
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _levels.setLogLevel(_level_before)
                if _ffmpeg_is_ours:
                    os.environ.pop(FFMPEG_LOG_LEVEL, None)
