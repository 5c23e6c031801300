"""The live line of numbers while frames go by."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heatstream.results import Result

__all__ = ["StatusLine"]

FPS_WINDOW = 30  # frames
UPDATES_PER_SECOND = 5


class StatusLine:
    """Keeps one line on the terminal up to date; silent where stderr is no terminal.

    Args:
        frame_count: how many frames there will be, None where that is unknown.
    """

    def __init__(self, frame_count: int | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._frame_count = frame_count
        self._times: deque[float] = deque(maxlen=FPS_WINDOW)
        self._frames = 0
        self._latest: Result | None = None
        console = Console(stderr=True)
        self._live = Live(
            get_renderable=self._line, console=console, refresh_per_second=UPDATES_PER_SECOND, transient=True
        )
        self._shown = console.is_terminal

    def add(self, result: Result) -> None:
        """Take the numbers of the newest result."""
        self._frames += 1
        self._times.append(time.perf_counter())
        self._latest = result

    def numbers(self) -> str:
        """FPS over the last second or so, people, faces and latency of the newest result, frames dropped so far."""
        if self._latest is None:
            return "waiting for the first frame"
        span = self._times[-1] - self._times[0]
        people = len(self._latest.poses)
        parts = [
            f"{(len(self._times) - 1) / span:.1f} FPS" if span > 0 else "- FPS",
            f"{people} {'person' if people == 1 else 'people'}",
        ]
        if self._latest.faces is not None:
            faces = len(self._latest.faces)
            parts.append(f"{faces} {'face' if faces == 1 else 'faces'}")
        parts.append(f"{self._latest.timing.latency * 1000:.0f} ms")
        if self._latest.dropped:
            parts.append(f"{self._latest.dropped} dropped")
        return "  ".join(parts)

    def _line(self) -> str:
        total = f"/{self._frame_count}" if self._frame_count else ""
        return f"frame {self._frames}{total}  {self.numbers()}  (Ctrl-C ends)"

    def __enter__(self) -> StatusLine:
        if self._shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._live.stop()
