"""Cameras and GStreamer pipelines, through OpenCV."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2

from heatstream.errors import InputError, SourceError
from heatstream.frames import MOST_SIDE, size_trouble
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.capture_clock import CaptureClock
from heatstream.runtime.sources.connection import FinalError, Shot, StreamEndedError, UnreachableError

__all__ = ["CameraConnector", "CameraSettings", "GStreamerConnector", "list_cameras"]

CAMERA_BACKENDS = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_MSMF}


@dataclass(frozen=True)
class CameraSettings:
    """What to ask of a camera; what is left out it chooses itself.

    Attributes:
        size: (width, height) of its pictures, px.
        fps: pictures per second.
        format: how they come over the cable, four letters such as ``"MJPG"``, which many USB cameras need for large
            pictures at full rate, or ``"YUYV"``.

    Raises:
        InputError: a value is out of its range.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not all(0 < side <= MOST_SIDE for side in self.size):
            raise InputError(f"a camera's pictures have sides of 1 to {MOST_SIDE} px, got {self.size}")
        if self.fps is not None and not 0 < self.fps < opencv.MOST_FPS:
            raise InputError(f"a camera gives up to {opencv.MOST_FPS:g} pictures per second, got {self.fps}")
        if self.format is not None and re.fullmatch(r"[ -~]{4}", self.format) is None:
            raise InputError(f"a camera's format has four letters, such as MJPG or YUYV, got {self.format!r}")

    def ask(self, capture: opencv.Capture) -> None:
        """Ask an open camera; it gives the nearest that it can."""
        if self.format is not None:  # first, since size and rate depend on it
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.format.upper()))
        if self.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.size[1])
        if self.fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self.fps)

    def missed(self, size: tuple[int, int], capture: opencv.Capture) -> list[str]:
        """What it gives instead, one part of a sentence each; ``size`` is (height, width)."""
        missed = []
        if self.size not in (None, size[::-1]):
            missed.append(f"{size[1]}x{size[0]} px")
        rate = capture.rate()
        if self.fps is not None and rate is not None and abs(rate - self.fps) > 0.01 * self.fps:
            missed.append(f"{rate:g} pictures per second")
        code = int(capture.property(cv2.CAP_PROP_FOURCC))
        name = code.to_bytes(4, "little", signed=code < 0).decode("latin-1")
        if self.format is not None and name.upper() != self.format.upper():
            missed.append(f"{name} as its format" if name.isprintable() else "another format")
        return missed


class CameraConnector:
    """Opens a camera by its number.

    Raises:
        SourceError: there are no such numbers.
    """

    def __init__(self, index: int, settings: CameraSettings) -> None:
        if index < 0:
            raise SourceError(f"there is no camera {index}: the first is 0")
        self.name = f"camera {index}"
        self._index = index
        self._settings = settings

    def open(self) -> CaptureConnection:
        """See :class:`Connector`."""
        if sys.platform == "linux":
            _check_camera_device(self._index)
        capture = opencv.Capture.open(self._index, CAMERA_BACKENDS.get(sys.platform, cv2.CAP_ANY))
        if capture is None:
            raise SourceError(
                f"{self.name} could not be opened{_others(self._index)}: check that it is plugged in and no other "
                "program uses it"
            )
        self._settings.ask(capture)
        silent = f"{self.name} gives no picture: unplug it and plug it in again, or close other programs that use it"
        connection = CaptureConnection(capture, self.name, silent)
        missed = self._settings.missed(connection.size, capture)
        if missed:
            connection.warnings = (
                f"{self.name} gives {' and '.join(missed)} instead: `v4l2-ctl --list-formats-ext` lists what it can",
            )
        return connection

    def there(self) -> bool:
        """See :class:`Connector`."""
        return sys.platform == "linux" and Path(f"/dev/video{self._index}").exists()


class GStreamerConnector:
    """Starts a GStreamer pipeline that ends in an ``appsink``.

    Raises:
        SourceError: this OpenCV has no GStreamer.
    """

    name = "GStreamer pipeline"  # the pipeline itself is not shown: passwords stand in it

    def __init__(self, pipeline: str) -> None:
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise SourceError(
                f"this OpenCV ({cv2.__version__}) was built without GStreamer, which that pipeline needs: use an "
                "OpenCV with GStreamer (JetPack and Debian's python3-opencv have it), or give a camera number, file "
                "or URL"
            )
        self._pipeline = pipeline

    def open(self) -> CaptureConnection:
        """See :class:`Connector`."""
        capture = opencv.Capture.open(self._pipeline, cv2.CAP_GSTREAMER)
        if capture is None:
            raise SourceError(
                "GStreamer cannot start the pipeline: try it with gst-launch-1.0; it must end in 'appsink'"
            )
        return CaptureConnection(capture, self.name, "the GStreamer pipeline gives no picture")

    def there(self) -> bool:
        """See :class:`Connector`."""
        return False


class CaptureConnection:
    """See :class:`Connection`; its first picture has been read, since many cameras open and give none.

    Args:
        capture: open; closed with the connection.
        name: for people.
        silent: the error's message where there is no first picture.

    Raises:
        SourceError: there is none.
    """

    warnings: tuple[str, ...] = ()
    pause = 0.0
    undecodable = 0
    waiting: tuple[float, float] | None = None

    def __init__(self, capture: opencv.Capture, name: str, silent: str) -> None:
        self._capture = capture
        self._name = name
        self._clock = CaptureClock()
        self.fps = capture.rate()
        if capture.size != (0, 0) and (trouble := size_trouble(*capture.size)):
            capture.close()
            raise FinalError(f"{name} {trouble}")
        try:
            self._waiting: Shot | None = self._shot()
        except StreamEndedError:
            capture.close()
            raise SourceError(silent) from None
        self.size = (self._waiting.image.shape[0], self._waiting.image.shape[1])

    def read(self) -> Shot:
        """See :class:`Connection`."""
        shot, self._waiting = self._waiting, None
        return shot or self._shot()

    def close(self) -> None:
        """See :class:`Connection`."""
        self._capture.close()

    def _shot(self) -> Shot:
        image = self._capture.read()
        if image is None:
            raise StreamEndedError(f"{self._name} has gone", "ended")
        arrival = time.perf_counter()
        self._clock.arrived(arrival, None)
        driver_time = None
        if sys.platform == "linux" and self._capture.backend == cv2.CAP_V4L2:
            # The moment of the driver's buffer, on the clock that time.perf_counter() reads on Linux.
            driver_time = self._capture.property(cv2.CAP_PROP_POS_MSEC) / 1000 or None
        return Shot(image, arrival, self._clock.stamp(arrival, None, driver_time))


def list_cameras() -> list[int]:
    """Numbers of the cameras that the system shows; empty where that cannot be known without opening them."""
    if sys.platform != "linux":
        return []
    found = (re.fullmatch(r"video(\d+)", path.name) for path in Path("/dev").glob("video*"))
    return sorted(int(match[1]) for match in found if match)


def _check_camera_device(index: int) -> None:
    device = Path(f"/dev/video{index}")
    if not device.exists():
        raise UnreachableError(f"there is no camera {index} ({device} does not exist){_others(index)}: plug one in")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"camera {index} may not be used by this user: `sudo usermod -aG video $USER`, then log in again"
        )


def _others(index: int) -> str:
    others = [str(number) for number in list_cameras() if number != index]
    return f", but there is {', '.join(others)}" if others else ""
