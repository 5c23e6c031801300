"""Threads that work inside libraries, and their end before Python's.

A thread that is inside ONNX Runtime, OpenCV or a camera's driver when Python ends takes the whole process down with
it: coming back it finds no interpreter, and the C++ around it cannot be unwound. So the runtime's threads are started
here, and before anything of Python is taken down they are told to stop and waited for.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["end_threads", "interruptible", "start_thread"]

END_SECONDS = 10.0
"""A network without a way to interrupt it may need this long for its frame. A driver that hangs longer is left."""

EXIT_INTERRUPTED = 130

_stops: dict[threading.Thread, Callable[[], object]] = {}
_interrupts: dict[object, Callable[[], object]] = {}


def start_thread(
    name: str, work: Callable[[], object], *, stop: Callable[[], object] = lambda: None
) -> threading.Thread:
    """Start a thread.

    Args:
        name: for debuggers; it is put behind ``heatstream-``.
        work: what it does.
        stop: tells it that it is no longer wanted; it may be called at any time, repeatedly, also when it has ended.
    """

    def run() -> None:
        try:
            work()
        finally:
            _stops.pop(thread, None)

    thread = threading.Thread(target=run, name=f"heatstream-{name}", daemon=True)
    _stops[thread] = stop
    # What is registered last is called first: before a library that came meanwhile takes itself down.
    atexit.unregister(_end_all)
    atexit.register(_end_all)
    thread.start()
    return thread


@contextmanager
def interruptible(interrupt: Callable[[], object]) -> Iterator[None]:
    """Something long is going on inside a library, which ``interrupt`` cuts short when the process ends."""
    key = object()
    _interrupts[key] = interrupt
    try:
        yield
    finally:
        del _interrupts[key]


def end_threads(seconds: float) -> bool:
    """Tell every thread to stop, and wait for them.

    Args:
        seconds: how long to wait at most.

    Returns:
        Whether none is left.
    """
    deadline = time.monotonic() + seconds
    while threads := [thread for thread in list(_stops) if thread.is_alive()]:
        for thread in threads:
            _stops.get(thread, bool)()
        for interrupt in list(_interrupts.values()):
            interrupt()
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        threads[0].join(min(left, 0.2))
    return True


def _end_all() -> None:
    """Before Python's end."""
    try:
        end_threads(END_SECONDS)
    except KeyboardInterrupt:  # the person does not want to wait, and nothing is left to be done
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(EXIT_INTERRUPTED)
