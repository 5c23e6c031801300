"""Video files."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.frames import size_trouble
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.base import OPEN_SECONDS, Frame, within
from heatstream.runtime.sources.film_header import read_mirroring, start_seconds

__all__ = ["VideoFile", "open_offered", "open_pipe", "open_video"]

# After a damaged stretch FFmpeg often finds the next whole frame; at the true end all these attempts fail at once.
FILE_ATTEMPTS = 16
# Containers that store one entry per frame. Others announce a duration, from which OpenCV works out a number.
EXACT_COUNTS = frozenset({".avi", ".m4v", ".mov", ".mp4"})
# Containers whose duration, and so that number, counts from time zero, although their first frame may come later.
FROM_ZERO = frozenset({".mkv", ".webm"})
# OpenCV's wheels open films of it, and decode them with special hardware alone.
AV1 = cv2.VideoWriter.fourcc(*"AV01")
# Containers with a display matrix, which may mirror.
MIRRORED = frozenset({".m4v", ".mov", ".mp4"})


def open_video(path: Path) -> VideoFile:
    """Open a video file and read its first frame.

    Raises:
        SourceError: it is no video, or holds no frame that can be read.
    """
    suffix = path.suffix.lower()
    with opencv.readable_name(path) as name:
        capture = opencv.Capture.open(name, opencv.backend_for_files())
        small = capture is not None and not size_trouble(*capture.size)
        mirroring = read_mirroring(name) if small and suffix in MIRRORED else None
        begin = start_seconds(name) if small and suffix in FROM_ZERO else 0.0
    if capture is None:
        raise SourceError(
            f"{path} cannot be opened as a video: it is damaged, cut off, or of a kind that OpenCV does not know; "
            "try `ffmpeg -i FILE new.mp4` or record it again"
        )
    if trouble := size_trouble(*capture.size):
        capture.close()
        raise SourceError(f"{path} {trouble}")
    if mirroring is not None:
        capture.turn(mirroring)
    first, _ = _read_on(capture, FILE_ATTEMPTS)
    if first is None:
        av1 = capture.property(cv2.CAP_PROP_FOURCC) == AV1
        capture.close()
        if av1:
            raise SourceError(
                f"{path} is AV1, which this OpenCV does not decode, or damaged: "
                "try `ffmpeg -i FILE -c:v libx264 new.mp4`"
            )
        raise SourceError(f"{path} is cut off or damaged before its first frame: record or copy it again")
    return VideoFile(
        capture,
        first,
        str(path),
        exact=suffix in EXACT_COUNTS,
        attempts=FILE_ATTEMPTS,
        begin=begin,
        files=(path,),
    )


def open_offered(url: str, name: str) -> VideoFile:
    """Open a video file that a web server offers.

    Raises:
        SourceError: it holds no frame that can be read.
    """
    limit = int(OPEN_SECONDS * 1000) - 500  # OpenCV's own ends a little before ours, so that no thread is left behind

    def work() -> tuple[opencv.Capture, NDArray[np.uint8]]:
        params = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit)
        capture = opencv.Capture.open(url, cv2.CAP_FFMPEG, params)
        first = None if capture is None or size_trouble(*capture.size) else capture.read()
        if capture is None or first is None:
            if capture is not None:
                capture.close()
            raise SourceError(f"{name} offers a video that cannot be read: check that it plays elsewhere")
        return capture, first

    late = f"{name} sends no picture within {OPEN_SECONDS:.0f} s: check the address and the network"
    capture, first = within(OPEN_SECONDS, work, late=late, discard=lambda opened: opened[0].close())
    return VideoFile(capture, first, name, exact=False, attempts=1)


def open_pipe(path: Path) -> VideoFile:
    """Open a named pipe, or standard input, that a video comes through; wait for its writer as for a camera.

    Raises:
        SourceError: nobody writes into it, or what comes is no video.
    """

    def work() -> tuple[opencv.Capture, NDArray[np.uint8]]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for a writer, who may never come
        capture = None
        try:
            if not select.select([descriptor], [], [], OPEN_SECONDS)[0]:
                raise SourceError(silent)
            os.set_blocking(descriptor, True)
            # The writer may be done by now, and the pipe could not be opened by its name a second time.
            capture = opencv.Capture.open(f"pipe:{descriptor}", opencv.backend_for_files(), descriptor=descriptor)
        finally:
            if capture is None:
                os.close(descriptor)
        first = None if capture is None or size_trouble(*capture.size) else capture.read()
        if capture is None or first is None:
            raise SourceError(f"what comes through the pipe {path} is no video: write one that FFmpeg knows into it")
        return capture, first

    silent = f"nobody writes into the pipe {path}: start what writes into it, then start again"
    capture, first = within(OPEN_SECONDS, work, late=silent, discard=lambda opened: opened[0].close())
    return VideoFile(capture, first, str(path), exact=False, attempts=1)


class VideoFile:
    """A video of finite length, read frame by frame at the reader's pace.

    Args:
        capture: open, its first frame already taken.
        first: that frame.
        name: for people.
        exact: whether the announced number of frames counts frames, rather than being worked out from a duration.
        attempts: how often to try for a frame before the end is believed; 1 where each may wait for a network.
        begin: time before the first frame, s, of which the announced number of frames is worked out too.
        files: what it is read from.
    """

    live = False

    def __init__(
        self,
        capture: opencv.Capture,
        first: NDArray[np.uint8],
        name: str,
        *,
        exact: bool,
        attempts: int,
        begin: float = 0.0,
        files: tuple[Path, ...] = (),
    ) -> None:
        self._capture = capture
        self._first: NDArray[np.uint8] | None = first
        self._exact = exact
        self._attempts = attempts
        self._warnings: tuple[str, ...] = ()
        self.name = name
        self.files = files
        self.size: tuple[int, int] | None = (first.shape[0], first.shape[1])
        self.fps: float | None = capture.rate()
        frames = capture.property(cv2.CAP_PROP_FRAME_COUNT) - begin * (self.fps or 0.0)
        self.frame_count: int | None = round(frames) if 0 < frames < 1e9 else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Empty, or one sentence on what of the file was missing, once the end is reached."""
        return self._warnings

    def __iter__(self) -> Iterator[Frame]:
        image, self._first = self._first, None
        index, time, gaps = 0, 0.0, 0
        while image is not None:
            time = self._time(index, time)
            yield Frame(image, index, time)
            index += 1
            image, failures = _read_on(self._capture, self._attempts)
            gaps += image is not None and failures > 0
        self._warnings = self._verdict(index, time, gaps)

    def close(self) -> None:
        """Close the file."""
        self._capture.close()

    def _time(self, index: int, before: float) -> float:
        """Seconds since the start: the container's where they make sense, else from the frame rate."""
        seconds = self._capture.property(cv2.CAP_PROP_POS_MSEC) / 1000
        if index == 0 or seconds > before:
            return max(seconds, 0.0)
        return before + 1 / (self.fps or 25.0)

    def _verdict(self, read: int, last: float, gaps: int) -> tuple[str, ...]:
        """Whether the file gave what it announced.

        Announced numbers are often off by a frame or two. Numbers worked out from a duration are far off for
        variable frame rates; there the time of the last frame has to fall short of the duration as well. An AVI
        counts frames that were left out when it was recorded, too.
        """
        count = self.frame_count
        if gaps:
            share = f"{read} of {count} frames" if count and count > read else f"{read} frames"
            return (f"{self.name} is damaged in the middle: {share} could be read, their results are kept",)
        if count is None or count - read <= max(2, count // 100):
            return ()
        if self.fps:
            duration = count / self.fps
            if duration - last <= (2 / self.fps if self._exact else max(0.5, duration / 100)):
                return ()
        return (
            f"{self.name} is cut off or damaged: it announces {count} frames and only {read} could be read, "
            "their results are kept",
        )


def _read_on(capture: opencv.Capture, attempts: int) -> tuple[NDArray[np.uint8] | None, int]:
    """The next frame that can be read, None at the end, and how many attempts failed before it."""
    for failures in range(attempts):
        image = capture.read()
        if image is not None:
            return image, failures
    return None, attempts
