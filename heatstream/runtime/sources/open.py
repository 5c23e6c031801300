"""From what a person types to an open source."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import cv2

from heatstream.errors import SourceError
from heatstream.runtime.sources import images, live, video
from heatstream.runtime.sources.base import Source

__all__ = ["open_source"]

# Text that is not a video but leads FFmpeg to one.
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0")
SNIFFED_BYTES = 4096


def open_source(text: str | int | Path) -> Source:
    """Open a camera, file, folder, URL or GStreamer pipeline.

    Args:
        text: ``0`` or ``"/dev/video0"`` for a camera; the path of a video, a picture or a folder of pictures;
            a URL (``rtsp://``, ``http://``, ...); or a GStreamer pipeline, which has a ``!`` in it and ends in
            ``appsink``. A file named like a number is meant by ``"./0"``.

    Raises:
        SourceError: it cannot be opened, or gives no frame; within 5 seconds.
    """
    if isinstance(text, Path):
        return _open_path(text)
    text = str(text).strip()
    camera = re.fullmatch(r"(?:/dev/video)?(\d{1,3})", text)
    if camera:
        return live.open_camera(int(camera[1]))
    if text.startswith("file://"):
        return _open_path(Path(text.removeprefix("file://")))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return live.open_url(text)
    if "!" in text and not _exists(Path(text)):
        return live.open_gstreamer(text)
    if not text:
        raise SourceError("the source is empty: give a camera number, a file, a folder or a URL")
    return _open_path(Path(text).expanduser())


def _open_path(path: Path) -> Source:
    if not _exists(path):
        raise SourceError(f"there is no file or folder {path}{_nearest(path)}: check the path")
    if path.is_dir():
        return images.open_folder(path)
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if not start:
        raise SourceError(f"{path} is empty: record or copy it again")
    if path.suffix.lower() in images.PICTURE_SUFFIXES:
        return images.open_picture(path)
    if _is_text(start) and not start.startswith(PLAYLISTS):
        # FFmpeg would render it as a film of a text terminal.
        raise SourceError(f"{path} is a text file, neither a video nor a picture: give one of these")
    if path.suffix.lower() != ".gif" and cv2.haveImageReader(str(path)):
        return images.open_picture(path)
    return video.open_video(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long or holds a NUL
        return False


def _nearest(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f" (did you mean {path.with_name(close[0])}?)" if close else ""


def _is_text(start: bytes) -> bool:
    if b"\0" in start:
        return False
    try:
        # The last character may have been cut in two.
        start[:-3].decode("utf-8") if len(start) == SNIFFED_BYTES else start.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
