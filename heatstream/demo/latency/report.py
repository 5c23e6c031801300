"""What a measurement of latency came to, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heatstream.demo.latency.measure import LatencyReport
from heatstream.demo.terminal.tables import console_for

if TYPE_CHECKING:
    from heatstream.runtime.timing import StreamSummary

__all__ = ["print_latency"]


def print_latency(report: LatencyReport, summary: StreamSummary, *, title: str) -> None:
    """Print percentiles of the whole way and of its two halves."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for name in ("", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(name, justify="right" if name else "left")
    rows = {"screen to result": report.total}
    if len(report.camera) == len(report.total):
        rows = {
            f"screen to capture ({report.clock} clock)": report.camera,
            "capture to result": report.total - report.camera,
        } | rows
    for name, values in rows.items():
        if name == "screen to result":
            table.add_section()
        table.add_row(name, *(f"{value * 1000:.1f}" for value in np.percentile(values, (50, 95, 99))))
    console = console_for(table)
    console.print(table)
    for name, number in (
        ("frames read", len(report.total)),
        ("not readable", report.unread),
        ("dropped frames", summary.dropped),
    ):
        console.print(f"{name:>15}  {number}", highlight=False)
