"""Paths as people write them, and writing a file whole or not at all.

Everything that heatstream leaves behind in one piece is written here. Whether what people named is there is asked of
``os.path``, for which a name that is too long is not there; pathlib raises OSError.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heatstream.errors import HeatstreamError, SinkError

__all__ = ["expanded", "make_folder", "replacing", "write_whole"]

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a path has lost one of its slashes


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the user's folder; ``~somebody`` that nobody is stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def make_folder(folder: Path, error: type[HeatstreamError] = SinkError) -> None:
    """Make a folder for results, and those above it; one that is there already is taken.

    Raises:
        SinkError: or `error`: it cannot be made, or is an address in the network.
    """
    if ADDRESS.match(str(folder)):
        raise error(f"{folder} is an address: results are written to a folder of this machine, name one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        trouble = (reason.strerror or str(reason)).lower()
        raise error(f"the folder {folder} cannot be made ({trouble}): choose another") from reason


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file that takes the place of `path` when the block ends well.

    The temporary file is made at once, in the same folder, so that an unwritable place is known before the work. Its
    content is on the disk before it takes the name, so that not even a power cut leaves half a file. Whatever is
    raised inside the block, `path` is as it was and the temporary file is gone. A link stays a link: what it leads to
    is replaced.

    Raises:
        SinkError: the folder is missing or cannot be written, `path` is a folder, or the disk is full.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise SinkError(f"cannot write {path}: it is a folder, give the name of a file in it")
        if not target.parent.is_dir():
            raise SinkError(f"cannot write {path}: there is no folder {target.parent}, make it first")
        # Short, whatever the name: names have a limit.
        temporary = target.with_name(f".heatstream-{os.getpid()}-{threading.get_ident()}.part")
        temporary.touch()
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _trouble(path, error) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole, or as it was before; a pipe or a device is written to as it is.

    Raises:
        SinkError: it cannot be written.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _trouble(path, error) from error
        return
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _trouble(path: Path, error: OSError) -> SinkError:
    reason = (error.strerror or type(error).__name__).lower()
    return SinkError(f"cannot write {path}: {reason}; choose another place")
