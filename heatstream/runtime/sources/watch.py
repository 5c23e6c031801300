"""A folder that is being filled: every picture that comes to lie in it, until the stream is closed.

It is listed again and again rather than watched by the system's own means, which see nothing of what other computers
write into a shared folder.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from heatstream.errors import SourceError
from heatstream.pictures import read_picture
from heatstream.runtime.sources.base import Frame
from heatstream.runtime.sources.images import list_pictures

__all__ = ["WatchedFolder"]

POLL_SECONDS = 0.2
REMEMBERED_WARNINGS = 100


class WatchedFolder:
    """The pictures of a folder in natural order, then those that are put into it or replaced, as they come.

    A picture counts as whole once it has stayed the same from one look to the next.

    Args:
        folder: to watch.

    Raises:
        SourceError: it cannot be read.
    """

    live = False
    fps: float | None = None
    frame_count: int | None = None
    size: tuple[int, int] | None = None
    files: tuple[Path, ...] = ()

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder, and only folders are watched: give one")
        self.name = str(folder)
        self._folder = folder
        self._warnings: deque[str] = deque(maxlen=REMEMBERED_WARNINGS)
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._states: dict[Path, tuple[int, int]] = {}
        self._given: dict[Path, tuple[int, int]] = {}
        self._list()

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each of the latest pictures that could not be read."""
        return tuple(self._warnings)

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._interrupted():
            before = self._states
            for path in self._list():
                state = self._states[path]
                if before.get(path) != state or self._given.get(path) == state:
                    continue
                self._given[path] = state
                try:
                    image, _ = read_picture(path)
                except SourceError as error:
                    self._warnings.append(f"left out: {error}")
                else:
                    yield Frame(image, index, 0.0, path.name)
                index += 1
            self._given = {path: state for path, state in self._given.items() if path in self._states}

    def interrupt(self) -> None:
        """End the iteration soon. Any thread may call this, at any moment, also repeatedly."""
        self._wake.put(None)

    def close(self) -> None:
        """Nothing is held open."""

    def _interrupted(self) -> bool:
        try:
            self._wake.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return False
        return True

    def _list(self) -> list[Path]:
        """The pictures that lie there, and what state they are in."""
        try:
            paths = list_pictures(self._folder)
        except OSError as error:
            raise SourceError(f"{self._folder} cannot be read: {error.strerror}") from None
        states = {}
        for path in paths:
            try:
                found = path.stat()
            except OSError:  # gone again
                continue
            if found.st_size:
                states[path] = (found.st_size, found.st_mtime_ns)
        self._states = states
        return list(states)
