"""The ``heatstream`` command and ``python -m heatstream``: how the process begins and how it ends.

Nothing is imported before a signal ends the process as documented, and nothing that hangs keeps it from ending.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

__all__ = ["start"]

SIGNAL_EXIT = 128  # the shell's convention: 128 + the signal's number
END_SECONDS = 1.0


def start() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if os.name == "posix" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signals.append(signal.SIGHUP)
    for number in signals:
        signal.signal(number, _interrupt)
    for descriptor in (0, 1, 2):
        _fill(descriptor)
    code = 0
    try:
        from heatstream.demo.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        code = SIGNAL_EXIT + signal.SIGINT
    for number in signals:
        signal.signal(number, lambda number, frame: os._exit(SIGNAL_EXIT + number))
    threads = sys.modules.get("heatstream.runtime.threads")
    if threads is not None and not threads.end_threads(END_SECONDS):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)  # something hangs in a driver or on the network; Python's own end would wait or crash
    for number in signals:
        signal.signal(number, signal.SIG_IGN)  # Python's end takes handlers away, and one more would change the code
    # Python notes that a KeyboardInterrupt left the evaluation of a text, as annotations are, and would end the process
    # by SIGINT instead of with the code; the next evaluation clears the note.
    eval("0")
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first of these signals ends the command, at once while something is being imported.

    An exception in the middle of an import is often swallowed or comes out as another one.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os._exit(SIGNAL_EXIT + number)
        frame = frame.f_back
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(SIGNAL_EXIT + number)


def _fill(descriptor: int) -> None:
    """Open a standard stream that the parent closed; else the next file that is opened would take its number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    start()
