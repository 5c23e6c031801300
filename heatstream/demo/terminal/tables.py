"""What the tables of all commands are printed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console_for"]

NARROWEST = 46  # columns; of less nothing would be left of a table
WIDEST = 1000


def console_for(*whole: Table, least: int = NARROWEST, stderr: bool = False) -> Console:
    """A console that is wide enough, however narrow the terminal is, which then breaks lines itself.

    Args:
        whole: tables of numbers, which are never shortened.
        least: columns that it has at least.
        stderr: print there, because stdout holds results.
    """
    from rich.console import Console

    console = Console(stderr=stderr)
    room = console.options.update(width=WIDEST)
    console.width = max(console.width, least, *(console.measure(table, options=room).maximum for table in whole))
    return console
