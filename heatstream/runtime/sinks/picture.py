"""The best annotated picture of a run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw
from heatstream.runtime.sinks.output_file import OutputFile, write_trouble

__all__ = ["PICTURE_SUFFIXES", "PictureSink"]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


class PictureSink:
    """One annotated picture: of all frames the one with most people, weighed by their squared scores.

    Squared, so that one person seen well outweighs a doubtful one beside another. The picture takes its place whole
    when the sink is closed; until then an empty hidden file beside it keeps other runs away from it.

    Args:
        path: ``.jpg`` or ``.png``, which is replaced when the sink is closed.
        draw: gives the picture of a result.

    Raises:
        SinkError: the file cannot be written, or another run writes it.
    """

    def __init__(self, path: Path, draw: Draw) -> None:
        self._path = path
        self._draw = draw
        self._best: Result | None = None
        self._partial: OutputFile | None
        try:
            if path.is_dir():
                raise SinkError(f"{path} is a folder: give the name of a file in it")
            if path.exists() and not os.access(path, os.W_OK):
                raise SinkError(f"{path} cannot be written (it is read-only): choose another place")
            self._target = path.resolve()
            if path.exists() and not path.is_file():  # a pipe or a device must not be replaced
                self._partial = OutputFile(path)
                return
        except OSError as error:
            raise write_trouble(path, error) from None
        # Short, whatever the name: names have a limit, and two runs must find the same one.
        digest = hashlib.sha256(os.fsencode(self._target.name)).hexdigest()[:12]
        self._partial = OutputFile(self._target.with_name(f".heatstream-{digest}.part"), shown=path)

    def write(self, result: Result) -> None:
        """Keep the frame if it is the best so far."""
        if self._best is None or _worth(result) > _worth(self._best):
            self._best = result

    def close(self) -> Path | None:
        """Write the picture.

        Raises:
            SinkError: the disk is full or gone; an earlier file of that name is still there.
        """
        best, self._best = self._best, None
        partial, self._partial = self._partial, None
        if partial is None:
            return None
        if best is None:
            return partial.close()
        try:
            done, data = cv2.imencode(self._path.suffix, self._draw(best))
            if not done:
                raise SinkError(f"OpenCV cannot write a picture of the kind of {self._path}: use .jpg or .png")
            partial.append(data.tobytes())
            if not partial.seekable:
                return partial.close()
            os.replace(partial.path, self._target)
        except (SinkError, OSError) as error:
            partial.discard()
            raise write_trouble(self._path, error) if isinstance(error, OSError) else error from None
        partial.close()
        return self._path


def _worth(result: Result) -> float:
    return float(np.square(result.poses.scores).sum())
