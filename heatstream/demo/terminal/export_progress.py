"""What the user sees of an export: what it does and for how long, where stderr is a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["ExportView"]


class ExportView:
    """Shows what :func:`heatstream.engine_builder.export.model.export_model` tells; a context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("reading the weights", total=None)

    def started(self, step: str) -> None:
        """Name what is done now."""
        self._bar.update(self._task, description=step, total=None)

    def tried(self, done: int, total: int) -> None:
        """So many layers were tried in INT8."""
        self._bar.update(self._task, completed=done, total=total)

    def __enter__(self) -> ExportView:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
