"""Short messages to the person at the terminal, on stderr, so that stdout holds results alone."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heatstream.results import Gap

__all__ = ["print_gap", "print_message"]

SILENCE = {
    "stalled": "sends nothing any more",
    "ended": "has gone",
    "garbage": "sends no pictures any more",
    "absent": "is not there yet",
}


def print_message(text: str) -> None:
    """One line, whatever the text holds; nobody is told where nobody reads stderr."""
    with contextlib.suppress(OSError):
        print(f"heatstream: {' '.join(text.split())}", file=sys.stderr, flush=True)


def print_gap(name: str, gap: Gap) -> None:
    """That a source has fallen silent, or is back."""
    if gap.over:
        print_message(f"{name} is back after {gap.seconds:.1f} s")
    else:
        print_message(f"{name} {SILENCE[gap.reason]}: it is opened again as soon as it is back; Ctrl-C ends")
