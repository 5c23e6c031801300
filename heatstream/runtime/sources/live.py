"""Live sources: cameras, network streams and GStreamer pipelines."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError, SourceError
from heatstream.frames import MOST_SIDE, size_trouble
from heatstream.runtime.sources import opencv
from heatstream.runtime.sources.addresses import PORTS, Address
from heatstream.runtime.sources.base import OPEN_SECONDS, Frame, Source, within
from heatstream.runtime.sources.video import VideoFile

__all__ = ["CameraSettings", "Live", "list_cameras", "open_camera", "open_gstreamer", "open_url"]

# OpenCV's own time limits end a little before ours, so that no thread is left behind.
LIBRARY_TIMEOUT_MS = int(OPEN_SECONDS * 1000) - 500
REACH_SECONDS = 2.0  # for a computer in the same network a handshake takes milliseconds
DIAGNOSIS_SECONDS = 0.5
REACHED = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps")
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


class Live:
    """Frames that come at their own pace, stamped with the time of day.

    Args:
        capture: open, its first frame already taken.
        first: that frame.
        name: for people.
        remedy: what to do when frames stop coming.
        warnings: what there is to say beforehand.
    """

    live = True
    files: tuple[Path, ...] = ()
    frame_count: int | None = None

    def __init__(
        self,
        capture: opencv.Capture,
        first: NDArray[np.uint8],
        *,
        name: str,
        remedy: str,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self._capture = capture
        self._first: NDArray[np.uint8] | None = first
        self._remedy = remedy
        self.name = name
        self.warnings = warnings
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


def open_camera(index: int, settings: CameraSettings | None = None) -> Live:
    """Open a camera by its number.

    Raises:
        SourceError: there is no such camera, it may not be used, or it gives no picture.
    """
    if index < 0:
        raise SourceError(f"there is no camera {index}: the first is 0")
    name = f"camera {index}"
    settings = settings or CameraSettings()
    if sys.platform == "linux":
        _check_camera_device(index)
    backend = CAMERA_BACKENDS.get(sys.platform, cv2.CAP_ANY)
    capture, first = _open_live(
        index,
        backend,
        settings=settings,
        refused=f"{name} could not be opened{_others(index)}: check that it is plugged in and no other program uses it",
        silent=f"{name} gives no picture: unplug it and plug it in again, or close other programs that use it",
    )
    missed = settings.missed((first.shape[0], first.shape[1]), capture)
    told = (f"{name} gives {' and '.join(missed)} instead: `v4l2-ctl --list-formats-ext` lists what it can",)
    return Live(capture, first, name=name, remedy="check its cable, then start again", warnings=told if missed else ())


def open_url(url: str, address: Address) -> Source:
    """Open a network stream, or a video that a web server offers.

    Args:
        url: as FFmpeg takes it.
        address: its parts.

    Raises:
        SourceError: the protocol is not one of :data:`PORTS`, nothing answers there, or what answers is no video.
    """
    if address.scheme not in PORTS:
        raise SourceError(f"{address.scheme}:// is not opened: give a file, or one of {', '.join(PORTS)}")
    name = address.shown
    capture, first = _open_live(
        url,
        cv2.CAP_FFMPEG,
        (
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            LIBRARY_TIMEOUT_MS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            LIBRARY_TIMEOUT_MS,
        ),
        address=address,
        refused=f"{name} does not answer with a video: check the address, the network, user name and password",
        silent=f"{name} sends no picture within {OPEN_SECONDS:.0f} s: check the address and the network",
    )
    if address.scheme in ("http", "https") and capture.property(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return VideoFile(capture, first, name, exact=False, attempts=1)
    return Live(capture, first, name=name, remedy="the other side or the network went away, start again")


def open_gstreamer(pipeline: str) -> Live:
    """Open a GStreamer pipeline that ends in an ``appsink``.

    Raises:
        SourceError: this OpenCV has no GStreamer, or the pipeline does not run.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"this OpenCV ({cv2.__version__}) was built without GStreamer, which that pipeline needs: use an "
            "OpenCV with GStreamer (JetPack and Debian's python3-opencv have it), or give a camera number, file or URL"
        )
    capture, first = _open_live(
        pipeline,
        cv2.CAP_GSTREAMER,
        # The pipeline itself is not shown: passwords stand in it.
        refused="GStreamer cannot start the pipeline: try it with gst-launch-1.0; it must end in 'appsink'",
        silent=f"the GStreamer pipeline gives no picture within {OPEN_SECONDS:.0f} s",
    )
    return Live(capture, first, name="GStreamer pipeline", remedy="the pipeline ended")


