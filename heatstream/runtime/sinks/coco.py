"""Results as COCO json, whole after every frame."""

from __future__ import annotations

import json
from pathlib import Path

from heatstream.results import Result
from heatstream.runtime.sinks.output_file import OutputFile

__all__ = ["CocoSink"]


class CocoSink:
    """All people in one array of COCO keypoint results, ready for pycocotools at any moment.

    The people of a frame take the place of the bracket that closed the array, and bring a new one, in one write: a
    run that is killed leaves an array of everything before, and memory does not grow. Pictures whose names are
    numbers, as COCO's are, give their people these as ``image_id``; all others get the frame index: see
    :func:`heatstream.runtime.sources.images.image_ids`.

    Args:
        path: the file, which is replaced, or a pipe or ``-``; see :class:`OutputFile`.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = OutputFile(path)

    def write(self, result: Result) -> None:
        """Write one frame's people.

        Raises:
            SinkError: the disk is full or gone, or the pipe's reader is.
        """
        entries = result.poses.to_coco(result.frame_index if result.image_id is None else result.image_id)
        text = ",\n".join(json.dumps(entry) for entry in entries)
        start = "[" if self._file.size == 0 else ""
        if text:
            start += "\n" if self._file.size <= 1 else ",\n"
        self._file.append((start + text).encode(), tail=b"\n]\n")

    def close(self) -> Path | None:
        """Close the file.

        Raises:
            SinkError: the results did not reach the disk.
        """
        return self._file.close()
