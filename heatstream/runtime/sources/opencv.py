"""OpenCV's capture, kept quiet: what goes wrong is told once, by us."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.quiet_opencv import quiet

__all__ = ["Capture", "backend_for_files", "quiet", "readable_name"]

MOST_FPS = 1000.0
CLOSE_SECONDS = 0.5


@contextmanager
def readable_name(path: Path) -> Iterator[str]:
    """A name of a file for OpenCV, which takes UTF-8 alone and ends the process on others.

    An absolute one, which cannot be taken for a URL whatever characters it has.
    """
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield f"/proc/self/fd/{descriptor}" if sys.platform == "linux" else f"/dev/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        yield name


class Capture:
    """An open ``cv2.VideoCapture`` that may be closed by any thread, even while another one hangs in a read."""

    def __init__(self, capture: cv2.VideoCapture, backend: int, descriptor: int | None = None) -> None:
        self._capture = capture
        self._turn: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
        self.backend = backend
        self._descriptor = descriptor
        self._busy = threading.Lock()

    @classmethod
    def open(
        cls, target: str | int, backend: int, params: Sequence[int] = (), descriptor: int | None = None
    ) -> Capture | None:
        """Open a file, device or address, or give None if OpenCV cannot.

        Args:
            target: what to open.
            backend: one of OpenCV's ``CAP_`` values.
            params: of its ``CAP_PROP_`` values, each followed by what it is to be.
            descriptor: of an open file that is read from, which is closed with the capture.
        """
        with quiet():
            try:
                capture = cv2.VideoCapture(target, backend, list(params))
            except cv2.error:
                return None
        return cls(capture, backend, descriptor) if capture.isOpened() else None

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
        frame: NDArray[np.uint8] = np.asarray(image, np.uint8)
        return frame if self._turn is None else self._turn(frame)

    def turn(self, turn: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        """Bring every frame into its place by this, instead of by OpenCV, which turns but does not mirror."""
        self.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._turn = turn

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in px as announced; 0 where nothing is."""
        height = self.property(cv2.CAP_PROP_FRAME_HEIGHT)
        return int(height), int(self.property(cv2.CAP_PROP_FRAME_WIDTH))

    def set(self, number: int, value: float) -> None:
        """Ask for one of OpenCV's ``CAP_PROP_`` values; what came of it the frames tell."""
        with self._busy, quiet():
            self._capture.set(number, value)

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
                if self._descriptor is not None:
                    os.close(self._descriptor)
                    self._descriptor = None
            finally:
                self._busy.release()


def backend_for_files() -> int:
    """FFmpeg, or whatever OpenCV has where it was built without it."""
    return cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
