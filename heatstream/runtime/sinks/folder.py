"""Every annotated picture, in a folder."""

from __future__ import annotations

from pathlib import Path

import cv2

from heatstream.errors import SinkError
from heatstream.files import write_whole
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw
from heatstream.runtime.sinks.picture import PICTURE_SUFFIXES

__all__ = ["FolderSink"]


class FolderSink:
    """One annotated picture per picture of the source, under its name, or per frame, under its number.

    Each is written whole at once. Pictures of a kind that cannot be written become ``NAME.jpg``.

    Args:
        folder: where they go; it is made.
        draw: gives the picture of a result.

    Raises:
        SinkError: the folder cannot be made.
    """

    def __init__(self, folder: Path, draw: Draw) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{folder} cannot be made ({error.strerror}): choose another folder") from None
        self._folder = folder
        self._draw = draw
        self._written = False

    def write(self, result: Result) -> None:
        """Write one picture.

        Raises:
            SinkError: the disk is full or gone; an earlier picture of that name is still there.
        """
        name = f"frame-{result.frame_index:06}.jpg" if result.picture is None else Path(result.picture).name
        if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
            name += ".jpg"
        _, data = cv2.imencode(Path(name).suffix.lower(), self._draw(result))
        write_whole(self._folder / name, data.tobytes())
        self._written = True

    def close(self) -> Path | None:
        """Does nothing: every picture is whole."""
        return self._folder if self._written else None
