"""Results as JSON Lines, while they come."""

from __future__ import annotations

import json
from pathlib import Path

from heatstream.runtime.sinks.output_file import OutputFile
from heatstream.runtime.stream import StreamResult

__all__ = ["JsonLinesSink"]


class JsonLinesSink:
    """One line of JSON per frame, as :meth:`heatstream.results.Poses.to_json` gives it; of a picture also its name.

    Where faces are looked for, ``face_skeleton`` and ``faces`` follow, the latter as of
    :meth:`heatstream.results.Faces.entries`: ``person`` counts the entries of ``people`` from 0.

    Every line is handed to the system whole and at once, so a run that is killed leaves complete lines.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = OutputFile(path)

    def write(self, result: StreamResult) -> None:
        """Write one line.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
        """
        self._file.append(_line(result).encode() + b"\n")

    def close(self) -> Path | None:
        """Close the file.

        Raises:
            SinkError: the lines did not reach the disk.
        """
        return self._file.close()


def _line(result: StreamResult) -> str:
    line = result.poses.to_json()
    if result.faces is not None:
        faces = {"face_skeleton": result.faces.skeleton, "faces": result.faces.entries()}
        line = f"{line[:-1]}, {json.dumps(faces)[1:]}"
    return line if result.picture is None else f'{{"picture": {json.dumps(result.picture)}, {line[1:]}'
