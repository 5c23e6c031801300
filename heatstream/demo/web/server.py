"""The server of the live page: skeletons by WebSocket, the picture behind as JPEG, figures for people and Prometheus.

::

    write(result), the recorder's thread ──▶ one message, one picture for all ──▶ the server's thread
                                                                                  pages: the newest, so a slow one skips
                                                                                  readers: all, the latest of them kept

A page is a browser that answers what it has drawn; a reader is a program that wants every result. A connection that
takes nothing waits in a task of its own; the run never waits for anybody.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import math
import re
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.demo.web.guard import COOKIE, Guard, is_loopback
from heatstream.errors import InputError, SinkError
from heatstream.extras import require
from heatstream.results import Result
from heatstream.runtime.smoothing import Smoother
from heatstream.runtime.threads import start_thread

__all__ = ["MOST_VIEWERS", "WebSink"]

MOST_VIEWERS = 32
START_SECONDS = 10.0
STALLED_SECONDS = 5.0
"""Without a result for so long the run counts as stalled."""
HEALTH_SECONDS = 1.0
MOST_UNANSWERED = 2  # results on their way to a viewer that answers each, as the page does
PAGE_SECONDS = 1 / 30
"""Between two results of a page: what is drawn oftener costs the run more than it shows."""
MOST_WAITING = 64  # events of a viewer, and results of a reader, that does not keep up
SEND_BUFFER = 1 << 17  # bytes; the system's own choice lets megabytes of old results wait for a slow viewer
LONGEST_SIDE = 960  # px of the picture behind
JPEG_QUALITY = 75
TRY_LATER = 1013  # a WebSocket's close code
GOING_AWAY = 1001


class WebSink:
    """Serves the live page while results come; people on it are smooth, as in the window.

    Args:
        header: of :func:`heatstream.messages.header_message`.
        host: address to listen on; another one than this machine's own needs a token.
        port: to listen on; 0 for any free one.
        token: what viewers must know.
        picture_fps: how many pictures per second lie behind the skeletons; 0 for none, and no pixel is sent then.
        health: gives a health message, on any thread; it is asked once a second, whether results come or not, and when
            Prometheus asks.
        most_viewers: further ones are told to come later.

    Raises:
        MissingExtraError: the libraries of the extra ``web`` are not installed.
        InputError: others could look in without a token.
        SinkError: the address cannot be listened on.
    """

    def __init__(
        self,
        header: Mapping[str, Any],
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        picture_fps: float = 10.0,
        health: Callable[[], dict[str, Any]],
        most_viewers: int = MOST_VIEWERS,
    ) -> None:
        if token is None and not is_loopback(host):
            raise InputError(
                f"everybody who reaches {host} could look in: add --token, for example {secrets.token_urlsafe(12)}"
            )
        if token is not None and not re.fullmatch(r"[\w.~-]{8,128}", token, re.ASCII):
            raise InputError("--token is not fit for an address: take 8 to 128 letters, digits, '-', '_', '.' or '~'")
        uvicorn = require("uvicorn", extra="web", purpose="the live page")
        for library in ("starlette", "websockets", "prometheus_client"):
            require(library, extra="web", purpose="the live page")
        self._header = json.dumps({**header, "pictures": picture_fps > 0})
        self._picture_seconds = 1 / picture_fps if picture_fps else None
        self._health = health
        self._most_viewers = most_viewers
        self._guard = Guard(token)
        self._smoothers: dict[int, Smoother] = {}  # by source
        self._pages: set[_Viewer] = set()
        self._readers: set[_Viewer] = set()
        self._page_times: dict[int, float] = {}  # time.monotonic() of the latest result for pages, by source
        self._picture_times: dict[int, float] = {}  # the same of pictures
        self._result_time: float | None = None  # time.monotonic() of the newest result
        self._people: dict[int, int] = {}  # in the newest result, by source
        self._page, self._policy = _page()
        listening = _listen(host, port)
        self.port: int = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.port}/" + ("" if token is None else f"?token={token}")
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                log_config=None,
                access_log=False,
                server_header=False,
                ws="websockets-sansio",
                ws_max_size=1024,  # viewers have nothing to say
                ws_per_message_deflate=False,  # it would cost more time than a local network saves
                ws_ping_timeout=60,
                timeout_graceful_shutdown=1,
                lifespan="off",
            )
        )
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # who is refused is no news for the terminal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = start_thread("web", lambda: self._serve(listening), stop=self._stop)
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise SinkError(f"the live page cannot be served on {host}:{port}: choose another --web-address")
            time.sleep(0.01)

    def write(self, result: Result) -> None:
        """Hand the newest result to all viewers; it waits for none of them."""
        now = time.monotonic()
        self._result_time = now
        source = result.source or 0
        self._people[source] = len(result.poses)
        shown = None
        if self._pages and (result.gap is not None or self._is_due(self._page_times, source, now, PAGE_SECONDS)):
            smoother = self._smoothers.setdefault(source, Smoother())
            shown = replace(result, poses=smoother(result.poses, result.capture_time)).to_json()
        text = result.to_json() if self._readers else None
        picture = None
        wanted = self._picture_seconds if result.frame.size and (self._pages or self._readers) else None
        if wanted is not None and self._is_due(self._picture_times, source, now, wanted):
            picture = struct.pack("<I", source) + _jpeg(result.frame)
        events = [event.to_json() for event in result.events or ()]
        if self._loop is not None and (shown or text or picture or events):
            with contextlib.suppress(RuntimeError):  # the server has just ended
                self._loop.call_soon_threadsafe(self._offer, source, shown, text, picture, events)

    @staticmethod
    def _is_due(times: dict[int, float], source: int, now: float, seconds: float) -> bool:
        """Whether it is time for the next of a source; then its time is kept."""
        if now - times.get(source, -math.inf) < 0.9 * seconds:  # a tenth early is in time: frames jitter
            return False
        times[source] = now
        return True

    def close(self) -> Path | None:
        """Let the viewers go; harmless when repeated."""
        self._stop()
        self._thread.join()
        return None

    def _stop(self) -> None:
        self._server.should_exit = True

    def _serve(self, listening: socket.socket) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            telling = asyncio.create_task(self._tell_health())
            await self._server.serve(sockets=[listening])
            telling.cancel()

        with listening:
            asyncio.run(main())

    async def _tell_health(self) -> None:
        """On the server's thread: while a camera is lost its state is all there is to see."""
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            if self._viewer_count():
                message = json.dumps(await asyncio.to_thread(self._health))
                for viewer in (*self._pages, *self._readers):
                    viewer.tell(message)

    def _offer(
        self, source: int, shown: str | None, text: str | None, picture: bytes | None, events: list[str]
    ) -> None:
        """On the server's thread: put the newest into every viewer's slots."""
        for viewers, message in ((self._pages, shown), (self._readers, text)):
            for viewer in viewers:
                viewer.offer(source, message, picture, events)

    def _app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        return Starlette(
            routes=[
                Route("/", self._get_page),
                Route("/health", self._get_health),
                Route("/metrics", self._get_metrics),
                WebSocketRoute("/ws", self._view),
            ]
        )

    def _refusal(self, connection: Any) -> tuple[int, str] | None:
        """Of an HTTP request or a WebSocket; the token comes in the address, a cookie, or as Prometheus sends it."""
        bearer = connection.headers.get("authorization", "")
        token = (
            connection.query_params.get("token")
            or connection.cookies.get(COOKIE)
            or (bearer[7:] if bearer.lower().startswith("bearer ") else None)
        )
        address = connection.client.host if connection.client is not None else ""
        return self._guard.refusal(address, connection.headers, token=token)

    async def _get_page(self, request: Any) -> Any:
        from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

        refusal = self._refusal(request)
        if refusal is not None:
            return PlainTextResponse(refusal[1], refusal[0])
        token = request.query_params.get("token")
        if token is not None:  # it goes into a cookie and out of the address, which people copy
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=request.url.scheme == "https")
            return response
        return HTMLResponse(
            self._page,
            headers={
                "content-security-policy": self._policy,
                "cache-control": "no-store",
                "referrer-policy": "no-referrer",
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
            },
        )

    async def _get_health(self, request: Any) -> Any:
        from starlette.responses import JSONResponse, PlainTextResponse

        refusal = self._refusal(request)
        if refusal is not None:
            return PlainTextResponse(refusal[1], refusal[0])
        age = None if self._result_time is None else time.monotonic() - self._result_time
        stalled = age is None or age > STALLED_SECONDS
        health = await asyncio.to_thread(self._health)
        status = "stalled" if stalled else "ok"
        return JSONResponse({"status": status, "seconds_since_result": age, **health}, 503 if stalled else 200)

    async def _get_metrics(self, request: Any) -> Any:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from starlette.responses import PlainTextResponse, Response

        refusal = self._refusal(request)
        if refusal is not None:
            return PlainTextResponse(refusal[1], refusal[0])
        registry = CollectorRegistry()
        registry.register(
            _Collector(await asyncio.to_thread(self._health), sum(self._people.values()), self._viewer_count())
        )
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def _view(self, connection: Any) -> None:
        """A viewer, from the handshake to the end."""
        from starlette.responses import PlainTextResponse
        from starlette.websockets import WebSocketDisconnect

        refusal = self._refusal(connection)
        if refusal is not None:
            await connection.send_denial_response(PlainTextResponse(refusal[1], refusal[0]))
            return
        await connection.accept()
        if self._viewer_count() >= self._most_viewers:
            await connection.close(TRY_LATER, f"{self._most_viewers} viewers are here already")
            return
        answers = connection.query_params.get("answers") == "1"
        viewer = _Viewer(answers=answers)
        viewers = self._pages if answers else self._readers
        viewers.add(viewer)
        sending = asyncio.create_task(viewer.send(connection, self._header))
        try:
            while True:
                await connection.receive_text()  # an answer to a result; this is how its end is noticed, too
                viewer.answered()
        except (WebSocketDisconnect, KeyError):
            pass
        finally:
            viewers.discard(viewer)
            sending.cancel()

    def _viewer_count(self) -> int:
        return len(self._pages) + len(self._readers)


