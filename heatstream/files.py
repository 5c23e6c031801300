"""Paths as people write them, and writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heatstream.errors import SinkError

__all__ = ["expanded", "replacing"]


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the user's folder; ``~somebody`` that nobody is stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file that takes the place of `path` when the block ends well.

    The temporary file is made at once, in the same folder, so that an unwritable place is known before the work.
    Whatever is raised inside the block, `path` is as it was and the temporary file is gone.

    Raises:
        SinkError: the folder is missing or cannot be written, `path` is a folder, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_dir():
            raise SinkError(f"cannot write {path}: it is a folder, give the name of a file in it")
        if not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: there is no folder {path.parent}, make it first")
        temporary.touch()
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(f"cannot write {path}: {reason}; choose another place") from error
