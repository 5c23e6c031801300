"""The recorder: sinks on a thread of their own, so that drawing and writing do not hold up the network."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from heatstream.errors import HeatstreamError, SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.base import Sink
from heatstream.runtime.threads import start_thread

__all__ = ["Recorder"]

WAITING_RESULTS = 8  # a frame of 1080p takes 6 MB
STUCK_SECONDS = 5.0
LOOK_SECONDS = 0.1


class Recorder:
    """Hands results to sinks, in order, on its own thread; use it in a ``with`` statement.

    Leaving the statement writes out everything that was handed in and closes every sink, also after an error or
    Ctrl-C. When a sink fails, the others take that result and end with it: what they hold belongs together.

    Args:
        sinks: they are closed by the recorder. Windows belong on the main thread and not here.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        # Queues that C code guards: Ctrl-C may interrupt the caller anywhere, and never with a lock in its hand.
        self._results: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(WAITING_RESULTS):
            self._room.put(None)
        self._error: BaseException | None = None
        self._reported = False
        self._closed = False
        self._hurried = False
        self._progress = time.monotonic()
        self._written: list[Path] = []
        # A program that ends without closing it gets whole files all the same.
        self._thread = start_thread("record", self._run, stop=lambda: self._results.put(None))

    @property
    def written(self) -> tuple[Path, ...]:
        """The files that hold results, once the recorder is closed."""
        return tuple(self._written)

    def write(self, result: Result) -> None:
        """Hand in a result; waits while the sinks are far behind.

        Raises:
            SinkError: a sink failed, on this result or an earlier one. It is raised once.
        """
        self._raise_once()
        while True:
            try:
                self._room.get(timeout=LOOK_SECONDS)
                break
            except queue.Empty:
                if self._hurried:
                    return
        self._results.put(result)

    def hurry(self) -> None:
        """Somebody waits for the end: give up sinks that get nowhere, such as a pipe that nobody empties.

        It may be called from a signal's handler.
        """
        self._hurried = True

    def close(self) -> None:
        """Write out everything and close every sink; harmless when repeated.

        Raises:
            SinkError: a sink failed, or got nowhere after :meth:`hurry`, and it was not raised yet.
        """
        if not self._closed:
            self._closed = True
            self._progress = time.monotonic()
            self._results.put(None)
        while self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
            if self._hurried and time.monotonic() - self._progress > STUCK_SECONDS:
                self._error = self._error or SinkError(
                    f"the last results are lost, nothing could be written for {STUCK_SECONDS:.0f} s: check what reads "
                    "the pipe, or the disk"
                )
                break
        self._raise_once()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HeatstreamError:
            # The first thing that went wrong is the one to report.
            if not isinstance(error, HeatstreamError):
                raise

    def _raise_once(self) -> None:
        if self._error is not None and not self._reported:
            self._reported = True
            raise self._error

    def _run(self) -> None:
        while (result := self._results.get()) is not None:
            if self._error is None:  # else keep taking results, so that nobody waits for room
                for sink in self._sinks:
                    try:
                        sink.write(result)
                    except BaseException as error:  # whatever it is, the caller is told
                        self._error = self._error or error
            self._progress = time.monotonic()
            self._room.put(None)
        for sink in self._sinks:
            try:
                path = sink.close()
                if path is not None:
                    self._written.append(path)
            except BaseException as error:
                self._error = self._error or error
            self._progress = time.monotonic()
