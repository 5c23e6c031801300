"""Cameras and streams on the network, through FFmpeg by PyAV.

Not through OpenCV: there all openings of a process share one lock, so that an address where nobody answers holds up
the opening of every other one for as long as FFmpeg tries. PyAV opens without a lock, gives the time stamps of the
stream and of its sender, says with which status a server refuses, and lets each read have a time limit.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import numpy as np

from heatstream.errors import InputError, SourceError
from heatstream.files import expanded
from heatstream.frames import size_trouble
from heatstream.runtime.sources.addresses import PORTS, Address
from heatstream.runtime.sources.base import OPEN_SECONDS
from heatstream.runtime.sources.capture_clock import CaptureClock
from heatstream.runtime.sources.connection import FinalError, Shot, StreamEndedError, UnknownPathError, UnreachableError
from heatstream.runtime.sources.h264_loss import LossDetector

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["AvConnection", "FiniteError", "NetworkConnector", "NetworkSettings"]

OPEN_LIMIT = OPEN_SECONDS - 0.5
READ_LIMIT = 5.0  # the watch gives up earlier; then the thread that reads ends by this
REACH_SECONDS = 2.0  # for a computer in the same network a handshake takes milliseconds
KNOCK_LIMIT = 0.8
DIAGNOSIS_SECONDS = 0.5
REACHED = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps")
TLS = ("rtsps", "https", "rtmps")
UNTIMED = ("mpjpeg", "mjpeg", "jpeg_pipe")
"""Formats whose frames carry no time; FFmpeg makes one up, 25 frames to a second."""
SEGMENTED = ("hls", "dash")
PLAYLIST = re.compile(r"\.(?:m3u8?|mpd)(?:[?#]|$)", re.IGNORECASE)
SEGMENT_SECONDS = 30.0  # such streams come in pieces of up to ten seconds
MOST_FPS = 1000.0

REFUSALS = {
    400: "does not understand the request (status 400): check the address, and that it is a video's",
    401: "wants a user name and password, or refuses those given: check them",
    402: "wants to be paid (status 402)",
    403: "wants a user name and password, or refuses those given: check them, and what that user may see",
    404: "has no such stream: check the path behind the host",
    405: "gives no video at that path (status 405): check the path behind the host",
    406: "has the stream in no form that can be read here (status 406): choose H.264 or MJPEG in its settings",
    407: "is behind a proxy that wants a user name and password: check the proxy",
    408: "lost patience (status 408): the network is slow, or the server is busy",
    410: "has no such stream any more: check the path behind the host",
    415: "has the stream in no form that can be read here (status 415): choose H.264 or MJPEG in its settings",
    429: "is asked too often (status 429): close other viewers, or wait",
    453: "has not enough bandwidth for another viewer (status 453): close other viewers, or choose its smaller stream",
    454: "does not know the session any more (status 454): it was started again",
    455: "does not play in its present state (status 455): it may be starting",
    461: "does not send over that transport (status 461): try the other one of --rtsp-transport tcp and udp",
    500: "fails itself (status 500): look at its log, or start it again",
    501: "cannot play (status 501): check the path behind the host",
    502: "does not reach the camera behind it (status 502): check that camera",
    503: "is not ready, or has as many viewers as it takes (status 503): close other viewers, or wait",
    504: "does not reach the camera behind it in time (status 504): check that camera",
    551: "lacks an option that is needed (status 551): update it",
}
WRONG = (401, 402, 403, 406, 407, 415)
UNKNOWN = (404, 405, 410)


class FiniteError(FinalError):
    """It is a file that a server offers, and nothing live."""


@dataclass(frozen=True)
class NetworkSettings:
    """How streams come over the network.

    Attributes:
        transport: of RTSP: ``"tcp"``, which loses nothing, or ``"udp"``, for servers that have no other.
        latency: seconds by which UDP packets may come late and still be put in order; FFmpeg's 0.1 when left out.
        buffer: bytes that the system keeps of UDP packets until they are read; the system's own when left out.
        trust: for ``rtsps`` and ``https``: a PEM file of the certificate to trust, for cameras that have signed their
            own, or ``"any"``, which keeps the stream secret from bystanders but not from who pretends to be the camera.

    Raises:
        InputError: a value is out of its range, or there is no such file.
    """

    transport: Literal["tcp", "udp"] = "tcp"
    latency: float | None = None
    buffer: int | None = None
    trust: str | Path | None = None

    def __post_init__(self) -> None:
        if self.transport not in ("tcp", "udp"):
            raise InputError(f"RTSP comes over tcp or udp, got {self.transport!r}")
        if self.latency is not None and not 0 <= self.latency <= 10:
            raise InputError(f"packets are waited for from 0 to 10 s, got {self.latency}")
        if self.buffer is not None and not 0 < self.buffer < 2**31:
            raise InputError(f"a buffer has 1 to {2**31 - 1} bytes, got {self.buffer}")
        if self.trust not in (None, "any") and not expanded(self.trust).is_file():
            raise InputError(f"there is no certificate {self.trust}: give a PEM file, or any")

    def options(self, scheme: str) -> dict[str, str]:
        """FFmpeg's options."""
        options = {
            # Its rate is measured here; FFmpeg would look at twenty frames for it before it gives the first.
            "fpsprobesize": "0",
            "flags": "low_delay",
        }
        if scheme in ("rtsp", "rtsps"):
            options |= {"rtsp_transport": self.transport, "allowed_media_types": "video"}
        if self.latency is not None:
            options["max_delay"] = str(round(self.latency * 1e6))
        if self.buffer is not None:
            options["buffer_size"] = str(self.buffer)
        if scheme in TLS:
            options["tls_verify"] = "0" if self.trust == "any" else "1"
            if self.trust not in (None, "any"):
                options["ca_file"] = str(expanded(self.trust))
        return options


