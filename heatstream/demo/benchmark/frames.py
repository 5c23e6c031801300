"""The frames that are measured on: a few in memory, without end, and at a camera's pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.sources import Frame, Source, open_source

__all__ = ["Endless", "FrameFeed", "Paced", "open_feed"]

KEPT_FRAMES = 24


@dataclass(frozen=True, eq=False)
class FrameFeed:
    """Frames to measure on.

    Attributes:
        name: human-readable.
        frames: some of them, (H, W, 3) uint8 BGR each, in memory.
        source: a file or folder that is read again and again in the whole pipeline; None where the frames in memory
            are all there is.
    """

    name: str
    frames: tuple[NDArray[np.uint8], ...]
    source: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) px of the first frame."""
        height, width = self.frames[0].shape[:2]
        return int(height), int(width)

    def endless(self) -> Endless:
        """The frames without end, as fast as they are taken."""
        return Endless(self)

    def paced(self, fps: float) -> Paced:
        """The frames without end, as a camera gives them."""
        return Paced(self, fps)


class Endless:
    """A source that never ends: its frames come again and again, as fast as they are taken."""

    live = False
    fps: float | None = None
    frame_count: int | None = None
    size: tuple[int, int] | None = None
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self, feed: FrameFeed) -> None:
        self.name = feed.name
        self._feed = feed
        self._open: Source | None = None

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images()):
            yield Frame(image, index, time.perf_counter())

    def close(self) -> None:
        """Close what is being read."""
        if self._open is not None:
            self._open.close()

    def _images(self) -> Iterator[NDArray[np.uint8]]:
        if self._feed.source is None:
            for number in count():
                yield self._feed.frames[number % len(self._feed.frames)]
        else:
            while True:
                self._open = open_source(self._feed.source)
                for frame in self._open:
                    if isinstance(frame, Frame):
                        yield frame.image
                self._open.close()


class Paced(Endless):
    """The same as a camera gives them: each is due at its time, whether somebody is ready for it or not.

    The capture time of a frame is the moment it was due, in seconds of ``time.perf_counter()``, so that latency counts
    the waiting of frames that a busy machine is late for.
    """

    live = True

    def __init__(self, feed: FrameFeed, fps: float) -> None:
        super().__init__(feed)
        self.fps = fps
        self._interval = 1 / fps

    def __iter__(self) -> Iterator[Frame]:
        start = time.perf_counter()
        for index, image in enumerate(self._images()):
            due = start + index * self._interval
            time.sleep(max(0.0, due - time.perf_counter()))
            yield Frame(image, index, due)


def open_feed(source: str | None) -> FrameFeed:
    """The frames of a source, or without one the photograph that the demo shows, panned and zoomed.

    A camera or a network stream is not measured by its own pace: its first frames are kept and shown again and again.

    Args:
        source: what :func:`heatstream.runtime.sources.open_source` takes, as text.

    Raises:
        SourceError: the source cannot be opened or holds no frame.
    """
    if source is None:
        return _own_feed()
    opened = open_source(source)
    try:
        until_lost = takewhile(lambda item: isinstance(item, Frame), opened)  # a lost camera may stay away for ever
        frames = tuple(item.image for item in islice(until_lost, KEPT_FRAMES) if isinstance(item, Frame))
        live, name = opened.live, opened.name
    finally:
        opened.close()
    if not frames:
        raise SourceError(f"{name} holds no frame: give another with --source")
    # Its folder says nothing about speed, and records are shared.
    return FrameFeed(name if live else Path(name).name or name, frames, None if live else source)


def _own_feed() -> FrameFeed:
    from heatstream.demo.sample_clip import CLIP_FRAMES, astronaut_clip

    clip = list(astronaut_clip())
    return FrameFeed("a photograph, panned", tuple(clip[:: CLIP_FRAMES // KEPT_FRAMES]))
