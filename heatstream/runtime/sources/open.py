"""From what a person types to an open source."""

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from heatstream.errors import SourceError
from heatstream.files import expanded
from heatstream.runtime.sources import addresses, images, video
from heatstream.runtime.sources.base import Source
from heatstream.runtime.sources.cameras import CameraConnector, CameraSettings, GStreamerConnector
from heatstream.runtime.sources.live import Live
from heatstream.runtime.sources.network import FiniteError, NetworkConnector, NetworkSettings
from heatstream.runtime.sources.replay import Looped, RealTime
from heatstream.runtime.sources.screen import ScreenConnector
from heatstream.runtime.sources.watch import WatchedFolder

__all__ = ["open_source", "open_sources"]

# Text that is not a video but leads FFmpeg to one.
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0")
SNIFFED_BYTES = 4096
CAMERA = re.compile(r"(?:/dev/video)?(\d{1,3})", re.ASCII)
FILE_URI = re.compile(r"file:(?://(?:localhost)?(?=/)|(?=/)(?!//))(.*)", re.IGNORECASE | re.DOTALL)
SCREEN = re.compile(r"screen(?::(\d))?", re.ASCII)
WILD = re.compile(r"[*?\[]")


def open_source(
    source: str | int | Path | Sequence[str | Path],
    *,
    camera: CameraSettings | None = None,
    network: NetworkSettings | None = None,
    wait: bool = False,
    loop: bool = False,
    realtime: bool = False,
    watch: bool = False,
) -> Source:
    """Open a camera, file, folder, URL, screen or GStreamer pipeline, or several pictures.

    Args:
        source: ``0`` or ``"/dev/video0"`` for a camera; the path of a video, a picture or a folder of pictures, or a
            pattern such as ``"photos/*.jpg"``; a ``file:`` URI; a URL (RTSP, HTTP, RTMP, SRT, UDP, RTP or TCP);
            ``"screen"``, or ``"screen:2"`` for the second monitor; a GStreamer pipeline, which has a ``!`` in it and
            ends in ``appsink``; a named pipe, or ``"-"`` for standard input, that a video comes through; or a list of
            pictures. ``${NAME}`` in a URL or pipeline stands for an environment variable. A file named like a number
            is meant by ``"./0"``.
        camera: what to ask of a camera.
        network: how a stream comes over the network.
        wait: whether a live source that is not there yet is waited for, rather than refused.
        loop: whether a file or folder begins anew at its end.
        realtime: whether a video plays at the pace of a camera, and loses frames that nobody takes.
        watch: whether pictures that are put into a folder later are given too, without end.

    Returns:
        The open source. Cameras, addresses and screens are opened again whenever they are lost, see docs/cameras.md.

    Raises:
        SourceError: it cannot be opened, or gives no frame; within 5 seconds.
    """
    options = _Options(camera or CameraSettings(), network or NetworkSettings(), wait)
    if watch:
        if loop or realtime or not isinstance(source, (str, Path)):
            raise SourceError("one folder is watched as it is filled, without loop and pace: give its path alone")
        return WatchedFolder(expanded(source))
    if loop:
        opened: Source = Looped(lambda: _open(source, options))
    else:
        opened = _open(source, options)
    return RealTime(opened) if realtime else opened


@dataclass(frozen=True)
class _Options:
    camera: CameraSettings
    network: NetworkSettings
    wait: bool


def _open(source: str | int | Path | Sequence[str | Path], options: _Options) -> Source:
    if isinstance(source, int) and not isinstance(source, bool):
        return Live(CameraConnector(source, options.camera), wait=options.wait)
    if isinstance(source, (str, Path)):
        match = CAMERA.fullmatch(_device(str(source).strip()))
        if match is not None and (isinstance(source, str) or "/" in match[0]):
            return Live(CameraConnector(int(match[1]), options.camera), wait=options.wait)
        if options.camera != CameraSettings():
            raise SourceError("size, rate and format are asked of cameras alone: give a camera's number, or leave them")
        return _open_path(source) if isinstance(source, Path) else _open_text(source, options)
    if isinstance(source, (list, tuple)) and source and all(isinstance(each, (str, Path)) for each in source):
        return _open(source[0], options) if len(source) == 1 else _open_several(source)
    raise SourceError(
        f"a source is a camera's number, a path, a URL or a list of pictures, not {type(source).__name__}: for frames "
        "of your own call the pipeline itself"
    )


def open_sources(
    source: Source | str | int | Path | Sequence[Source | str | int | Path],
    *,
    camera: CameraSettings | None = None,
    network: NetworkSettings | None = None,
    wait: bool = False,
    loop: bool = False,
    realtime: bool = False,
    watch: bool = False,
) -> tuple[Source, ...]:
    """Open one source, or several at the same time; one that is open already is taken as it is.

    Args:
        source: what :func:`open_source` takes, or several of these in a list. A list of pictures is one source.
        camera: what to ask of cameras.
        network: see :func:`open_source`.
        wait: see :func:`open_source`.
        loop: see :func:`open_source`.
        realtime: see :func:`open_source`.
        watch: see :func:`open_source`.

    Raises:
        SourceError: one of them cannot be opened; the others are closed again.
    """
    options: dict[str, Any] = {
        "network": network,
        "wait": wait,
        "loop": loop,
        "realtime": realtime,
        "watch": watch,
    }
    if not isinstance(source, (list, tuple)) or not source:
        return (_opened(source, camera, options),)
    if len(source) == 1 or all(map(_names_picture, source)):
        return (_opened(source[0] if len(source) == 1 else source, camera, options),)
    with ThreadPoolExecutor(len(source)) as threads:  # a dead address delays no other
        opening = [threads.submit(_opened, each, camera if _is_camera(each) else None, options) for each in source]
    failures = [each.exception() for each in opening]
    failure = next((each for each in failures if each is not None), None)
    if failure is not None:
        for each in opening:
            if each.exception() is None:
                each.result().close()
        raise failure
    return tuple(each.result() for each in opening)


