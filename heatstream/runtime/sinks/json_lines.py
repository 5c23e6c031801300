"""Results as JSON Lines, while they come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heatstream.results import Result
from heatstream.runtime.sinks.output_file import OutputFile

__all__ = ["JsonLinesSink"]


class JsonLinesSink:
    """Messages, one a line: first the header, then a result per frame; see :mod:`heatstream.messages`.

    Every line is handed to the system whole and at once, so a run that is killed leaves complete lines.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.
        header: of :func:`heatstream.messages.header_message`.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self._file = OutputFile(path)
        self._first = json.dumps(header).encode() + b"\n"  # it waits for the first result

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
        """
        self._file.append(self._first + result.to_json().encode() + b"\n")
        self._first = b""

    def close(self) -> Path | None:
        """Close the file.

        Raises:
            SinkError: the lines did not reach the disk.
        """
        return self._file.close()