class _Viewer:
    """What waits to be sent to one viewer: the latest events, health, of every source the newest picture, and results.

    Args:
        answers: a page, which answers every result: the newest of every source waits for it. Else the latest results
            wait, in order, so that a reader that keeps up gets all.
    """

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._unanswered = asyncio.Semaphore(MOST_UNANSWERED)
        self._slots: dict[str, str | bytes] = {}
        self._results: deque[str] = deque(maxlen=MOST_WAITING)
        self._events: deque[str] = deque(maxlen=MOST_WAITING)
        self._filled = asyncio.Event()

    def answered(self) -> None:
        """A result has been drawn: there is room for another."""
        self._unanswered.release()

    def tell(self, health: str) -> None:
        """The newest health message."""
        self._slots["health"] = health
        self._filled.set()

    def offer(self, source: int, text: str | None, picture: bytes | None, events: list[str]) -> None:
        """What a frame brought, as far as it is for this viewer."""
        self._events.extend(events)
        if text is not None and not self._answers:
            self._results.append(text)
            text = None
        for name, value in ((f"result {source}", text), (f"picture {source}", picture)):
            if value is not None:
                self._slots[name] = value
        self._filled.set()

    async def send(self, connection: Any, header: str) -> None:
        from starlette.websockets import WebSocketDisconnect

        try:
            await connection.send_text(header)
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._events or self._results or self._slots:
                    if self._events:
                        await connection.send_text(self._events.popleft())
                    elif self._results:
                        await connection.send_text(self._results.popleft())
                    else:
                        await self._send_slot(connection)
        except (WebSocketDisconnect, RuntimeError):  # it went away; the receiving side ends the viewer
            return

    async def _send_slot(self, connection: Any) -> None:
        name = next(iter(self._slots))
        if name.startswith("result"):
            await self._unanswered.acquire()  # buffers on the way would make results old
        value = self._slots.pop(name)
        if isinstance(value, bytes):
            await connection.send_bytes(value)
        else:
            await connection.send_text(value)


