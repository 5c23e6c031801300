"""What a sink is, and the checks that all files share."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.results import Result

__all__ = ["Draw", "Sink", "check_writable", "write_trouble"]

Draw = Callable[[Result], NDArray[np.uint8]]
"""Gives a picture of a result, (H, W, 3) uint8 BGR of the frame's size; the frame stays as it is."""


class Sink(Protocol):
    """Takes results one by one. A sink checks when it is made whether it will be able to write."""

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError: it cannot be written; what was written before stays.
        """
        ...

    def close(self) -> None:
        """Finish what was written; harmless when repeated.

        Raises:
            SinkError: it cannot be finished.
        """
        ...


def check_writable(path: Path) -> None:
    """Find out whether a file can be written, without changing or leaving one.

    Raises:
        SinkError: it cannot.
    """
    if path.is_dir():
        raise SinkError(f"{path} is a folder: give the name of a file in it")
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise write_trouble(path, error) from None
    if not existed:
        path.unlink(missing_ok=True)


def write_trouble(path: Path, error: OSError) -> SinkError:
    """One sentence for what the system says about a file that could not be written."""
    if error.errno == errno.ENOSPC:
        return SinkError(f"the disk is full, {path} ends here: make room or write elsewhere")
    if error.errno == errno.ENOENT:
        return SinkError(f"{path} cannot be written, there is no folder {path.parent}: make it first")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return SinkError(f"{path} cannot be written ({reason}): choose another place")
