"""Every frame as an annotated picture in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from heatstream.errors import SinkError
from heatstream.files import write_whole
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw
from heatstream.runtime.sinks.output_file import lock_file, write_trouble
from heatstream.runtime.sinks.picture import PICTURE_SUFFIXES

__all__ = ["PictureFolder"]


class PictureFolder:
    """One annotated picture per frame: pictures under their own names, frames of films numbered from 0.

    Every picture is there whole or not at all. What is neither JPEG nor PNG becomes JPEG, its whole name in front. A
    link in the folder is replaced, never what it leads to.

    Args:
        folder: is made where it is missing; other files in it stay.
        draw: gives the picture of a result.

    Raises:
        SinkError: the folder cannot be made or written, or another run writes into it.
    """

    def __init__(self, folder: Path, draw: Draw) -> None:
        self._folder = folder
        self._draw = draw
        self._names: set[str] = set()
        self._made = not folder.exists()
        self._lock: int | None = None
        try:
            folder.mkdir(exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise SinkError(f"{folder} may not be written: choose another place")
            if hasattr(os, "O_DIRECTORY"):  # on Windows folders are not opened
                self._lock = os.open(folder, os.O_RDONLY)
                lock_file(self._lock, folder)
        except OSError as error:
            raise write_trouble(folder, error) from None
        except SinkError:
            self._unlock()
            raise

    def write(self, result: Result) -> None:
        """Write one picture.

        Raises:
            SinkError: the disk is full or gone.
        """
        name = self._name(result)
        done, data = cv2.imencode(Path(name).suffix, self._draw(result))
        if not done:
            raise SinkError(f"OpenCV cannot write {self._folder / name}: it is too large for a picture of its kind")
        place = self._folder / name
        if place.is_symlink():
            place.unlink()
        write_whole(place, data.tobytes())
        self._names.add(name)

    def close(self) -> Path | None:
        """Leave the folder; one that was made and stayed empty is taken away."""
        self._unlock()
        if self._made and not self._names:
            self._made = False
            self._folder.rmdir()
        return self._folder if self._names else None

    def _name(self, result: Result) -> str:
        if result.picture is None:
            return f"{result.frame_index:06d}.jpg"
        name = result.picture
        if not name.lower().endswith(PICTURE_SUFFIXES):
            name += ".jpg"
        if name in self._names:  # pictures of several folders
            name = f"{result.frame_index:06d}-{name}"
        return name

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
