"""Results as text: JSON Lines while they come, COCO json at the end."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from heatstream.files import write_whole
from heatstream.results import Result
from heatstream.runtime.sinks.base import check_writable, write_trouble

__all__ = ["CocoSink", "JsonLinesSink"]


class JsonLinesSink:
    """One line of JSON per frame, as :meth:`heatstream.results.Result.to_json` gives it.

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

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: the disk is full or gone.
        """
        line = result.to_json().encode() + b"\n"
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

    def write(self, result: Result) -> None:
        """Remember one frame's people."""
        self._entries += result.poses.to_coco(result.frame_index if result.image_id is None else result.image_id)

    def close(self) -> None:
        """Write the file.

        Raises:
            SinkError: the disk is full or gone; an earlier file of that name is still there.
        """
        if self._closed:
            return
        self._closed = True
        write_whole(self._path, json.dumps(self._entries).encode())
