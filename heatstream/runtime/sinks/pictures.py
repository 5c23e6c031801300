"""Results as pictures: an annotated video, or the best annotated picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.files import write_whole
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw, Sink, check_writable, write_trouble
from heatstream.runtime.sources.opencv import quiet

__all__ = ["PictureSink", "VideoSink", "save_sink"]

VIDEO_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
DEFAULT_FPS = 25.0
# OpenCV does not say when the disk is full, and an mp4 needs room for its index at the end to be playable.
ROOM_NEEDED = 8 * 2**20  # bytes
FRAMES_BETWEEN_CHECKS = 16
JUMP_SECONDS = 10.0


def save_sink(path: Path, draw: Draw, *, fps: float | None, live: bool) -> Sink:
    """The sink that a file's name asks for: a video, or a picture.

    Args:
        path: ``.mp4`` or ``.avi`` for a video, ``.jpg`` or ``.png`` for a picture.
        draw: gives the picture of a result.
        fps: frames per second of the source, if it has such a thing.
        live: whether the source is live; see :class:`VideoSink`.

    Raises:
        SinkError: the name ends otherwise, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_CODECS:
        return VideoSink(path, draw, fps=fps, live=live)
    if suffix in PICTURE_SUFFIXES:
        return PictureSink(path, draw)
    known = ", ".join([*VIDEO_CODECS, *PICTURE_SUFFIXES])
    raise SinkError(f"{path} does not end in a kind that can be saved: use one of {known}")


class VideoSink:
    """An annotated video.

    Frames of another size than the first one are brought to its size, aspect kept. For a live source, frames are
    repeated or left out so that the video plays at the pace of the world, whatever was dropped.

    Args:
        path: ``.mp4`` (MPEG-4) or ``.avi`` (Motion JPEG), which is replaced.
        draw: gives the picture of a result.
        fps: frames per second of the video; 25 when None.
        live: pace the video by the frames' capture times.

    Raises:
        SinkError: the name ends otherwise, or the file cannot be written.
    """

    def __init__(self, path: Path, draw: Draw, *, fps: float | None = None, live: bool = False) -> None:
        self._path = path
        self._draw = draw
        self._fps = fps or DEFAULT_FPS
        self._live = live
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)  # (height, width) px
        self._start = 0.0
        self._written = 0
        if path.suffix.lower() not in VIDEO_CODECS:
            raise SinkError(f"{path} is not named as a video: use one of {', '.join(VIDEO_CODECS)}")
        check_writable(path)

    def write(self, result: Result) -> None:
        """Draw and write one frame.

        Raises:
            SinkError: the video cannot be begun, or the disk is nearly full; the video up to here will play.
        """
        if self._writer is None:
            self._size = (result.frame.shape[0], result.frame.shape[1])
            self._start = result.capture_time
            self._writer = self._begin()
        if self._written % FRAMES_BETWEEN_CHECKS == 0:
            self._check_room()
        copies = self._copies(result.capture_time) if self._live else 1
        if not copies:
            return
        picture = _fitted(self._draw(result), self._size)
        for _ in range(copies):
            self._writer.write(picture)
            self._written += 1

    def close(self) -> None:
        """Finish the video, so that it plays.

        Raises:
            SinkError: nothing arrived on the disk.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            empty = self._path.stat().st_size == 0
        except OSError as error:
            raise write_trouble(self._path, error) from None
        if empty:
            raise SinkError(f"nothing of {self._path} reached the disk: make room or write elsewhere")

    def _begin(self) -> cv2.VideoWriter:
        height, width = self._size
        codec = cv2.VideoWriter.fourcc(*VIDEO_CODECS[self._path.suffix.lower()])
        with quiet():
            writer = cv2.VideoWriter(str(self._path.absolute()), codec, self._fps, (width, height))
        if not writer.isOpened():
            raise SinkError(f"OpenCV cannot write a video of {width}x{height} px to {self._path}: try .avi or .mp4")
        return writer

    def _copies(self, time: float) -> int:
        """How often a frame of that capture time has to be written to keep pace with the world."""
        copies = int((time - self._start) * self._fps) + 1 - self._written
        if abs(copies) > JUMP_SECONDS * self._fps:  # the machine slept or its clock was set: go on from here
            self._start = time - self._written / self._fps
            return 1
        return max(0, copies)

    def _check_room(self) -> None:
        free = shutil.disk_usage(self._path.absolute().parent).free
        if free < ROOM_NEEDED:
            raise SinkError(f"the disk is full, {self._path} ends after {self._written} frames: make room")


class PictureSink:
    """One annotated picture: of all frames the one with most people, weighed by their squared scores.

    Squared, so that one person seen well outweighs a doubtful one beside another.

    Args:
        path: ``.jpg`` or ``.png``, which is replaced when the sink is closed.
        draw: gives the picture of a result.

    Raises:
        SinkError: the file cannot be written.
    """

    def __init__(self, path: Path, draw: Draw) -> None:
        self._path = path
        self._draw = draw
        self._best: Result | None = None
        check_writable(path)

    def write(self, result: Result) -> None:
        """Keep the frame if it is the best so far."""
        if self._best is None or _worth(result) > _worth(self._best):
            self._best = result

    def close(self) -> None:
        """Write the picture.

        Raises:
            SinkError: the disk is full or gone; an earlier file of that name is still there.
        """
        best, self._best = self._best, None
        if best is None:
            return
        done, data = cv2.imencode(self._path.suffix, self._draw(best))
        if not done:
            raise SinkError(f"OpenCV cannot write a picture of the kind of {self._path}: use .jpg or .png")
        write_whole(self._path, data.tobytes())


def _worth(result: Result) -> float:
    return float(np.square(result.poses.scores).sum())


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture at (height, width), aspect kept, black around it."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    factor = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + inner[0], left : left + inner[1]] = cv2.resize(picture, inner[::-1])
    return fitted
