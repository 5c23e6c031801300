"""Results in Rerun: a recording for its viewer, or straight into a viewer that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from heatstream import skeletons
from heatstream.errors import SinkError, first_line
from heatstream.extras import require
from heatstream.results import Result

__all__ = ["RerunSink"]

MIN_SCORE = 0.2
"""Keypoints below this score are usually guesses; they are left out."""


class RerunSink:
    """One entity per person, ``/camera/people/ID``, of several sources ``/camera/0/people/ID``.

    Rerun draws the limbs by the annotation context at ``/``.

    Args:
        target: a file that ends in ``.rrd``, or the address of a viewer, ``rerun+http://HOST:PORT/proxy``.
        header: of :func:`heatstream.messages.header_message`; it is in the recording as text.

    Raises:
        MissingExtraError: rerun-sdk is not installed.
        SinkError: the file cannot be written, or the target is neither.
    """

    def __init__(self, target: str, header: Mapping[str, Any]) -> None:
        self._rerun = rerun = require("rerun", extra="rerun", purpose="Rerun")
        if not target.startswith("rerun+http") and not target.endswith(".rrd"):
            raise SinkError(f"{target} is neither a file .rrd nor an address rerun+http://HOST:PORT/proxy: give one")
        self._path = None if target.startswith("rerun+http") else Path(target)
        self._stream = rerun.RecordingStream("heatstream")
        try:
            if self._path is None:
                self._stream.connect_grpc(target)
            else:
                self._stream.save(self._path)
        except Exception as error:  # the library has no class of its own for it
            raise SinkError(f"{target} cannot be written ({first_line(error)}): choose another") from None
        self._clock = "timestamp" if header["clock"] == "unix" else "duration"
        self._shown: dict[str, set[str]] = {}
        names = list(enumerate(header["skeleton"]["keypoints"]))
        colors = [color[::-1] for color in skeletons.get(header["skeleton"]["name"]).colors]
        context = rerun.AnnotationContext(
            rerun.ClassDescription(
                info=rerun.AnnotationInfo(id=0, label="person"),
                keypoint_annotations=[
                    rerun.AnnotationInfo(id=index, label=name, color=colors[index]) for index, name in names
                ],
                keypoint_connections=[tuple(limb) for limb in header["skeleton"]["limbs"]],
            )
        )
        self._stream.log("/", context, static=True)

    def write(self, result: Result) -> None:
        """Log one result."""
        rerun = self._rerun
        self._stream.set_time("frame", sequence=result.frame_index)
        self._stream.set_time("capture_time", **{self._clock: result.capture_time})
        camera = "/camera" if result.source is None else f"/camera/{result.source}"
        shown = set()
        for row, pose in enumerate(result.poses):
            seen = np.flatnonzero(pose.keypoint_scores >= MIN_SCORE)
            entity = f"{camera}/people/{pose.id if pose.id >= 0 else f'unknown-{row}'}"
            shown.add(entity)
            self._stream.log(entity, rerun.Points2D(pose.keypoints[seen], class_ids=[0], keypoint_ids=seen))
        for entity in self._shown.get(camera, set()) - shown:
            self._stream.log(entity, rerun.Clear(recursive=False))
        self._shown[camera] = shown

    def close(self) -> Path | None:
        """Write what waits."""
        self._stream.flush()
        self._stream.disconnect()
        path, self._path = self._path, None
        return path
