"""The live page's server: what viewers, Prometheus and strangers get, and that no viewer slows the run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from heatstream.demo.web import server
from heatstream.demo.web.server import WebSink
from heatstream.errors import InputError, SinkError
from heatstream.results import Event, Gap
from heatstream.runtime.health import SourceHealth, health_message
from heatstream.runtime.timing import StageStats, StreamSummary
from tests.fakes.messages import HEADER, check_message
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.ports import free_port
from tests.fakes.runtime import result

SOURCES = (
    SourceHealth("door", "awake", 10, 25.0, 9, {"newer": 1}, 0.01, 0, 0, "", None),
    SourceHealth("yard", "asleep", 5, 0.0, 3, {"newer": 2}, 12.0, 1, 0, "", None),
)


def health() -> dict[str, Any]:
    return health_message(StreamSummary(12, 3, 1.0, 12.0, {"network": StageStats(0.01, 0.02)}), SOURCES)


@contextmanager
def serving(**options: Any) -> Iterator[WebSink]:
    sink = WebSink(HEADER, **{"port": 0, "health": health, **options})
    try:
        yield sink
    finally:
        sink.close()
        sink.close()


def get(sink: WebSink, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    request = Request(f"http://127.0.0.1:{sink.port}/{path}", headers=headers)
    try:
        with urlopen(request, timeout=HANG_SECONDS) as answer:
            return answer.status, answer.read().decode(), {name.lower(): v for name, v in answer.headers.items()}
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def view(sink: WebSink, query: str = "", **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{sink.port}/ws{query}", open_timeout=HANG_SECONDS, **options)


def test_a_viewer_gets_the_header_then_results_pictures_events_and_health() -> None:
    event = Event("enter", "door", 1, 1, 0.04, (1.0, 2.0))
    with serving() as sink, view(sink) as viewer:
        header = json.loads(viewer.recv(timeout=HANG_SECONDS))
        check_message(header)
        assert header == {**HEADER, "pictures": True}
        sink.write(replace(result(1, time=0.04), events=(event,)))
        texts, pictures = {}, []
        while len(texts) < 3 or not pictures:
            message = viewer.recv(timeout=HANG_SECONDS)
            if isinstance(message, bytes):
                pictures.append(message)
            else:
                texts[json.loads(message)["type"]] = json.loads(message)
        for message in texts.values():
            check_message(message)
        assert texts["result"]["frame_index"] == 1
        assert texts["event"] == event.to_dict()
        assert texts["health"] == health()
        (picture,) = pictures
        assert picture[:6] == b"\0\0\0\0\xff\xd8"


def test_viewers_are_told_how_the_cameras_are_while_no_result_comes() -> None:
    with serving() as sink, view(sink) as viewer:
        assert json.loads(viewer.recv(timeout=HANG_SECONDS))["type"] == "header"
        message = json.loads(viewer.recv(timeout=HANG_SECONDS))
        check_message(message)
        assert [(source["name"], source["state"]) for source in message["sources"]] == [
            ("door", "awake"),
            ("yard", "asleep"),
        ]


def test_without_pictures_no_pixel_is_sent() -> None:
    with serving(picture_fps=0) as sink, view(sink) as viewer:
        assert json.loads(viewer.recv(timeout=HANG_SECONDS))["pictures"] is False
        for number in range(5):
            sink.write(result(number))
        got = []
        while not got or json.loads(got[-1]).get("frame_index") != 4:
            got.append(viewer.recv(timeout=HANG_SECONDS))
        assert all(isinstance(message, str) for message in got)


def test_a_reader_that_does_not_keep_up_gets_the_latest() -> None:
    """It takes nothing while results of some megabytes go by: only the latest wait for it, and the run goes on."""
    big = result(0)
    poses = replace(
        big.poses,
        keypoints=np.tile(big.poses.keypoints, (200, 1, 1)),
        keypoint_scores=np.tile(big.poses.keypoint_scores, (200, 1)),
        scores=np.tile(big.poses.scores, 200),
        ids=np.arange(200),
    )
    with serving(picture_fps=0) as sink, view(sink) as viewer:
        viewer.recv(timeout=HANG_SECONDS)
        for number in range(150):
            sink.write(replace(big, poses=poses, frame_index=number))
        found = []
        while not found or found[-1] != 149:
            message = json.loads(viewer.recv(timeout=HANG_SECONDS))
            if message["type"] == "result":
                found.append(message["frame_index"])
        assert found == sorted(set(found))
        assert len(found) < 150, "it was to skip some"


def test_a_page_gets_no_more_than_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that come faster than it draws are left out, but never one that tells of a gap, or an event."""
    monkeypatch.setattr(server, "PAGE_SECONDS", 1000.0)
    event = Event("enter", "door", 1, 1, 0.04, (1.0, 2.0))
    with serving(picture_fps=0) as sink, view(sink, "?answers=1") as viewer:
        viewer.recv(timeout=HANG_SECONDS)
        got = []
        for number in range(10):
            gap = Gap(2.5, "stalled", over=True) if number == 9 else None
            sink.write(replace(result(number), gap=gap, events=(event,) if number == 5 else ()))
            while number in (0, 9) and (not got or got[-1].get("frame_index") != number):
                got.append(json.loads(viewer.recv(timeout=HANG_SECONDS)))
        assert [message["frame_index"] for message in got if message["type"] == "result"] == [0, 9]
        assert [message for message in got if message["type"] == "event"] == [event.to_dict()]


