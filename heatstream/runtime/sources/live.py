"""Live sources: cameras, network streams and GStreamer pipelines."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.base import OPEN_SECONDS, Frame, Source, within
from heatstream.runtime.sources.video import VideoFile

__all__ = ["Live", "list_cameras", "open_camera", "open_gstreamer", "open_url"]

# OpenCV's own time limits end a little before ours, so that no thread is left behind.
LIBRARY_TIMEOUT_MS = int(OPEN_SECONDS * 1000) - 500
CAMERA_BACKENDS = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_MSMF}


class Live:
    """Frames that come at their own pace, stamped with the time of day.

    Args:
        capture: open, its first frame already taken.
        first: that frame.
        name: for people.
        remedy: what to do when frames stop coming.
    """

    live = True
    files: tuple[Path, ...] = ()
    frame_count: int | None = None
    warnings: tuple[str, ...] = ()

    def __init__(self, capture: opencv.Capture, first: NDArray[np.uint8], *, name: str, remedy: str) -> None:
        self._capture = capture
        self._first: NDArray[np.uint8] | None = first
        self._remedy = remedy
        self.name = name
        self.size: tuple[int, int] | None = (first.shape[0], first.shape[1])
        self.fps: float | None = capture.rate()

    def __iter__(self) -> Iterator[Frame]:
        image, self._first = self._first, None
        index = 0
        while image is not None:
            yield Frame(image, index, time.time())
            index += 1
            image = self._capture.read()
        raise SourceError(f"{self.name} stopped after {index} frames: {self._remedy}; results so far are kept")

    def close(self) -> None:
        """Give the device or connection back."""
        self._capture.close()


def open_camera(index: int) -> Live:
    """Open a camera by its number.

    Raises:
        SourceError: there is no such camera, it may not be used, or it gives no picture.
    """
    name = f"camera {index}"
    if sys.platform == "linux":
        _check_camera_device(index)
    backend = CAMERA_BACKENDS.get(sys.platform, cv2.CAP_ANY)
    capture, first = _open_live(
        index,
        backend,
        refused=f"{name} could not be opened{_others(index)}: check that it is plugged in and no other program uses it",
        silent=f"{name} gives no picture: unplug it and plug it in again, or close other programs that use it",
    )
    return Live(capture, first, name=name, remedy="check its cable, then start again")


def open_url(url: str) -> Source:
    """Open a network stream, or a video that a web server offers.

    Raises:
        SourceError: nothing answers there, or what answers is no video.
    """
    name = _without_password(url)
    capture, first = _open_live(
        url,
        cv2.CAP_FFMPEG,
        (
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            LIBRARY_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            LIBRARY_TIMEOUT_MS,
        ),
        refused=f"{name} does not answer with a video: check the address, the network, user name and password",
        silent=f"{name} sends no picture within {OPEN_SECONDS:.0f} s: check the address and the network",
    )
    if url.lower().startswith(("http:", "https:")) and capture.property(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return VideoFile(capture, first, name, exact=False, attempts=1)
    return Live(capture, first, name=name, remedy="the other side or the network went away, start again")


def open_gstreamer(pipeline: str) -> Live:
    """Open a GStreamer pipeline that ends in an ``appsink``.

    Raises:
        SourceError: this OpenCV has no GStreamer, or the pipeline does not run.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"this OpenCV ({cv2.__version__}) was built without GStreamer, which '{pipeline}' needs: use an OpenCV "
            "with GStreamer (JetPack and Debian's python3-opencv have it), or give a camera number, file or URL"
        )
    capture, first = _open_live(
        pipeline,
        cv2.CAP_GSTREAMER,
        refused=f"GStreamer cannot start '{pipeline}': try it with gst-launch-1.0; it must end in 'appsink'",
        silent=f"the GStreamer pipeline '{pipeline}' gives no picture within {OPEN_SECONDS:.0f} s",
    )
    return Live(capture, first, name="GStreamer pipeline", remedy="the pipeline ended")


def list_cameras() -> list[int]:
    """Numbers of the cameras that the system shows; empty where that cannot be known without opening them."""
    if sys.platform != "linux":
        return []
    found = (re.fullmatch(r"video(\d+)", path.name) for path in Path("/dev").glob("video*"))
    return sorted(int(match[1]) for match in found if match)


def _open_live(
    target: str | int, backend: int, params: tuple[int, ...] = (), *, refused: str, silent: str
) -> tuple[opencv.Capture, NDArray[np.uint8]]:
    """An open capture and its first frame, within the time a person waits."""

    def work() -> tuple[opencv.Capture, NDArray[np.uint8]]:
        capture = opencv.Capture.open(target, backend, params)
        if capture is None:
            raise SourceError(refused)
        first = capture.read()
        if first is None:
            capture.close()
            raise SourceError(silent)
        return capture, first

    return within(OPEN_SECONDS, work, late=silent, discard=lambda opened: opened[0].close())


def _check_camera_device(index: int) -> None:
    device = Path(f"/dev/video{index}")
    if not device.exists():
        raise SourceError(f"there is no camera {index} ({device} does not exist){_others(index)}: plug one in")
    if not os.access(device, os.R_OK | os.W_OK):
        raise SourceError(
            f"camera {index} may not be used by this user: `sudo usermod -aG video $USER`, then log in again"
        )


def _others(index: int) -> str:
    others = [str(number) for number in list_cameras() if number != index]
    return f", but there is {', '.join(others)}" if others else ""


def _without_password(url: str) -> str:
    """The address as it may be shown and logged."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{address}{parts.path}"
