"""Finding the people of one segment: what a worker does, on this machine or on another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from heatstream.errors import HeatstreamError
from heatstream.runtime.archive.checkpoint import Found, pack
from heatstream.runtime.archive.plan import Segment
from heatstream.runtime.archive.section import MisfitError, Section
from heatstream.runtime.load import load
from heatstream.runtime.sources import open_source
from heatstream.runtime.sources.images import Pictures
from heatstream.runtime.stream import stream

__all__ = ["Finder", "FinderSettings", "Outcome"]


@dataclass(frozen=True)
class FinderSettings:
    """How people are found; as the arguments of :func:`heatstream.load`.

    Attributes:
        model: the model file.
        device: as of :func:`heatstream.load`.
        engine: likewise.
        short_side: likewise.
        confidence: likewise.
        max_people: how many people to look for; None for the model's number.
        faces: model file for their faces; None to look for none.
    """

    model: Path
    device: str = "auto"
    engine: str = "auto"
    short_side: int | None = None
    confidence: float | None = None
    max_people: int | None = None
    faces: Path | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a segment.

    Attributes:
        segment: which.
        data: of :func:`heatstream.runtime.archive.checkpoint.pack`; empty if it failed.
        frames: how many were looked at.
        failure: what went wrong, for people; empty if nothing did.
        misfit: the video has to be looked at as a whole.
    """

    segment: Segment
    data: bytes = b""
    frames: int = 0
    failure: str = ""
    misfit: bool = False


class Finder:
    """Finds the people of segments, one after the other; holds one pipeline, on one CPU core or one GPU.

    Raises:
        HeatstreamError: as of :func:`heatstream.load`.
    """

    def __init__(self, settings: FinderSettings) -> None:
        import cv2

        cv2.setNumThreads(1)  # the other cores have finders of their own
        self._pipeline = load(
            settings.model,
            settings.device,
            threads=1,
            engine=settings.engine,
            short_side=settings.short_side,
            confidence=settings.confidence,
            settings=None if settings.max_people is None else {"max_people": settings.max_people},
            faces=settings.faces,
            wait=True,
        )

    def __call__(self, segment: Segment) -> Outcome:
        """Look at a segment; whatever is wrong with the video is in the outcome."""
        try:
            source = open_source(segment.video.path) if segment.frames is None else Section(segment)
            if isinstance(source, Pictures):
                return Outcome(segment, failure=f"{segment.video.path} is a picture: `heatstream run` takes those")
            results = []
            with stream(source, self._pipeline, track=False) as found:
                for result in found:
                    # The picture is let go, and its shape kept.
                    results.append(replace(result, frame=np.broadcast_to(np.uint8(0), result.frame.shape)))
                warnings = source.warnings
        except MisfitError as error:
            return Outcome(segment, failure=str(error), misfit=True)
        except HeatstreamError as error:
            return Outcome(segment, failure=str(error))
        return Outcome(segment, pack(Found(results, source.fps, warnings)), len(results))
