"""The recorder: sinks on a thread of their own, so that drawing and writing do not hold up the network."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from types import TracebackType

from heatstream.errors import HeatstreamError
from heatstream.results import Result
from heatstream.runtime.sinks.base import Sink

__all__ = ["Recorder"]

WAITING_RESULTS = 8  # a frame of 1080p takes 6 MB


class Recorder:
    """Hands results to sinks, in order, on its own thread; use it in a ``with`` statement.

    Leaving the statement writes out everything that was handed in and closes every sink, also after an error or
    Ctrl-C.

    Args:
        sinks: they are closed by the recorder. Windows belong on the main thread and not here.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._results: queue.Queue[Result | None] = queue.Queue(WAITING_RESULTS)
        self._error: BaseException | None = None
        self._reported = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="heatstream-record", daemon=True)
        self._thread.start()

    def write(self, result: Result) -> None:
        """Hand in a result; waits while the sinks are far behind.

        Raises:
            SinkError: a sink failed, on this result or an earlier one. It is raised once.
        """
        self._raise_once()
        self._results.put(result)

    def close(self) -> None:
        """Write out everything and close every sink; harmless when repeated.

        Raises:
            SinkError: a sink failed and it was not raised yet.
        """
        if not self._closed:
            self._closed = True
            self._results.put(None)
        self._thread.join()
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
            if self._error is not None:
                continue  # keep taking results, so that nobody waits for room
            try:
                for sink in self._sinks:
                    sink.write(result)
            except BaseException as error:  # whatever it is, the caller is told
                self._error = error
        for sink in self._sinks:
            try:
                sink.close()
            except BaseException as error:
                self._error = self._error or error
