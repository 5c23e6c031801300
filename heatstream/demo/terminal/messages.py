"""Short messages to the person at the terminal, on stderr, so that stdout holds results alone."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["print_message"]


def print_message(text: str) -> None:
    """One line, whatever the text holds; nobody is told where nobody reads stderr."""
    with contextlib.suppress(OSError):
        print(f"heatstream: {' '.join(text.split())}", file=sys.stderr, flush=True)
