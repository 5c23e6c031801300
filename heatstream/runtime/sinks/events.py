"""Events as JSON Lines: what people do in zones, over lines and in postures."""

from __future__ import annotations

from pathlib import Path

from heatstream.results import Result
from heatstream.runtime.sinks.output_file import OutputFile
from heatstream.runtime.zones import Zones

__all__ = ["EventsSink"]


class EventsSink:
    """One line of JSON per event, as :meth:`heatstream.Event.to_json` gives it, at the moment it happens.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.
        zones: what to watch.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path, zones: Zones) -> None:
        self._file = OutputFile(path)
        self._zones = zones

    def write(self, result: Result) -> None:
        """Watch one frame's people.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
            UnknownNameError: the people's skeleton has no joint of a name that the zones give.
        """
        for event in self._zones(result):
            self._file.append(event.to_json().encode() + b"\n")

    def close(self) -> Path | None:
        """Close the file.

        Raises:
            SinkError: the lines did not reach the disk.
        """
        return self._file.close()
