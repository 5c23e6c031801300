"""From a list of videos to a folder of results, however often it is interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from heatstream.runtime.archive.archive import Archive
from heatstream.runtime.archive.finder import Outcome
from heatstream.runtime.archive.plan import Segment, Video, plan_segments, whole

__all__ = ["ArchiveProgress", "Look", "Report", "process_videos"]

Look = Callable[[Sequence[Video | Segment]], Iterable[Outcome | None]]
"""Looks at segments, and at videos once it has cut them, in any order; None now and then, while nothing is ready."""


class ArchiveProgress(Protocol):
    """Is told how far it is."""

    def begun(self, videos: int, done_before: int, size: int) -> None:
        """So many videos are to be looked at, of so many bytes in all; so many were done before."""

    def advanced(self, size: int, frames: int) -> None:
        """So many bytes' worth of videos, and frames, were looked at."""

    def finished(self, video: Video, frames: int, warnings: Sequence[str]) -> None:
        """A video's results are written."""

    def failed(self, video: Video, reason: str) -> None:
        """A video could not be done."""


@dataclass
class Report:
    """What came of it.

    Attributes:
        done: videos whose results were written.
        done_before: videos whose results were there.
        frames: how many were looked at.
        failures: why videos could not be done, by their paths.
        failures_path: where that is written down.
        stopped: whether it was asked to stop.
    """

    done: int = 0
    done_before: int = 0
    frames: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    failures_path: Path | None = None
    stopped: bool = False


def process_videos(
    videos: Sequence[Video],
    archive: Archive,
    look: Look,
    progress: ArchiveProgress,
    *,
    frames: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Report:
    """Look at all videos whose results are not there yet.

    Args:
        videos: of :func:`heatstream.runtime.archive.find_videos`.
        archive: where results go.
        look: what looks at segments.
        progress: is told.
        frames: how many frames a segment has, as of :func:`plan_segments`.
        stopping: asked now and then; what is kept by then is not done again.

    Raises:
        HeatstreamError: nothing more can be done, for example because the disk is full.
    """
    with archive.held():
        return _Job(archive, progress, frames).run(videos, look, stopping)


class _Job:
    def __init__(self, archive: Archive, progress: ArchiveProgress, frames: int) -> None:
        self._archive, self._progress, self._frames = archive, progress, frames
        self._report = Report()
        self._segments: dict[Video, dict[int, Segment]] = {}  # those that are kept
        self._over: set[Video] = set()
        self._sizes: dict[Video, int] = {}

    def run(self, videos: Sequence[Video], look: Look, stopping: Callable[[], bool]) -> Report:
        report = self._report
        left = [video for video in videos if not self._archive.is_done(video)]
        report.done_before = len(videos) - len(left)
        self._sizes = {video: _size(video) for video in left}
        self._progress.begun(len(left), report.done_before, sum(self._sizes.values()))
        tasks = [task for video in left for task in self._tasks(video)]
        while tasks and not report.stopped:
            self._over -= {task.video for task in tasks if isinstance(task, Segment)}  # misfits, as a whole now
            again: list[Video | Segment] = []
            for outcome in look(tasks):
                if outcome is not None and outcome.segment.video not in self._over:
                    again += self._take(outcome)
                if stopping():
                    report.stopped = True
                    break
            tasks = again
        report.failures_path = self._archive.write_failures(report.failures)
        return report

    def _tasks(self, video: Video) -> list[Video | Segment]:
        """What is left to do of a video."""
        if not self._archive.has_kept(video):
            return [video]
        segments = plan_segments(video, self._frames)
        kept = self._archive.kept(segments)
        for segment in segments:
            if segment.number in kept:
                self._advance(segment, 0)
                self._keep(segment)
        return [segment for segment in segments if segment.number not in kept]

    def _take(self, outcome: Outcome) -> list[Segment]:
        """Keep what was found; gives what is to be done because of it."""
        segment, video = outcome.segment, outcome.segment.video
        if outcome.misfit:
            kept = self._segments.pop(video, {})
            self._archive.forget(video)
            self._over.add(video)
            for each in kept.values():
                self._progress.advanced(-round(each.share * self._sizes[video]), 0)
            return [whole(video)]
        if outcome.failure:
            self._over.add(video)
            self._report.failures[str(video.path)] = outcome.failure
            self._progress.failed(video, outcome.failure)
            return []
        self._archive.keep(segment, outcome.data)
        self._report.frames += outcome.frames
        self._advance(segment, outcome.frames)
        self._keep(segment)
        return []

    def _keep(self, segment: Segment) -> None:
        kept = self._segments.setdefault(segment.video, {})
        kept[segment.number] = segment
        if len(kept) == segment.count:
            frames, warnings = self._archive.finish([kept[number] for number in range(segment.count)])
            self._report.done += 1
            self._progress.finished(segment.video, frames, warnings)
            del self._segments[segment.video]

    def _advance(self, segment: Segment, frames: int) -> None:
        self._progress.advanced(round(segment.share * self._sizes[segment.video]), frames)


def _size(video: Video) -> int:
    try:
        return video.path.stat().st_size
    except OSError:
        return 0
