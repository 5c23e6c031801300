"""The sink that a name of a file or folder asks for."""

from __future__ import annotations

from pathlib import Path

from heatstream.errors import SinkError
from heatstream.runtime.sinks.base import Draw, Sink
from heatstream.runtime.sinks.folder import FolderSink
from heatstream.runtime.sinks.picture import PICTURE_SUFFIXES, PictureSink
from heatstream.runtime.sinks.video import VIDEO_SUFFIXES, VideoSink

__all__ = ["save_sink"]


def save_sink(path: Path, draw: Draw, *, fps: float | None, live: bool) -> Sink:
    """A sink for annotated frames: a video, or a picture.

    Args:
        path: ``.mp4`` or ``.avi`` for a video, ``.jpg`` or ``.png`` for the best picture, a folder for all of them.
        draw: gives the picture of a result.
        fps: frames per second of the source, if it has such a thing.
        live: whether the source is live; see :class:`VideoSink`.

    Raises:
        SinkError: the name ends otherwise, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if not suffix or path.is_dir():
        return FolderSink(path, draw)
    if suffix in VIDEO_SUFFIXES:
        return VideoSink(path, draw, fps=fps, live=live)
    if suffix in PICTURE_SUFFIXES:
        return PictureSink(path, draw)
    known = ", ".join([*VIDEO_SUFFIXES, *PICTURE_SUFFIXES])
    raise SinkError(f"{path} does not end in a kind that can be saved: use one of {known}, or name a folder")
