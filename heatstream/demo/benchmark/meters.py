"""Memory, power and load while something runs: read every tenth of a second on a thread of their own."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil

__all__ = ["Meters", "Reading", "memory_reader"]

INTERVAL_SECONDS = 0.1

Reader = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Reading:
    """What a meter showed over a while.

    Attributes:
        mean: over all readings.
        peak: the highest of them.
    """

    mean: float
    peak: float


class Meters:
    """Reads whatever there is to read, while it is asked to.

    Args:
        readers: functions that give values by the meter's name.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = tuple(readers)
        self._values: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read as long as the ``with`` statement lasts, at least once."""
        over = threading.Event()

        def read() -> None:
            while True:
                for reader in self._readers:
                    for name, value in reader().items():
                        self._values[name].append(value)
                if over.wait(INTERVAL_SECONDS):
                    return

        thread = threading.Thread(target=read, name="heatstream-meters", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def readings(self) -> dict[str, Reading]:
        """By the meter's name."""
        return {name: Reading(float(np.mean(values)), max(values)) for name, values in self._values.items()}


def memory_reader() -> Reader:
    """Reads ``memory_mib``, the memory that this process holds."""
    process = psutil.Process()
    return lambda: {"memory_mib": process.memory_info().rss / 2**20}
