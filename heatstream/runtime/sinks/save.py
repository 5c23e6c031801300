"""The sink that a name of a file or folder asks for."""

from __future__ import annotations

import os
from pathlib import Path

from heatstream.errors import SinkError
from heatstream.runtime.sinks.base import Draw, Sink
from heatstream.runtime.sinks.picture import PICTURE_SUFFIXES, PictureSink
from heatstream.runtime.sinks.picture_folder import PictureFolder
from heatstream.runtime.sinks.video import VIDEO_SUFFIXES, VideoSink

__all__ = ["names_folder", "save_sink"]


def save_sink(path: Path, draw: Draw, *, fps: float | None, live: bool, sound: Path | None = None) -> Sink:
    """A sink for annotated frames: a video, a picture, or a folder of pictures.

    Args:
        path: ``.mp4`` or ``.avi`` for a video, ``.jpg`` or ``.png`` for the best picture, a name without an ending
            for a folder of all.
        draw: gives the picture of a result.
        fps: frames per second of the source, if it has such a thing.
        live: whether the source is live; see :class:`VideoSink`.
        sound: the film that frames come from; see :class:`VideoSink`.

    Raises:
        SinkError: the name ends otherwise, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return VideoSink(path, draw, fps=fps, live=live, sound=sound)
    if suffix in PICTURE_SUFFIXES:
        return PictureSink(path, draw)
    if names_folder(path):
        return PictureFolder(path, draw)
    known = ", ".join([*VIDEO_SUFFIXES, *PICTURE_SUFFIXES])
    raise SinkError(f"{path} does not end in a kind that can be saved: use one of {known}, or the name of a folder")


def names_folder(path: Path) -> bool:
    """Whether a folder of pictures is meant: a name without an ending, of nothing else that is there."""
    return not path.suffix and str(path) != "-" and (os.path.isdir(path) or not os.path.lexists(path))
