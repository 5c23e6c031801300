"""Waiting for what other threads and processes do, on machines that do other things too.

No test may tell a quick machine from a slow one: a limit of time here tells only what hangs from what does not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["HANG_SECONDS", "threads_beyond", "until"]

HANG_SECONDS = 300.0
"""Nothing that the tests wait for takes so long, however busy the machine is; what takes longer hangs."""


def until(condition: Callable[[], object]) -> None:
    """Wait until something has happened that another thread or process does."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.001)


def threads_beyond(before: set[threading.Thread]) -> set[threading.Thread]:
    """The threads that run and did not run before; those of earlier tests may end at any time and count for nothing."""
    return set(threading.enumerate()) - before
