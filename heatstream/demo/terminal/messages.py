"""Short messages to the person at the terminal, on stderr, so that stdout holds results alone."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heatstream.results import Gap

__all__ = ["print_gap", "print_message", "without_passwords"]

# A path has lost one of its slashes. Ours is the example that a message of our own gives.
WITH_PASSWORD = re.compile(
    r"\b([a-z][a-z0-9+.-]+):/{1,2}(?!/|USER:PASSWORD@)(\S*@\S*?)(?=[]:,;.'\")]*(?:\s|$))", re.IGNORECASE
)

SILENCE = {
    "stalled": "sends nothing any more",
    "ended": "has gone",
    "garbage": "sends no pictures any more",
    "absent": "is not there yet",
}


def print_message(text: str) -> None:
    """One line without passwords, whatever the text holds; nobody is told where nobody reads stderr."""
    with contextlib.suppress(OSError):
        print(f"heatstream: {without_passwords(' '.join(text.split()))}", file=sys.stderr, flush=True)


def without_passwords(text: str) -> str:
    """The text with scheme and host of addresses that hold an ``@``: an address may be given where a file belongs."""

    def shown(address: re.Match[str]) -> str:
        from heatstream.runtime.sources.addresses import shown_address  # which takes all of the sources along

        return shown_address(f"{address[1]}://{address[2]}")

    return WITH_PASSWORD.sub(shown, text)


def print_gap(name: str, gap: Gap) -> None:
    """That a source has fallen silent, or is back."""
    if gap.over:
        print_message(f"{name} is back after {gap.seconds:.1f} s")
    else:
        print_message(f"{name} {SILENCE[gap.reason]}: it is opened again as soon as it is back; Ctrl-C ends")
