"""The screen as a camera."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from heatstream.errors import SourceError, first_line
from heatstream.extras import require
from heatstream.runtime.sources.capture_clock import CaptureClock
from heatstream.runtime.sources.connection import Shot, StreamEndedError

__all__ = ["ScreenConnector"]

FPS = 30.0


class ScreenConnector:
    """Films a monitor.

    Args:
        monitor: its number, from 1; 0 for all of them as one picture.
    """

    def __init__(self, monitor: int) -> None:
        self.name = f"screen {monitor}" if monitor else "the whole screen"
        self._monitor = monitor

    def open(self) -> ScreenConnection:
        """See :class:`Connector`."""
        mss: Any = require("mss", extra="screen", purpose="filming the screen")
        try:
            grabber = mss.MSS()
        except Exception as error:  # mss has its own, and lets those of X11 through
            raise SourceError(
                f"the screen cannot be filmed ({first_line(error)}): it needs a display, on Linux X11, not Wayland"
            ) from None
        if self._monitor >= len(grabber.monitors):
            grabber.close()
            raise SourceError(f"there is no {self.name}: the last one is {len(grabber.monitors) - 1}")
        return ScreenConnection(grabber, self._monitor, self.name)

    def there(self) -> bool:
        """See :class:`Connector`."""
        return False


class ScreenConnection:
    """See :class:`Connection`."""

    warnings: tuple[str, ...] = ()
    pause = 0.0
    undecodable = 0
    waiting: tuple[float, float] | None = None
    fps: float | None = FPS

    def __init__(self, grabber: Any, monitor: int, name: str) -> None:
        self._grabber = grabber
        self._place = grabber.monitors[monitor]
        self._name = name
        self._clock = CaptureClock()
        self._due = time.perf_counter()

    def read(self) -> Shot:
        """See :class:`Connection`."""
        time.sleep(max(0.0, self._due - time.perf_counter()))
        moment = time.perf_counter()
        self._due = max(self._due + 1 / FPS, moment)
        try:
            grabbed = self._grabber.grab(self._place)
        except Exception as error:
            raise StreamEndedError(f"{self._name} cannot be filmed any more: {first_line(error)}", "ended") from None
        self._clock.arrived(moment, None)
        image = np.ascontiguousarray(np.asarray(grabbed, np.uint8)[:, :, :3])  # of BGRA
        return Shot(image, moment, self._clock.stamp(moment, None))

    def close(self) -> None:
        """See :class:`Connection`."""
        self._grabber.close()
