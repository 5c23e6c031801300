"""Sinks of one source among several, such as a video of each."""

from __future__ import annotations

from pathlib import Path

from heatstream.results import Result
from heatstream.runtime.sinks.base import Sink

__all__ = ["OfSource", "numbered"]


class OfSource:
    """Takes the results of one source, and passes over those of others.

    Args:
        sink: gets them; it is closed with this one.
        source: its number.
    """

    def __init__(self, sink: Sink, source: int) -> None:
        self._sink = sink
        self._source = source

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError: as of the sink.
        """
        if result.source == self._source:
            self._sink.write(result)

    def close(self) -> Path | None:
        """Close the sink; gives its file.

        Raises:
            SinkError: as of the sink.
        """
        return self._sink.close()


def numbered(path: Path, source: int) -> Path:
    """The file of one source: ``out-0.mp4`` for ``out.mp4``."""
    return path.with_stem(f"{path.stem}-{source}")
