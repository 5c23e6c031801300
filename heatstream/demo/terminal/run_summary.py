"""The table at the end of a run: frames, speed, where the time went, what was dropped, where results lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heatstream.demo.terminal.tables import console_for

if TYPE_CHECKING:
    from heatstream.runtime.timing import StreamSummary

__all__ = ["print_report"]


def print_report(
    summary: StreamSummary, *, title: str, reason: str, written: Sequence[Path], stderr: bool = False
) -> None:
    """Print the summary of a run.

    Args:
        summary: what the run came to.
        title: the networks, and the library and device they ran on.
        reason: why that one; empty if nobody had to choose.
        written: files that now hold results.
        stderr: print it there, because stdout holds results.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", min_width=46)  # a name may look like markup
    table.add_column("")
    table.add_column("p50 ms", justify="right")
    table.add_column("p99 ms", justify="right")
    for name, stage in summary.stages.items():
        if name == "latency":
            table.add_section()
        table.add_row(name, f"{stage.p50 * 1000:.1f}", f"{stage.p99 * 1000:.1f}")
    console = console_for(table, stderr=stderr)
    console.print(table)
    for name, value in (
        ("frames", str(summary.frames)),
        ("FPS", f"{summary.fps:.1f}"),
        ("seconds", f"{summary.seconds:.1f}"),
        ("dropped frames", _dropped(summary)),
        *((("engine because", reason),) if reason else ()),
        *(("written", str(path)) for path in written),
    ):
        console.print(f"{name:>15}  {value}", markup=False, highlight=False, soft_wrap=True)


def _dropped(summary: StreamSummary) -> str:
    """How many frames, and where there was more than one reason how many for each."""
    reasons = {reason: number for reason, number in summary.dropped_by.items() if number}
    told = ", ".join(f"{number} {reason.replace('_', ' when ')}" for reason, number in reasons.items())
    return f"{summary.dropped} ({told})" if set(reasons) - {"newer"} else str(summary.dropped)
