"""The frames of one segment of a video, exactly those that were planned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.archive.plan import Segment
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.base import Frame

__all__ = ["MisfitError", "Section"]

SAME_SECONDS = 1e-6
"""Times of one frame differ by rounding alone."""

STEPS_BACK = (0.0, 1.0, 5.0, 20.0)
"""Seconds before the segment at which reading begins: some containers lead to the key frame after the one meant."""


class MisfitError(SourceError):
    """The video has other frames than its packets told; it has to be read as a whole."""


class Section:
    """A segment as a source. It is decoded by what reads whole videos, so its frames are the same to the last bit.

    Args:
        segment: with a number of frames.

    Raises:
        MisfitError: the video does not open, or there is no frame at the segment's start.
    """

    live = False

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        path = segment.video.path
        with opencv.readable_name(path) as name:
            capture = opencv.Capture.open(name, opencv.backend_for_files())
        if capture is None:
            raise self._misfit("it does not open")
        self._capture = capture
        self.name = str(path)
        self.files: tuple[Path, ...] = (path,)
        self.fps: float | None = capture.rate()
        self.frame_count: int | None = segment.frames
        self.warnings: tuple[str, ...] = ()
        first = self._find()
        if first is None:
            capture.close()
            raise self._misfit(f"it has no frame at {segment.start:.3f} s")
        self._first: NDArray[np.uint8] | None = first
        self.size: tuple[int, int] | None = (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        segment = self._segment
        assert segment.frames is not None
        image, self._first = self._first, None
        for index in range(segment.frames):
            if image is None:
                raise self._misfit(f"its frame {segment.first + index} cannot be read")
            time = self._time()
            if index == segment.frames - 1 and abs(time - segment.end) > SAME_SECONDS:
                raise self._misfit(f"frame {segment.first + index} is at {time:.3f} s, not at {segment.end:.3f} s")
            yield Frame(image, segment.first + index, max(time, 0.0))
            image = self._capture.read()
        if image is not None and segment.number == segment.count - 1:
            raise self._misfit("it has more frames")

    def close(self) -> None:
        """Close the file."""
        self._capture.close()

    def _find(self) -> NDArray[np.uint8] | None:
        """The segment's first frame."""
        start = self._segment.start
        for back in STEPS_BACK:
            if start > 0:
                self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * max(0.0, start - back))
            image = self._capture.read()
            while image is not None and self._time() < start - SAME_SECONDS:
                image = self._capture.read()
            if image is not None and self._time() <= start + SAME_SECONDS:
                return image
        return None

    def _time(self) -> float:
        """Of the frame that was read last, in seconds since the video's start."""
        return self._capture.property(cv2.CAP_PROP_POS_MSEC) / 1000

    def _misfit(self, why: str) -> MisfitError:
        return MisfitError(f"{self._segment.video.path} has other frames than its container tells: {why}")