class _Collector:
    """The figures as Prometheus takes them, read when it asks."""

    def __init__(self, health: Mapping[str, Any], people: int, viewers: int) -> None:
        self._health = health
        self._people = people
        self._viewers = viewers

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        health = self._health
        yield CounterMetricFamily("heatstream_frames", "Results so far.", health["frames"])
        yield CounterMetricFamily("heatstream_dropped_frames", "Frames dropped so far.", health["dropped"])
        yield GaugeMetricFamily("heatstream_fps", "Results per second since the start.", health["fps"])
        yield GaugeMetricFamily("heatstream_people", "People in the newest result.", self._people)
        yield GaugeMetricFamily("heatstream_viewers", "Viewers of the live page.", self._viewers)
        awake = GaugeMetricFamily("heatstream_source_awake", "1 while frames come from it.", labels=("source",))
        gaps = CounterMetricFamily("heatstream_source_gaps", "How often its frames stopped coming.", labels=("source",))
        for number, source in enumerate(health["sources"]):
            labels = (f"{number} {source['name']}",)  # two may have the same name
            awake.add_metric(labels, source["state"] == "awake")
            gaps.add_metric(labels, source["gaps"])
        yield awake
        yield gaps
        stages = GaugeMetricFamily(
            "heatstream_stage_seconds", "What a stage takes, over the latest frames.", labels=("stage", "quantile")
        )
        for name, stage in health["stages"].items():
            stages.add_metric((name, "0.5"), stage["p50"])
            stages.add_metric((name, "0.99"), stage["p99"])
        yield stages


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)  # asyncio sets TCP_NODELAY on what it knows to be TCP alone
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # of all connections that come in
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SinkError(
            f"the live page cannot be served on {host}:{port} ({reason}): choose another --web-address"
        ) from None
    return listening


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    times = -(-max(frame.shape[:2]) // LONGEST_SIDE)
    if times > 1:  # a whole number: 20 times as fast as others
        size = (max(1, frame.shape[1] // times), max(1, frame.shape[0] // times))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data.tobytes())


def _page() -> tuple[str, str]:
    """The page, and what it may do: run its own script and style, and talk to where it came from."""
    text = files("heatstream.demo.web").joinpath("page.html").read_text(encoding="utf-8")
    hashes = {
        tag: base64.b64encode(hashlib.sha256(re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)[0].encode()).digest())
        for tag in ("script", "style")
    }
    policy = "; ".join(
        [
            "default-src 'none'",
            *(f"{tag}-src 'sha256-{digest.decode()}'" for tag, digest in hashes.items()),
            "connect-src 'self'",
            "img-src 'self' blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    return text, policy
