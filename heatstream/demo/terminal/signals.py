"""Ctrl-C and SIGTERM as a wish to end well: the loop ends, what was found is written, then the program goes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import TypeVar

__all__ = ["SIGNAL_EXIT", "StopSignals"]

SIGNAL_EXIT = 128
"""The shell's convention: an exit code of 128 + the signal's number."""

Item = TypeVar("Item")


class StopSignals:
    """Takes SIGINT and SIGTERM while its ``with`` statement lasts.

    The first signal ends :meth:`until_signalled`, at once if it is waiting for the next item and after the
    present one otherwise, so that nothing that is being written is torn apart. A second signal ends the program
    at once, as it would without us.

    Args:
        second_ends: False where signals come twice, as under torchrun, which hands on what the terminal has already
            told every process; then the second is ignored.

    Attributes:
        received: number of the signal that came, or None.
    """

    def __init__(self, *, second_ends: bool = True) -> None:
        self.received: int | None = None
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
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL if self._second_ends else signal.SIG_IGN)
        if self._waiting:
            raise KeyboardInterrupt
