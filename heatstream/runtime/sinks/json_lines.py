"""Results as JSON Lines, while they come."""

from __future__ import annotations

from pathlib import Path

from heatstream.results import Result
from heatstream.runtime.sinks.output_file import OutputFile

__all__ = ["JsonLinesSink"]


class JsonLinesSink:
    """One line of JSON per frame, as :meth:`heatstream.results.Result.to_json` gives it.

    Every line is handed to the system whole and at once, so a run that is killed leaves complete lines.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = OutputFile(path)

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
        """
        self._file.append(result.to_json().encode() + b"\n")

    def close(self) -> Path | None:
        """Close the file.

        Raises:
            SinkError: the lines did not reach the disk.
        """
        return self._file.close()
