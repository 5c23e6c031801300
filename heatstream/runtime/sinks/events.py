"""Events as JSON Lines, and as clips: what people do in zones, over lines and in postures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from heatstream.results import Result
from heatstream.runtime.sinks.clips import ClipRecorder
from heatstream.runtime.sinks.output_file import OutputFile

__all__ = ["EventsSink"]


class EventsSink:
    """One line per event of the results, as :meth:`heatstream.Event.to_json` gives it, at the moment it happens.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.
        clips: write the seconds before events as videos, one for each source; none are when there is none. They are
            closed with the sink.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path, clips: Sequence[ClipRecorder] = ()) -> None:
        self._file = OutputFile(path)
        self._clips = clips

    def write(self, result: Result) -> None:
        """Write what happened in one frame.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
        """
        events = result.events or ()
        for event in events:
            self._file.append(event.to_json().encode() + b"\n")
        if self._clips:
            self._clips[result.source or 0].add(result, events)

    def close(self) -> Path | None:
        """Close the file, and wait for the last clip.

        Raises:
            SinkError: lines or clips did not reach the disk.
        """
        with ExitStack() as stack:
            for clips in self._clips:
                stack.callback(clips.close)
            return self._file.close()
