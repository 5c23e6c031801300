"""Pre-roll clips: the seconds before an event, as a video."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.files import make_folder
from heatstream.results import Event, Result
from heatstream.runtime.sinks.base import Draw
from heatstream.runtime.sinks.video import VideoSink

__all__ = ["PRE_ROLL_SECONDS", "ClipRecorder"]

PRE_ROLL_SECONDS = 10.0
JPEG_QUALITY = 90


@dataclass(frozen=True, eq=False)
class _Kept:
    """A result without its frame, and the frame as JPEG, which takes a twentieth of the memory."""

    result: Result
    jpeg: NDArray[np.uint8]


class ClipRecorder:
    """Keeps the last ten seconds in memory, and writes them to a folder when something happens.

    Clips never hold a frame twice: what happens within ten seconds after a clip is in the next one, which is written
    when these have passed, or at the end. They are written on a thread of their own. It is for one thread.

    Args:
        folder: where ``<time>-<event>-<name>-<id>.mp4`` files go; it is made.
        draw: gives the picture of a result.
        fps: frames per second of the source; 25 when None.
        live: as of :class:`VideoSink`.

    Raises:
        SinkError: the folder cannot be made.
    """

    def __init__(self, folder: Path, draw: Draw, *, fps: float | None, live: bool) -> None:
        make_folder(folder)
        self._folder = folder
        self._draw = draw
        self._fps = fps
        self._live = live
        self._kept: deque[_Kept] = deque()
        self._wanted: Event | None = None  # the first event that is in no clip yet
        self._last: float | None = None  # capture time of the last clip's end
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="heatstream-clips")
        self._writing: Future[None] | None = None

    def add(self, result: Result, events: Sequence[Event]) -> None:
        """Take one frame, and what happened in it.

        Raises:
            SinkError: an earlier clip could not be written.
        """
        time = result.capture_time
        _, data = cv2.imencode(".jpg", result.frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        jpeg: NDArray[np.uint8] = np.asarray(data, np.uint8)
        if self._kept and time < self._kept[-1].result.capture_time:
            self._kept.clear()  # the clock was set
            self._last = None
        self._kept.append(_Kept(replace(result, frame=np.empty((0, 0, 3), np.uint8)), jpeg))
        while self._kept[0].result.capture_time < time - PRE_ROLL_SECONDS:
            self._kept.popleft()
        if events and self._wanted is None:
            self._wanted = events[0]
        if self._wanted is not None and (self._last is None or time - self._last >= PRE_ROLL_SECONDS):
            self._write()

    def close(self) -> None:
        """Write what is still wanted, and wait until it is written; harmless when repeated.

        Raises:
            SinkError: a clip could not be written.
        """
        try:
            if self._wanted is not None:
                self._write()
            if self._writing is not None:
                writing, self._writing = self._writing, None
                writing.result()
        finally:
            self._writer.shutdown()

    def _write(self) -> None:
        """Hand the frames since the last clip to the writing thread."""
        event, self._wanted = self._wanted, None
        assert event is not None
        if self._writing is not None:
            self._writing.result()  # raises what went wrong; at most one clip is behind
        frames = list(self._kept)
        self._kept.clear()
        self._last = frames[-1].result.capture_time
        name = re.sub(r"[^\w]+", "_", event.name)
        path = self._folder / f"{event.capture_time:.2f}-{event.kind}-{name}-{event.id}.mp4"
        self._writing = self._writer.submit(self._encode, path, frames)

    def _encode(self, path: Path, frames: list[_Kept]) -> None:
        sink = VideoSink(path, self._draw, fps=self._fps, live=self._live)
        try:
            for kept in frames:
                picture = np.asarray(cv2.imdecode(kept.jpeg, cv2.IMREAD_COLOR), np.uint8)
                sink.write(replace(kept.result, frame=picture))
        finally:
            sink.close()
