"""Who gets what a run sends, one for every kind of output: all that comes is kept."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.fakes.patience import HANG_SECONDS
from tests.fakes.ports import free_port

KEY = "camera/door"


@dataclass(frozen=True)
class Receivers:
    """Where a run sends to, and what came.

    Attributes:
        web, foxglove: ports that it is to serve.
        send: addresses to send to.
        came: by kind of output and topic, in order; JSON is decoded, pictures and all else stay as they came.
        wait: until all who must be connected before the first frame are.
    """

    web: int
    foxglove: int
    send: tuple[str, ...]
    came: dict[str, list[Any]]
    wait: Callable[[], None]


@contextmanager
def receivers(patch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    """Receivers of the page, Foxglove's view, MQTT, OSC and Zenoh, and stand-ins of Rerun and of a virtual camera."""
    import zenoh

    came: dict[str, list[Any]] = {}
    ready = {name: threading.Event() for name in ("web", "foxglove")}
    web, foxglove, osc, peer = free_port(), free_port(), free_port(socket.SOCK_DGRAM), free_port()

    def keep(name: str, data: bytes | str) -> None:
        came.setdefault(name, []).append(json.loads(data) if data[:1] in ("{", b"{") else data)

    def watch_page() -> None:
        with _client(f"ws://127.0.0.1:{web}/ws") as viewer:
            keep("web", viewer.recv())
            ready["web"].set()
            for message in viewer:
                keep("web picture" if isinstance(message, bytes) else "web", message)

    def watch_foxglove() -> None:
        with _client(f"ws://127.0.0.1:{foxglove}", subprotocols=["foxglove.sdk.v1"]) as app:
            topics: dict[int, str] = {}
            while not topics:
                message = json.loads(app.recv())
                topics = {channel["id"]: channel["topic"] for channel in message.get("channels", ())}
            wanted = [{"id": number, "channelId": number} for number in topics]
            app.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))
            app.ping().wait(HANG_SECONDS)  # it comes behind what was asked for
            ready["foxglove"].set()
            for data in app:
                if isinstance(data, bytes) and data[0] == 1:  # a message: the subscription and its time follow
                    _, number, _ = struct.unpack_from("<BIQ", data)
                    keep(f"foxglove{topics[number]}", data[struct.calcsize("<BIQ") :])

    with ExitStack() as stack:
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", osc))
        broker = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        config = zenoh.Config()
        config.insert_json5("listen/endpoints", json.dumps([f"tcp/127.0.0.1:{peer}"]))
        config.insert_json5("scouting/multicast/enabled", "false")
        session = stack.enter_context(zenoh.open(config))
        session.declare_subscriber(f"{KEY}/**", lambda sample: keep("zenoh", sample.payload.to_bytes()))
        patch.setitem(sys.modules, "rerun", _rerun(came))
        patch.setitem(sys.modules, "pyvirtualcam", _virtual_camera(came))
        works = (watch_page, watch_foxglove, lambda: _be_broker(broker, keep))
        threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in threads:
            thread.start()

        def wait() -> None:
            for event in ready.values():
                assert event.wait(HANG_SECONDS)
            deadline = time.monotonic() + HANG_SECONDS
            while not (replies := list(session.get(f"{KEY}/header"))):  # who answers knows who subscribes
                assert time.monotonic() < deadline
            keep("zenoh", replies[0].ok.payload.to_bytes())

        port = broker.getsockname()[1]
        send = (f"mqtt://127.0.0.1:{port}/{KEY}", f"osc://127.0.0.1:{osc}", f"zenoh://127.0.0.1:{peer}/{KEY}")
        yield Receivers(web, foxglove, send, came, wait)
        for thread in threads:
            thread.join(HANG_SECONDS)
            assert not thread.is_alive()
        datagrams.setblocking(False)
        try:
            while True:
                keep("osc", datagrams.recv(1 << 16))
        except BlockingIOError:
            pass


@contextmanager
def _client(address: str, **options: Any) -> Iterator[ClientConnection]:
    """A client of what is yet to be served, until it is closed."""
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        try:
            client = connect(address, max_size=None, **options)
            break
        except OSError:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
    with client, suppress(ConnectionClosed):
        yield client


def _be_broker(listening: socket.socket, keep: Callable[[str, bytes], None]) -> None:
    """Be as much of an MQTT broker as one publisher needs, until it leaves."""
    listening.settimeout(HANG_SECONDS)
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as stream:
        while kind := stream.read(1):
            size = shift = 0
            more = True
            while more:  # seven bits a byte, the lowest first
                byte = stream.read(1)[0]
                size |= (byte & 0x7F) << shift
                shift += 7
                more = byte >= 0x80
            packet = stream.read(size)
            if kind[0] >> 4 == 1:  # CONNECT
                connection.sendall(b"\x20\x02\0\0")
            elif kind[0] >> 4 == 3:  # PUBLISH
                begin = 2 + int.from_bytes(packet[:2], "big")
                answered = kind[0] >> 1 & 3
                keep(f"mqtt {packet[2:begin].decode()}", packet[begin + (2 if answered else 0) :])


def _rerun(came: dict[str, list[Any]]) -> SimpleNamespace:
    """A stand-in of rerun-sdk, which unpacks to 700 MB: all that it is handed is kept."""

    class RecordingStream:
        def __init__(self, name: str) -> None: ...

        def save(self, path: object) -> None: ...

        def flush(self) -> None: ...

        def disconnect(self) -> None: ...

        def set_time(self, name: str, **time: float) -> None:
            came.setdefault("rerun", []).append((name, time))

        def log(self, entity: str, value: object, *, static: bool = False) -> None:
            came.setdefault("rerun", []).append((entity, value))

    def part(name: str) -> Callable[..., Any]:
        return lambda *values, **named: (name, _plain(values), _plain(named))

    names = ("AnnotationContext", "ClassDescription", "AnnotationInfo", "Points2D", "Clear")
    return SimpleNamespace(RecordingStream=RecordingStream, **{name: part(name) for name in names})


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _virtual_camera(came: dict[str, list[Any]]) -> SimpleNamespace:
    """A stand-in of pyvirtualcam; a real camera needs a module of the kernel."""

    class Camera:
        def __init__(self, width: int, height: int, fps: float, *, fmt: object) -> None:
            self.width, self.height = width, height

        def send(self, picture: Any) -> None:
            came.setdefault("virtual camera", []).append(picture.copy())

        def close(self) -> None: ...

    return SimpleNamespace(Camera=Camera, PixelFormat=SimpleNamespace(BGR="bgr"))
