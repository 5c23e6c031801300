"""Spans of time as people type them."""

from __future__ import annotations

import re

from heatstream.errors import InputError

__all__ = ["seconds_of"]

UNITS = {"ms": 1e-3, "s": 1.0, "": 1.0}


def seconds_of(text: str, option: str) -> float:
    """Seconds of ``100ms``, ``0.1s`` or ``0.1``.

    Raises:
        InputError: it is none of these, or not above 0.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|)", text.strip(), re.ASCII)
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise InputError(f"{option} {text!r} is not understood: give a time such as 100ms or 0.5s")
    return seconds
