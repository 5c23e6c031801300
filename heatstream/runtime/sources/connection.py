"""What a live source is made of: one connection after the other, each of which gives pictures until it is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.sources.capture_clock import Stamp

__all__ = ["Connection", "Connector", "FinalError", "Shot", "StreamEndedError", "UnknownPathError", "UnreachableError"]


class FinalError(SourceError):
    """Trying again would give the same: a wrong password, a stream of a kind that cannot be read."""


class UnknownPathError(FinalError):
    """There is nothing of that name; servers say so too while the camera behind them starts again."""


class UnreachableError(SourceError):
    """Nobody is there at present; :meth:`Connector.there` tells when somebody is."""


class StreamEndedError(SourceError):
    """A connection gives no more pictures; ``reason`` is that of :class:`heatstream.Gap`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture that has come.

    Attributes:
        image: (H, W, 3) uint8, BGR; memory of its own.
        arrival: when it reached this machine, in seconds of ``time.perf_counter()``.
        stamp: when it was taken.
        passed_over: pictures before it that were left out, because newer ones were there already.
    """

    image: NDArray[np.uint8]
    arrival: float
    stamp: Stamp
    passed_over: int = 0


class Connection(Protocol):
    """Open; used by one thread alone."""

    @property
    def fps(self) -> float | None:
        """Pictures per second as announced; None where that is missing or senseless."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to say of it, one sentence each."""
        ...

    @property
    def pause(self) -> float:
        """Seconds for which it is rightly silent beyond its frame period, as streams in segments are; mostly 0."""
        ...

    @property
    def undecodable(self) -> int:
        """How much of what came was no picture so far."""
        ...

    @property
    def waiting(self) -> tuple[float, float] | None:
        """Arrivals of the oldest and the newest part of the stream that may yet become a picture; None without one.

        In seconds of ``time.perf_counter()``. Any thread may ask.
        """
        ...

    def read(self) -> Shot:
        """Wait for the next picture.

        Raises:
            StreamEndedError: there is none.
        """
        ...

    def close(self) -> None:
        """Give the device or connection back."""
        ...


class Connector(Protocol):
    """Opens a device or an address, again and again."""

    @property
    def name(self) -> str:
        """For people; passwords left out."""
        ...

    def open(self) -> Connection:
        """A new connection.

        Raises:
            FinalError: there is no use in trying again.
            UnreachableError: nobody is there.
            SourceError: it did not work this time.
        """
        ...

    def there(self) -> bool:
        """Whether somebody is there, told within a second and without logging in."""
        ...
