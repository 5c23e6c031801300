"""Ctrl-C, SIGTERM and SIGHUP as a wish to end well: the loop ends, what was found is written, then the program goes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TypeVar

__all__ = ["SIGNAL_EXIT", "StopSignals"]

SIGNAL_EXIT = 128
"""The shell's convention: an exit code of 128 + the signal's number."""
SHOW_CURSOR = b"\x1b[?25h"  # a live line hides it

Item = TypeVar("Item")


class StopSignals:
    """Takes SIGINT, SIGTERM and SIGHUP, which a closed terminal sends, while its ``with`` statement lasts.

    The first signal ends :meth:`until_signalled`, at once if it is waiting for the next item and after the
    present one otherwise, so that nothing that is being written is torn apart. A second signal ends the program
    at once, with the exit code of the first.

    Args:
        notify: is called by the first signal, in its handler.
        second_ends: False where signals come twice, as under torchrun, which hands on what the terminal has already
            told every process; then the second is ignored.

    Attributes:
        received: number of the signal that came, or None.
    """

    def __init__(self, notify: Callable[[], object] = lambda: None, *, second_ends: bool = True) -> None:
        self.received: int | None = None
        self._notify = notify
        self._second_ends = second_ends
        self._waiting = False
        self._before: dict[int, signal._HANDLER] = {}

    def until_signalled(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, until they or the person's patience end."""
        iterator = iter(items)
        while self.received is None:
            try:
                self._waiting = True
                item = next(iterator)
                self._waiting = False
            except (StopIteration, KeyboardInterrupt):
                self._waiting = False
                return
            except BaseException:
                self._waiting = False
                raise
            yield item

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers there alone
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):  # nohup
                    continue
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if self._second_ends:
                if sys.stderr is not None and sys.stderr.isatty():
                    os.write(sys.stderr.fileno(), SHOW_CURSOR)
                os._exit(SIGNAL_EXIT + self.received)
            return
        self.received = number
        self._notify()
        if self._waiting:
            raise KeyboardInterrupt