def _opened(source: Any, camera: CameraSettings | None, options: dict[str, Any]) -> Source:
    return source if isinstance(source, Source) else open_source(source, camera=camera, **options)


def _is_camera(source: object) -> bool:
    return isinstance(source, int) or (
        isinstance(source, str) and CAMERA.fullmatch(_device(source.strip())) is not None
    )


def _names_picture(source: object) -> bool:
    return isinstance(source, (str, Path)) and Path(source).suffix.lower() in images.PICTURE_SUFFIXES


def _device(text: str) -> str:
    """Where a link in /dev leads, as those by a camera's name do; any other text as it is."""
    return os.path.realpath(text) if text.startswith("/dev/v4l/") else text


def _open_text(text: str, options: _Options) -> Source:
    if text.strip() == "-":
        return _open_path(Path("/dev/stdin"))
    if text and _exists(path := expanded(text)):  # as it is, blanks and all
        return _open_path(path)
    text = text.strip()
    if not text:
        raise SourceError("the source is empty: give a camera number, a file, a folder or a URL")
    if text.lower().startswith("file:"):
        return _open_path(_path_of_uri(text))
    filled = addresses.fill_in(text)
    address = addresses.parse_address(filled)
    if address is not None:
        return _open_url(filled, address, options)
    if (screen := SCREEN.fullmatch(text)) is not None:
        return Live(ScreenConnector(int(screen[1] or 1)), wait=options.wait)
    if "!" in text:
        return Live(GStreamerConnector(filled), wait=options.wait)
    if filled != text and not _exists(expanded(filled)):
        raise SourceError(f"there is no file or folder {text}: check the path, and the variables in it")
    if WILD.search(filled) and not addresses.looks_secret(filled):
        return _open_pattern(filled)
    return _open_path(expanded(filled))


def _open_url(url: str, address: addresses.Address, options: _Options) -> Source:
    try:
        return Live(NetworkConnector(url, address, options.network), wait=options.wait)
    except FiniteError:
        # The address answers, so OpenCV's opening, of which there is one at a time, holds up nobody.
        return video.open_offered(url, address.shown)


def _open_pattern(pattern: str) -> Source:
    found = [Path(name) for name in glob.glob(str(expanded(pattern)), recursive=True)]
    if len(found) == 1:
        return _open_path(found[0])
    pictures = images.natural_order(path for path in found if path.suffix.lower() in images.PICTURE_SUFFIXES)
    if pictures:
        return images.open_pictures(pictures, pattern)
    if found:
        raise SourceError(f"{pattern} matches {len(found)} files and no pictures: give one video at a time")
    raise SourceError(f"no file matches {pattern}: check the path")


def _open_several(sources: Sequence[str | Path]) -> Source:
    paths = [expanded(source) for source in sources]
    for path in paths:
        if not _exists(path):
            raise _missing(path)
        if path.is_dir() or path.suffix.lower() not in images.PICTURE_SUFFIXES:
            raise SourceError(f"several sources at once must be pictures, and {path} is none: give it by itself")
    return images.open_pictures(paths, f"{len(paths)} pictures")


def _path_of_uri(text: str) -> Path:
    """The file of a ``file:`` URI (RFC 8089): of this machine, percent-encoded bytes."""
    match = FILE_URI.fullmatch(text)
    if match is None:
        shown = addresses.shown_address(text) if addresses.looks_secret(text) else text
        raise SourceError(
            f"{shown} is not the address of a file on this machine: it begins with file:/// and the whole path"
        )
    return Path(os.fsdecode(unquote_to_bytes(match[1].encode("utf-8", "surrogateescape"))))


def _open_path(path: Path) -> Source:
    if not _exists(path):
        raise _missing(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return images.open_folder(path)
        if stat.S_ISFIFO(mode):
            return video.open_pipe(path)
        if not stat.S_ISREG(mode):
            raise SourceError(f"{path} is neither a file, a folder, a pipe nor a camera: give one of these")
        with path.open("rb") as file:
            start = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if not start:
        raise SourceError(f"{path} is empty: record or copy it again")
    if path.suffix.lower() in images.PICTURE_SUFFIXES:
        return images.open_pictures([path], str(path))
    if _is_text(start) and not start.startswith(PLAYLISTS):
        # FFmpeg would render it as a film of a text terminal.
        raise SourceError(f"{path} is a text file, neither a video nor a picture: give one of these")
    return images.open_pictures([path], str(path)) if images.is_picture(path, start) else video.open_video(path)


def _missing(path: Path) -> SourceError:
    if addresses.looks_secret(str(path)):
        return SourceError(
            "what was given is neither a file nor an address: an address begins with rtsp:// or http://, "
            "as in rtsp://USER:PASSWORD@HOST/PATH"
        )
    if os.path.islink(path):
        return SourceError(f"{path} is a link that leads nowhere: point it to a file, or give the file itself")
    return SourceError(f"there is no file or folder {path}{_nearest(path)}: check the path")


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
