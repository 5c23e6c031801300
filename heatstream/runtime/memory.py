"""Keeping the memory that is freed after every frame for the next one."""

from __future__ import annotations

import numpy as np

__all__ = ["keep_freed_memory"]

LARGEST_KEPT_BYTES = 31 << 20
"""A little below the 32 MiB up to which the C library of Linux raises its thresholds by itself."""


def keep_freed_memory() -> None:
    """Tell the C library that this process takes and frees large arrays again and again.

    Every frame takes a few MiB for the arrays between its steps and frees them. The C library of Linux (glibc) gives
    freed memory back to the system beyond 128 KiB, on any thread but the first, and the system hands it out anew page
    by page: about a thousand page faults per frame, a third of the time of everything around the network. It changes
    its mind when it sees a larger block freed, and keeps twice that size from then on. So one is taken, and freed
    untouched, which costs nothing. Other C libraries don't mind.
    """
    np.empty(LARGEST_KEPT_BYTES, np.uint8)