class NetworkConnector:
    """Opens an address.

    Args:
        url: as FFmpeg takes it.
        address: its parts.
        settings: how streams come.

    Raises:
        SourceError: the protocol is not one of :data:`PORTS`.
    """

    def __init__(self, url: str, address: Address, settings: NetworkSettings) -> None:
        if address.scheme not in PORTS:
            raise SourceError(f"{address.scheme}:// is not opened: give a file, or one of {', '.join(PORTS)}")
        self.name = address.shown
        self._url = url
        self._address = address
        self._settings = settings

    def open(self) -> AvConnection:
        """See :class:`Connector`."""
        import av

        try:
            container = av.open(
                self._url,
                "r",
                options=self._settings.options(self._address.scheme),
                timeout=(OPEN_LIMIT, SEGMENT_SECONDS if PLAYLIST.search(self._url) else READ_LIMIT),
                metadata_errors="ignore",  # a title in Latin-1 is no reason
            )
        except (av.error.FFmpegError, OSError, ValueError, UnicodeError) as error:
            raise self._why(error) from None
        try:
            if self._address.scheme in ("http", "https") and container.duration:
                raise FiniteError(f"{self.name} is a video with an end")
            return AvConnection(container, self.name)
        except BaseException:
            container.close()
            raise

    def there(self) -> bool:
        """See :class:`Connector`."""
        place = _place(self._address)
        if place is None:
            return False
        try:
            socket.create_connection(place, timeout=KNOCK_LIMIT).close()
        except (OSError, ValueError, OverflowError):
            return False
        return True

    def _status(self) -> int:
        """With which status the server answers when it is asked once more; 0 where that is not known."""
        try:
            if self._address.scheme.startswith("http"):
                return _http_status(self._url)
            status = _rtsp_status(self._address, self._url)
        except (OSError, ValueError, HTTPException):
            return 0
        # It was asked without the password that the address may hold, which FFmpeg was not refused.
        return 0 if status == 401 else status

    def _why(self, error: Exception) -> SourceError:
        """Why nothing was opened, as well as can be found out."""
        import av

        address = self._address
        if isinstance(error, (av.error.ExitError, TimeoutError)):
            return UnreachableError(f"{self.name} does not answer in time: check the address and the network")
        if trouble := _reach(address):
            return UnreachableError(trouble)
        if address.scheme in TLS and (trouble := _tls_trouble(address, self._settings)):
            return FinalError(trouble)
        if refusal := _refusal(self.name, _STATUS_OF_ERRORS.get(type(error).__name__) or self._status()):
            return refusal
        if isinstance(error, av.error.DecoderNotFoundError):
            return FinalError(f"{self.name} sends a kind of video that cannot be read: choose H.264 or MJPEG there")
        return SourceError(
            f"{self.name} does not answer with a video: check the address, the network, user name and password"
        )


