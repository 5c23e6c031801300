"""What the user sees while an archive is looked at: a bar where stderr is a terminal, a line per video where not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from heatstream.demo.terminal.messages import print_message

if TYPE_CHECKING:
    from heatstream.runtime.archive import Report, Video

__all__ = ["ArchiveView"]

RATE_SECONDS = 120.0
"""Over which the rate for the time that is left is measured: segments end at once, then none for a while."""


class ArchiveView:
    """Shows what :class:`heatstream.runtime.archive.ArchiveProgress` receives; a context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._shown = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.fields[videos]} videos"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("left  {task.fields[rate]}"),
            console=console,
            disable=not self._shown,
            transient=True,
            speed_estimate_period=RATE_SECONDS,
        )
        self._task = self._bar.add_task("", total=None, videos="", rate="")
        self._videos = self._over = self._frames = 0
        self._begun = time.monotonic()

    def begun(self, videos: int, done_before: int, size: int) -> None:
        """Show what there is to do."""
        self._videos = videos
        self._begun = time.monotonic()
        self._bar.update(self._task, total=size, videos=f"0/{videos}")
        if done_before:
            self._say(f"{done_before} videos are done already")

    def advanced(self, size: int, frames: int) -> None:
        """Move the bar."""
        self._frames += frames
        rate = self._frames / max(time.monotonic() - self._begun, 1e-3)
        self._bar.update(self._task, advance=size, rate=f"{rate:.0f} frames/s" if frames else "")

    def finished(self, video: Video, frames: int, warnings: Sequence[str]) -> None:
        """Count it."""
        self._count()
        if not self._shown:
            self._say(f"{self._over}/{self._videos}  {video.path}: {frames} frames")
        for warning in warnings:
            self._say(f"warning: {warning}")

    def failed(self, video: Video, reason: str) -> None:
        """Say why."""
        self._count()
        self._say(f"failed: {reason}")

    def print_report(self, report: Report, folder: Path) -> None:
        """What came of it, on stdout."""
        seconds = time.monotonic() - self._begun
        counts = [f"{report.done} of {self._videos} videos done"]
        if report.done_before:
            counts.append(f"{report.done_before} were done before")
        if report.failures:
            counts.append(f"{len(report.failures)} failed, see {report.failures_path}")
        rate = f"{report.frames} frames in {seconds:.1f} s, {report.frames / max(seconds, 1e-3):.1f} frames/s"
        for name, value in (("videos", ", ".join(counts)), ("speed", rate), ("results", str(folder))):
            print(f"{name:>9}  {value}")
        if report.stopped:
            print_message("stopped; the same command goes on from here")

    def _count(self) -> None:
        self._over += 1
        self._bar.update(self._task, videos=f"{self._over}/{self._videos}")

    def _say(self, text: str) -> None:
        if self._shown:
            self._bar.console.print(text, markup=False)
        else:
            print_message(text)

    def __enter__(self) -> ArchiveView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
