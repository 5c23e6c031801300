"""What a sink is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.output_file import write_trouble

__all__ = ["Draw", "Sink", "check_writable"]

Draw = Callable[[Result], NDArray[np.uint8]]
"""Gives a picture of a result, (H, W, 3) uint8 BGR of the frame's size; the frame stays as it is."""


class Sink(Protocol):
    """Takes results one by one. A sink checks when it is made whether it will be able to write.

    What was on the disk before stays until the first result comes.
    """

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError: it cannot be written; what was written before stays, and is whole.
        """
        ...

    def close(self) -> Path | None:
        """Finish what was written; harmless when repeated.

        Returns:
            The file that now holds results; None where there is none.

        Raises:
            SinkError: it cannot be finished.
        """
        ...


def check_writable(path: Path) -> None:
    """Find out whether a file can be written, without changing or leaving one.

    Raises:
        SinkError: it cannot.
    """
    if os.path.isdir(path):
        raise SinkError(f"{path} is a folder: give the name of a file in it")
    existed = os.path.exists(path)
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise write_trouble(path, error) from None
    if not existed:
        path.unlink(missing_ok=True)
