"""Streams over the network from servers in processes of their own: killed, stopped, resized, noise, refusals."""

from __future__ import annotations

import gc
import math
import signal
import socket
import ssl
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from heatstream.errors import InputError, SourceError
from heatstream.results import Gap
from heatstream.runtime.sources import Frame, NetworkSettings, live, network, open_source
from heatstream.runtime.sources.addresses import parse_address
from heatstream.runtime.sources.connection import FinalError, UnknownPathError
from heatstream.runtime.sources.live import Live, Patience
from heatstream.runtime.sources.network import REFUSALS, UNKNOWN, WRONG, AvConnection, NetworkConnector
from tests.fakes.clock_code import made_at
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.ports import free_port
from tests.fakes.refusing_server import refusing_server
from tests.fakes.video_server import has_rtsp_server, start
from tests.reconnect import Findings, Watched

STALL_SECONDS = (
    3.0  # longer than usual, so that a busy machine's hiccup is none; tests.reconnect measures the usual one
)

KINDS = [
    "mjpeg",
    "mpegts",
    pytest.param(
        "rtsp",
        marks=pytest.mark.skipif(
            not has_rtsp_server(), reason="needs gir1.2-gst-rtsp-server-1.0, python3-gi and GStreamer's x264enc"
        ),
    ),
]

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is given up for taking long on a busy machine, but silence."""
    monkeypatch.setattr(live, "Patience", partial(Patience, stall=STALL_SECONDS, opening=HANG_SECONDS))
    for name in ("OPEN_LIMIT", "READ_LIMIT", "REACH_SECONDS", "KNOCK_LIMIT", "DIAGNOSIS_SECONDS"):
        monkeypatch.setattr(network, name, HANG_SECONDS)


def url_of(kind: str, port: int) -> str:
    return f"{'rtsp' if kind == 'rtsp' else 'http'}://127.0.0.1:{port}/live"


@pytest.fixture
def serve() -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def begin(kind: str, port: int, **options: object) -> subprocess.Popen[str]:
        processes.append(start(kind, port, **options))  # type: ignore[arg-type]
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def checked(items: Iterator[Frame | Gap]) -> Iterator[Frame | Gap]:
    """The same items; every frame is one that the server made, later than the one before, and known to be so old."""
    latest = 0.0
    for item in items:
        if isinstance(item, Frame):
            made = made_at(item.image)
            assert made is not None, "a frame that nobody made"
            assert made > latest
            latest = made
            assert item.capture_monotonic is not None
            assert item.capture_monotonic >= made - 0.01
        yield item


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_comes_back_from_everything(kind: str, serve: Start) -> None:
    port = free_port()
    server = serve(kind, port)
    source = open_source(url_of(kind, port))
    items = checked(iter(source))
    for _ in range(20):
        assert isinstance(next(items), Frame)

    server.kill()
    server.wait()
    gap = next(item for item in items if isinstance(item, Gap))
    assert (gap.reason, gap.over) == ("ended", False)
    server = serve(kind, port, size=(480, 640))
    gap = next(items)  # type: ignore[assignment]
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.over) == ("ended", True)
    frame = next(items)
    assert isinstance(frame, Frame)
    assert frame.image.shape == (480, 640, 3)
    assert source.size == (480, 640)
    for _ in range(20):
        assert isinstance(next(items), Frame)

    server.send_signal(signal.SIGSTOP)
    gap = next(item for item in items if isinstance(item, Gap))
    assert (gap.reason, gap.over) == ("stalled", False)
    assert STALL_SECONDS <= gap.seconds < HANG_SECONDS
    server.send_signal(signal.SIGCONT)
    gap = next(items)  # type: ignore[assignment]
    assert isinstance(gap, Gap)
    assert gap.over
    assert isinstance(next(items), Frame)
    source.close()
    assert isinstance(source, Live)
    assert source.health().reconnects == 2


def test_noise_in_place_of_a_stream_is_waited_out(serve: Start) -> None:
    port = free_port()
    server = serve("mjpeg", port)
    source = open_source(url_of("mjpeg", port))
    items = checked(iter(source))
    for _ in range(5):
        next(items)
    server.kill()
    server.wait()
    server = serve("garbage", port)
    assert isinstance(next(item for item in items if isinstance(item, Gap)), Gap)
    threading.Timer(1.0, lambda: (server.kill(), server.wait(), serve("mjpeg", port))).start()
    gap = next(items)
    assert isinstance(gap, Gap)
    assert gap.over
    assert isinstance(next(items), Frame)
    source.close()


def test_a_dead_address_delays_no_other(serve: Start) -> None:
    port = free_port()
    serve("mjpeg", port)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        silent_port = silent.getsockname()[1]
        address = f"http://127.0.0.1:{silent_port}/live"

        def refused() -> None:
            with pytest.raises(SourceError, match=f"127.0.0.1:{silent_port}"):
                open_source(address)

        dead = threading.Thread(target=refused)
        dead.start()
        open_source(url_of("mjpeg", port)).close()
        assert dead.is_alive()
    dead.join(HANG_SECONDS)
    assert not dead.is_alive()


def test_an_address_that_is_dead_at_first_is_waited_for(serve: Start) -> None:
    port = free_port()
    source = open_source(url_of("mjpeg", port), wait=True)
    items = iter(source)
    gap = next(items)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.over) == ("absent", False)
    serve("mjpeg", port)
    gap = next(items)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.over) == ("absent", True)
    assert isinstance(next(items), Frame)
    source.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize("status", [*REFUSALS, 418, 599])
def test_every_refusal_has_its_sentence(scheme: str, status: int) -> None:
    with refusing_server(scheme, status) as url:
        address = parse_address(url)
        assert address is not None
        with pytest.raises(SourceError) as caught:
            NetworkConnector(url, address, NetworkSettings()).open()
    said = str(caught.value)
    assert REFUSALS.get(status, str(status)) in said
    assert "secret" not in said
    assert isinstance(caught.value, FinalError) == (status in WRONG or status in UNKNOWN)
    assert isinstance(caught.value, UnknownPathError) == (status in UNKNOWN)


def test_refusals_are_told_apart() -> None:
    assert len(set(REFUSALS.values())) == len(REFUSALS)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "camera.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    return path


def test_a_self_signed_certificate_is_named_and_may_be_trusted(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        if secure.recv(4096):
                            secure.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    continue

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/live"
        with pytest.raises(SourceError, match=r"its certificate is self-signed: .*--tls-trust camera.pem"):
            open_source(url)
        for trust in (certificate, "any"):
            with pytest.raises(SourceError, match=r"503|does not answer with a video"):
                open_source(url, network=NetworkSettings(trust=trust))
        server.shutdown(socket.SHUT_RDWR)


def test_settings_become_ffmpegs(tmp_path: Path) -> None:
    assert NetworkSettings().options("rtsp")["rtsp_transport"] == "tcp"
    options = NetworkSettings(transport="udp", latency=0.25, buffer=1_000_000).options("rtsp")
    assert (options["rtsp_transport"], options["max_delay"], options["buffer_size"]) == ("udp", "250000", "1000000")
    assert NetworkSettings().options("https")["tls_verify"] == "1"
    assert NetworkSettings(trust="any").options("rtsps")["tls_verify"] == "0"
    assert "rtsp_transport" not in NetworkSettings().options("http")


@pytest.mark.parametrize(
    "values", [{"transport": "sctp"}, {"latency": -1}, {"latency": 11}, {"buffer": 0}, {"trust": "/no/such.pem"}]
)
def test_impossible_settings(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        NetworkSettings(**values)  # type: ignore[arg-type]


def test_the_measurement_breaks_nothing_while_a_gap_is_open() -> None:
    """A gap that is told already is not told again, however long it is waited for."""
    items = iter([Gap(1.0, "stalled", over=False), Gap(2.0, "stalled", over=True)])
    watched = Watched(SimpleNamespace(with_gaps=lambda: items), Findings())  # type: ignore[arg-type]
    watched.next()
    watched.results_for(0.0)
    assert next(items, None) is None


class Container:
    """One of PyAV's with frames in it.

    Args:
        frames: how many; all come at once.
        decoding: what to do before each is decoded.
    """

    duration = None
    format = SimpleNamespace(name="rtsp")

    def __init__(self, frames: int = 1, decoding: Callable[[], object] = bool) -> None:
        codec = SimpleNamespace(name="mjpeg", extradata=None)
        self.streams = SimpleNamespace(
            video=[SimpleNamespace(average_rate=25, guessed_rate=25, thread_type="", codec_context=codec)]
        )
        self.all_came = threading.Event()
        self._frames = frames
        self._decoding = decoding

    def demux(self, stream: object) -> Iterator[SimpleNamespace]:
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")

        def decode() -> list[av.VideoFrame]:
            self._decoding()
            return [frame]

        for _ in range(self._frames):
            yield SimpleNamespace(size=1, pts=None, time_base=None, is_corrupt=False, is_keyframe=False, decode=decode)
        self.all_came.set()

    def close(self) -> None:
        pass


def test_pictures_are_stamped_when_they_come_however_long_decoding_takes() -> None:
    begun: list[float] = []

    def decoding() -> None:
        assert container.all_came.wait(HANG_SECONDS)  # what comes is taken while a picture is decoded
        begun.append(time.perf_counter())

    container = Container(5, decoding)
    connection = AvConnection(container, "camera")  # type: ignore[arg-type]
    shots = [connection.read() for _ in range(5)]
    connection.close()
    assert all(shot.arrival < begun[0] for shot in shots)
    assert [shot.arrival for shot in shots] == sorted(shot.arrival for shot in shots)


def test_decoding_that_is_behind_passes_pictures_over_to_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "time", SimpleNamespace(perf_counter=lambda: math.inf))
    container = Container(10)
    connection = AvConnection(container, "camera")  # type: ignore[arg-type]
    assert container.all_came.wait(HANG_SECONDS)
    shots = [connection.read() for _ in range(3)]
    # Three of four, and none behind which nothing newer waits.
    assert [shot.passed_over for shot in shots] == [3, 3, 1]
    connection.close()


def test_a_closed_connection_lets_go_of_its_decoder_at_once() -> None:
    """What FFmpeg has allocated is no concern of Python's garbage collector, which may be long in coming."""
    gc.disable()
    try:
        container = Container()
        gone = weakref.ref(container)
        connection = AvConnection(container, "camera")  # type: ignore[arg-type]
        assert connection.read().image.shape == (48, 64, 3)
        connection.close()
        del container, connection
        assert gone() is None
    finally:
        gc.enable()
