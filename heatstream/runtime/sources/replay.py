"""Files that go on: from the start again and again, or at the pace of a camera."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from heatstream.errors import SourceError
from heatstream.results import Gap
from heatstream.runtime.sources.base import Frame, Source
from heatstream.runtime.sources.capture_clock import to_wall_clock

__all__ = ["Looped", "RealTime"]

USUAL_FPS = 25.0


class Looped:
    """A file or folder that begins anew at its end; indices and times go on.

    Args:
        open_again: opens it.

    Raises:
        SourceError: it cannot be opened, or is live.
    """

    frame_count: int | None = None
    live = False

    def __init__(self, open_again: Callable[[], Source]) -> None:
        self._open_again = open_again
        self._source = source = open_again()
        if source.live:
            source.close()
            raise SourceError(f"{source.name} is live and has no end to begin anew from: leave out the loop")
        self.name = source.name
        self.fps = source.fps
        self.size = source.size
        self.files: tuple[Path, ...] = source.files

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the present round."""
        return self._source.warnings

    def __iter__(self) -> Iterator[Frame | Gap]:
        index, start = 0, 0.0
        while True:
            first, latest = index, start
            for frame in self._source:
                if isinstance(frame, Frame):
                    latest = start + frame.capture_time
                    yield replace(frame, index=index, capture_time=latest)
                    index += 1
            self._source.close()
            if index == first:
                raise SourceError(f"{self.name} holds no frames: there is nothing to repeat")
            start = latest + 1 / (self.fps or USUAL_FPS)
            self._source = self._open_again()

    def close(self) -> None:
        """Close the file."""
        self._source.close()


class RealTime:
    """A video file as if it were a camera: each frame when it is due, and lost when nobody takes it.

    Args:
        source: the file; closed with this one.

    Raises:
        SourceError: it is live already, or its frames have no times.
    """

    live = True
    frame_count: int | None = None

    def __init__(self, source: Source) -> None:
        if source.live or source.fps is None:
            source.close()
            why = "is live already" if source.live else "has no frame rate"
            raise SourceError(f"{source.name} {why}: only videos are played in real time")
        self._source = source
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.name = source.name
        self.fps = source.fps
        self.size = source.size
        self.files: tuple[Path, ...] = source.files

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the file."""
        return self._source.warnings

    def __iter__(self) -> Iterator[Frame | Gap]:
        start, to_wall = time.perf_counter(), to_wall_clock()
        for frame in self._source:
            if not isinstance(frame, Frame):
                continue
            due = start + frame.capture_time
            if not self._wait_until(due):
                return
            yield replace(frame, capture_time=due + to_wall, capture_monotonic=due, arrival=due)

    def interrupt(self) -> None:
        """End the iteration soon. Any thread may call this, at any moment, also repeatedly."""
        self._wake.put(None)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _wait_until(self, moment: float) -> bool:
        """Whether nobody has interrupted until then."""
        try:
            self._wake.get(timeout=max(0.0, moment - time.perf_counter()))
        except queue.Empty:
            return True
        return False