def list_cameras() -> list[int]:
    """Numbers of the cameras that the system shows; empty where that cannot be known without opening them."""
    if sys.platform != "linux":
        return []
    found = (re.fullmatch(r"video(\d+)", path.name) for path in Path("/dev").glob("video*"))
    return sorted(int(match[1]) for match in found if match)


def _open_live(
    target: str | int,
    backend: int,
    params: tuple[int, ...] = (),
    *,
    settings: CameraSettings | None = None,
    address: Address | None = None,
    refused: str,
    silent: str,
) -> tuple[opencv.Capture, NDArray[np.uint8]]:
    """An open capture and its first frame, within the time a person waits."""

    def work() -> tuple[opencv.Capture, NDArray[np.uint8]]:
        if address is not None:
            _reach(address)
        capture = opencv.Capture.open(target, backend, params)
        if capture is None:
            raise SourceError((address and _diagnosis(str(target), address)) or refused)
        if settings is not None:
            settings.ask(capture)
        first = None if size_trouble(*capture.size) and capture.size != (0, 0) else capture.read()
        if first is None:
            capture.close()
            raise SourceError(silent)
        return capture, first

    return within(OPEN_SECONDS, work, late=silent, discard=lambda opened: opened[0].close())


def _reach(address: Address) -> None:
    """Try the other side before OpenCV does, which opens one address at a time, however long that takes.

    Raises:
        SourceError: the name is not known, or nobody answers there.
    """
    through_proxy = bool(urllib.request.getproxies()) and address.scheme.startswith("http")
    if address.scheme not in REACHED or through_proxy or address.host is None or address.port is None:
        return
    try:
        socket.create_connection((address.host, address.port), timeout=REACH_SECONDS).close()
    except socket.gaierror:
        raise SourceError(
            f"{address.shown}: no computer of that name is known here: check it and the network"
        ) from None
    except ConnectionRefusedError:
        raise SourceError(
            f"{address.shown} does not answer: its computer refuses port {address.port}, check the port"
        ) from None
    except (OSError, ValueError, OverflowError):
        raise SourceError(f"{address.shown} does not answer: check the address and the network") from None


def _diagnosis(url: str, address: Address) -> str:
    """Why a server that was reached gave no video, as it says itself; empty where it does not."""
    try:
        status = _http_status(url) if address.scheme.startswith("http") else _rtsp_status(address, url)
    except (OSError, ValueError, HTTPException):
        return ""
    if status in (401, 403):
        return f"{address.shown} wants a user name and password, or refuses those given: check them"
    if status in (404, 410):
        return f"{address.shown} has no such stream: check the path behind the host"
    if 500 <= status < 600:
        return f"{address.shown} fails itself (status {status}): try again later, or start it again"
    return ""


def _http_status(url: str) -> int:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, _, host = authority.rpartition("@")
    request = urllib.request.Request(f"{scheme}://{host}{rest[len(authority) :]}", method="HEAD")
    if login:
        request.add_header("Authorization", "Basic " + b64encode(unquote(login).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=DIAGNOSIS_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def _rtsp_status(address: Address, url: str) -> int:
    """Of a description asked for without a password: 401 where one is wanted, whatever was given."""
    if address.scheme != "rtsp" or address.host is None or address.port is None:
        return 0
    plain = "rtsp://" + url.partition("://")[2].rpartition("@")[2]
    with socket.create_connection((address.host, address.port), timeout=DIAGNOSIS_SECONDS) as connection:
        connection.sendall(f"DESCRIBE {plain} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        words = connection.recv(64).split(maxsplit=2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


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
