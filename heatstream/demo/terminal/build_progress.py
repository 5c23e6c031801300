"""What the user sees of a build: a bar per phase where stderr is a terminal, nothing where it is a file."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["BuildView"]

INDENT = "  "


class BuildView:
    """Shows what :class:`heatstream.engine_builder.trt.compile.Progress` receives; a context manager.

    A phase's bar is there while the phase lasts, indented below that of the phase it belongs to.
    """

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._phases: dict[str, tuple[TaskID, int]] = {}

    def started(self, phase: str, parent: str | None, steps: int) -> None:
        """Add a bar."""
        depth = self._phases[parent][1] + 1 if parent in self._phases else 0
        self._phases[phase] = self._bar.add_task(INDENT * depth + phase, total=steps), depth

    def stepped(self, phase: str, step: int) -> None:
        """Move a bar."""
        if phase in self._phases:
            self._bar.update(self._phases[phase][0], completed=step + 1)

    def finished(self, phase: str) -> None:
        """Take a bar away."""
        if phase in self._phases:
            self._bar.remove_task(self._phases.pop(phase)[0])

    def __enter__(self) -> BuildView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
