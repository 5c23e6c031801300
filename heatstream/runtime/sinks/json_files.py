"""Results as text: JSON Lines while they come, COCO json at the end."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from heatstream.runtime.sinks.base import check_writable, write_trouble, write_whole
from heatstream.runtime.stream import StreamResult

__all__ = ["CocoSink", "JsonLinesSink"]


class JsonLinesSink:
    """One line of JSON per frame, as :meth:`heatstream.results.Poses.to_json` gives it; of a picture also its name.

    Where faces are looked for, ``face_skeleton`` and ``faces`` follow, the latter as of
    :meth:`heatstream.results.Faces.entries`: ``person`` counts the entries of ``people`` from 0.

    Every line is handed to the system whole and at once, so a run that is killed leaves complete lines.

    Args:
        path: the file, which is replaced.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        check_writable(path)
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise write_trouble(path, error) from None

    def write(self, result: StreamResult) -> None:
        """Write one line.

        Raises:
            SinkError: the disk is full or gone.
        """
        line = _line(result).encode() + b"\n"
        start = self._file.tell() if self._file.seekable() else None
        try:
            written = self._file.write(line)
            while written < len(line):  # a disk that fills up takes a part first
                written += self._file.write(line[written:])
        except OSError as error:
            if start is not None:
                with contextlib.suppress(OSError):
                    self._file.truncate(start)  # leave whole lines only
            raise write_trouble(self._path, error) from None

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            raise write_trouble(self._path, error) from None


class CocoSink:
    """All people in one array of COCO keypoint results, ready for pycocotools.

    The file appears whole when the sink is closed. Pictures whose names are numbers, as COCO's are, give their
    people that number as ``image_id``; others the frame index: see :func:`heatstream.runtime.sources.images.image_ids`.

    Args:
        path: the file, which is replaced.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        self._closed = False
        check_writable(path)

    def write(self, result: StreamResult) -> None:
        """Remember one frame's people."""
        self._entries += result.poses.to_coco(result.image_id)

    def close(self) -> None:
        """Write the file.

        Raises:
            SinkError: the disk is full or gone; an earlier file of that name is still there.
        """
        if self._closed:
            return
        self._closed = True
        write_whole(self._path, json.dumps(self._entries).encode())


def _line(result: StreamResult) -> str:
    line = result.poses.to_json()
    if result.faces is not None:
        faces = {"face_skeleton": result.faces.skeleton, "faces": result.faces.entries()}
        line = f"{line[:-1]}, {json.dumps(faces)[1:]}"
    return line if result.picture is None else f'{{"picture": {json.dumps(result.picture)}, {line[1:]}'
