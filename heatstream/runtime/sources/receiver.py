"""Takes what comes over the network at once, on a thread of its own, and keeps it until it is decoded.

Decoding a picture and bringing it into NumPy asks for Python's lock several times, taking a packet once. Where other
threads hold that lock, or processors are short, decoding falls behind by seconds. Packets that were only taken then
would be stamped too late, and a stream that has stopped would seem to go on for as long as they lie in the system's
buffers.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from heatstream.runtime.threads import start_thread

__all__ = ["Received", "Receiver"]

MOST_WAITING = 256  # packets; more are left in the system's buffers, until there is room
FULL_SECONDS = 0.01  # after which it is looked whether there is
LATE_SECONDS = 1.0  # a whole picture that comes so long after those that wait takes their place


@dataclass(frozen=True)
class Received:
    """A packet that has come.

    Attributes:
        packet: PyAV's.
        arrival: when it was taken, in seconds of ``time.perf_counter()``.
        passed_over: packets before it that were left out because it came so long after them. It needs none of them, and
            the decoder begins anew with it.
    """

    packet: Any
    arrival: float
    passed_over: int


class Receiver:
    """Packets in the order in which they come. :meth:`take` and :meth:`close` are for one thread, the rest for any.

    Args:
        packets: gives one packet after the other; it is used on the receiver's own thread alone, until
            :meth:`close` has returned.
        paced: whether packets come when their pictures are due, so that those that wait for long are too old.
    """

    def __init__(self, packets: Iterator[Any], *, paced: bool) -> None:
        self._paced = paced
        # Queues that are guarded in C: handing Python's lock about for a condition would take as long as decoding.
        self._waiting: deque[Received] = deque()
        self._came: queue.SimpleQueue[None] = queue.SimpleQueue()  # a token or more for each that waits
        self._taken: float | None = None  # arrival of the packet that was taken last and may be in the decoder
        self._ended = self._closed = False
        self._error: Exception | None = None
        self._thread = start_thread("receive", partial(self._run, packets), stop=self._stop)

    @property
    def waiting(self) -> tuple[float, float] | None:
        """Arrivals of the oldest and the newest packet that were not decoded yet; None where there is none."""
        arrivals = [] if self._taken is None else [self._taken]
        arrivals += [each.arrival for each in tuple(self._waiting)]
        return (arrivals[0], arrivals[-1]) if arrivals else None

    @property
    def more(self) -> bool:
        """Whether a packet waits."""
        return bool(self._waiting)

    def take(self) -> Received | None:
        """Wait for the next packet; None behind the last one.

        Raises:
            Exception: what reading ended with, behind the last packet.
        """
        if not self._waiting:
            self._taken = None
        while True:
            self._came.get()
            try:
                received = self._waiting.popleft()
            except IndexError:
                if self._ended:
                    break
            else:
                self._taken = received.arrival
                return received
        self._came.put(None)  # for whoever asks once more
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # whose traceback knows this frame
        return None

    def close(self) -> None:
        """Wait for the end of the present read, and read no more."""
        self._stop()
        self._thread.join()

    def _stop(self) -> None:
        self._closed = True

    def _run(self, packets: Iterator[Any]) -> None:
        try:
            for packet in packets:
                self._keep(packet, time.perf_counter())
                if self._closed:
                    break
        except Exception as error:  # whoever takes packets learns of every one
            self._error = error.with_traceback(None)  # which would keep the connection
        self._ended = True
        self._came.put(None)

    def _keep(self, packet: Any, arrival: float) -> None:
        """Put a packet behind those that wait, or in their place."""
        passed_over = 0
        waiting = tuple(self._waiting)
        if self._paced and waiting and arrival - waiting[0].arrival > LATE_SECONDS and packet.is_keyframe:
            with suppress(IndexError):  # the decoder takes the last one meanwhile
                for _ in waiting:
                    passed_over += 1 + self._waiting.popleft().passed_over
        while len(self._waiting) >= MOST_WAITING and not self._closed:
            time.sleep(FULL_SECONDS)
        self._waiting.append(Received(packet, arrival, passed_over))
        self._came.put(None)