class AvConnection:
    """See :class:`Connection`.

    Args:
        container: open; closed with the connection.
        name: for people.

    Raises:
        FinalError: there is no video in it.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, container: InputContainer, name: str) -> None:
        if not container.streams.video:
            raise FinalError(f"{name} sends no video: check the path behind the host")
        self._container = container
        self._stream: VideoStream = container.streams.video[0]
        self._stream.thread_type = "SLICE"  # threads that share frames out among them hold each back
        self._name = name
        codec = self._stream.codec_context
        self._lost = LossDetector(codec.extradata) if codec.name == "h264" else None
        self._timed = container.format.name not in UNTIMED
        self._clock = CaptureClock()
        self._shots = self._all_shots()
        self.undecodable = 0
        self.pause = SEGMENT_SECONDS if container.format.name in SEGMENTED else 0.0
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if self._timed and rate and 0 < rate < MOST_FPS else None

    def read(self) -> Shot:
        """See :class:`Connection`."""
        return next(self._shots)

    def close(self) -> None:
        """See :class:`Connection`."""
        self._shots.close()  # it and this object hold each other, and with them what the decoder has allocated
        self._container.close()

    def _all_shots(self) -> Generator[Shot, None, None]:
        import av

        try:
            for packet in self._container.demux(self._stream):
                arrival = time.perf_counter()
                if packet.size == 0:
                    break
                if self._timed and packet.pts is not None and packet.time_base is not None:
                    self._clock.arrived(arrival, float(packet.pts * packet.time_base), _sender_time(packet))
                else:
                    self._clock.arrived(arrival, None)
                if packet.is_corrupt or (self._lost is not None and self._lost(bytes(packet))):
                    self._begin_anew()
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self._begin_anew()
                    continue
                if any(frame.is_corrupt for frame in frames):
                    self._begin_anew()
                    continue
                for frame in frames:
                    yield self._shot(frame, arrival)
        except av.error.ExitError:
            raise StreamEndedError(f"{self._name} has stalled", "stalled") from None
        except av.error.InvalidDataError:
            raise StreamEndedError(f"{self._name} sends no pictures", "garbage") from None
        except (av.error.FFmpegError, OSError):
            pass
        raise StreamEndedError(f"{self._name} has ended", "ended")

    def _begin_anew(self) -> None:
        """After a loss, which FFmpeg would smear over all that refers to what was lost.

        Without its memory it gives no picture before one that stands for itself, or was refreshed part by part.
        """
        self.undecodable += 1
        self._stream.codec_context.flush_buffers()

    def _shot(self, frame: VideoFrame, arrival: float) -> Shot:
        if trouble := size_trouble(frame.height, frame.width):
            raise FinalError(f"{self._name} {trouble}")
        image = np.ascontiguousarray(frame.to_ndarray(format="bgr24"), np.uint8)
        stream_time = frame.time if self._timed and frame.pts is not None else None
        return Shot(image, arrival, self._clock.stamp(arrival, stream_time))


def _sender_time(packet: Any) -> float | None:
    """When the sender says that a packet was taken, by its RTCP reports; seconds since the epoch."""
    try:
        if not packet.has_sidedata("prft"):
            return None
        (microseconds,) = struct.unpack_from("<q", bytes(packet.get_sidedata("prft")))
    except (AttributeError, ValueError, struct.error):  # a PyAV that does not know it
        return None
    return float(microseconds) / 1e6


def _place(address: Address) -> tuple[str, int] | None:
    """Where a connection can be tried beforehand; None where that tells nothing, as behind a proxy."""
    through_proxy = bool(urllib.request.getproxies()) and address.scheme.startswith("http")
    if address.scheme not in REACHED or through_proxy or address.host is None or address.port is None:
        return None
    return address.host, address.port


def _reach(address: Address) -> str:
    """Why the computer itself is not reached; empty where it is, or nothing can be said."""
    place = _place(address)
    if place is None:
        return ""
    try:
        socket.create_connection(place, timeout=REACH_SECONDS).close()
    except socket.gaierror:
        return f"{address.shown}: no computer of that name is known here: check it and the network"
    except ConnectionRefusedError:
        return f"{address.shown} does not answer: its computer refuses port {address.port}, check the port"
    except (OSError, ValueError, OverflowError):
        return f"{address.shown} does not answer: check the address and the network"
    return ""


def _tls_trouble(address: Address, settings: NetworkSettings) -> str:
    """What is wrong with a server's certificate; empty where nothing is."""
    if address.host is None or address.port is None:
        return ""
    try:
        own = None if settings.trust in (None, "any") else str(expanded(settings.trust))
        context = ssl.create_default_context(cafile=own)
        if settings.trust == "any":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    except (OSError, ssl.SSLError):
        return f"{settings.trust} holds no certificate that can be read: give a PEM file"
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=REACH_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        kind = "is self-signed" if error.verify_code in (18, 19) else f"is not trusted ({error.verify_message})"
        return (
            f"{address.shown}: its certificate {kind}: `openssl s_client -connect HOST:{address.port} -showcerts "
            "</dev/null | openssl x509 >camera.pem` fetches it, then add --tls-trust camera.pem; "
            "or --tls-trust any, which takes whoever answers for the camera"
        )
    except ssl.SSLError:
        return (
            f"{address.shown} does not speak TLS on port {address.port}: check it, or leave the s of {address.scheme}"
        )
    except (OSError, ValueError):
        return ""


_STATUS_OF_ERRORS = {
    "HTTPBadRequestError": 400,
    "HTTPUnauthorizedError": 401,
    "HTTPForbiddenError": 403,
    "HTTPNotFoundError": 404,
    "HTTPTooManyRequestsError": 429,
}
"""PyAV's errors that stand for one status each; others stand for several."""


def _refusal(name: str, status: int) -> SourceError | None:
    """What a server means by a status; None where it did not refuse."""
    if status < 400:
        return None
    said = REFUSALS.get(status) or (
        f"refuses (status {status}): check the address"
        if status < 500
        else f"fails itself (status {status}): try again later, or start it again"
    )
    kind = FinalError if status in WRONG else UnknownPathError if status in UNKNOWN else SourceError
    return kind(f"{name} {said}")


def _http_status(url: str) -> int:
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, _, host = authority.rpartition("@")
    request = urllib.request.Request(f"{scheme}://{host}{rest[len(authority) :]}")
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