def test_a_page_that_answers_has_two_results_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in buffers between would make results old; so the page answers, and gets the newest then."""
    monkeypatch.setattr(server, "PAGE_SECONDS", 0.0)
    with serving(picture_fps=0) as sink, view(sink, "?answers=1") as viewer:
        viewer.recv(timeout=HANG_SECONDS)

        def index() -> int:
            while (message := json.loads(viewer.recv(timeout=HANG_SECONDS)))["type"] != "result":
                pass
            return int(message["frame_index"])

        for number in range(2):
            sink.write(result(number))
            assert index() == number
        for number in range(2, 50):
            sink.write(result(number))
        viewer.send("1")
        assert index() == 49


def test_nothing_waits_for_an_acknowledgement_of_what_was_sent_before() -> None:
    """asyncio switches Nagle's algorithm off where the socket says TCP; else a result waits 40 ms behind a picture."""
    port = free_port()
    with server._listen("127.0.0.1", port) as listening, socket.create_connection(("127.0.0.1", port)):
        connection, _ = listening.accept()
        with connection:
            assert connection.proto == socket.IPPROTO_TCP


def test_viewers_beyond_the_most_are_told_to_come_later() -> None:
    with serving(most_viewers=1) as sink, view(sink) as first:
        first.recv(timeout=HANG_SECONDS)
        with view(sink) as second, pytest.raises(ConnectionClosed) as closed:
            second.recv(timeout=HANG_SECONDS)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "1 viewers are here already")


def test_strangers_are_refused() -> None:
    with serving() as sink:
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert get(sink, "", **headers)[0] == 403
        evil = {"Origin": "http://evil.example"}
        with pytest.raises(InvalidStatus) as refused, view(sink, additional_headers=evil):
            pass
        assert refused.value.response.status_code == 403
        with view(sink, additional_headers={"Origin": f"http://127.0.0.1:{sink.port}"}) as viewer:
            assert viewer.recv(timeout=HANG_SECONDS)
        assert get(sink, "nowhere")[0] == 404
        assert get(sink, "../server.py")[0] == 404


def test_a_token_opens_everything_and_leaves_the_address() -> None:
    with serving(token="a-secret-token") as sink:
        assert sink.address == f"http://127.0.0.1:{sink.port}/?token=a-secret-token"
        for path in ("", "metrics", "health", "?token=wrong"):
            assert get(sink, path)[0] == 401
        for query in ("", "?token=wrong"):
            with pytest.raises(InvalidStatus) as refused, view(sink, query):
                pass
            assert refused.value.response.status_code == 401
        with view(sink, "?token=a-secret-token") as viewer:
            assert viewer.recv(timeout=HANG_SECONDS)
        connection = socket.create_connection(("127.0.0.1", sink.port), timeout=HANG_SECONDS)
        connection.sendall(b"GET /?token=a-secret-token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode().lower()
        connection.close()
        assert "303" in answer.splitlines()[0]
        assert "location: /\r\n" in answer
        assert "heatstream_token=a-secret-token; httponly; path=/; samesite=strict" in answer
        assert get(sink, "", Cookie="heatstream_token=a-secret-token")[0] == 200
        assert get(sink, "metrics", Authorization="Bearer a-secret-token")[0] == 200
        assert "a-secret-token" not in get(sink, "", Cookie="heatstream_token=a-secret-token")[1]


def test_the_page_runs_its_own_script_alone() -> None:
    with serving() as sink:
        status, text, headers = get(sink, "")
        assert (status, headers["x-frame-options"]) == (200, "DENY")
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert "://" not in text.replace("${location.protocol", "").replace('"}://$', ""), "nothing from elsewhere"


def test_figures_for_prometheus_and_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as sink:
        status, text, _ = get(sink, "health")
        assert (status, json.loads(text)["status"]) == (503, "stalled")  # nothing has come yet
        sink.write(result(0))
        status, text, _ = get(sink, "health")
        assert (status, json.loads(text)["status"], json.loads(text)["frames"]) == (200, "ok", 12)
        status, text, headers = get(sink, "metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain")
        for line in (
            "heatstream_frames_total 12.0",
            "heatstream_dropped_frames_total 3.0",
            "heatstream_people 1.0",
            'heatstream_stage_seconds{quantile="0.99",stage="network"} 0.02',
            'heatstream_source_awake{source="0 door"} 1.0',
            'heatstream_source_awake{source="1 yard"} 0.0',
            'heatstream_source_gaps_total{source="1 yard"} 1.0',
        ):
            assert line in text.splitlines()
        monkeypatch.setattr(server, "STALLED_SECONDS", 0.0)
        assert get(sink, "health")[0] == 503


def test_what_cannot_be_served_is_told() -> None:
    with pytest.raises(InputError, match="could look in: add --token"):
        WebSink(HEADER, host="0.0.0.0", health=health)
    with pytest.raises(InputError, match="--token is not fit"):
        WebSink(HEADER, token="short", health=health)
    with serving() as sink, pytest.raises(SinkError, match="choose another --web-address"):
        WebSink(HEADER, port=sink.port, health=health)
    with pytest.raises(SinkError, match="choose another --web-address"):
        WebSink(HEADER, host="256.1.1.1", token="a-secret-token", health=health)
