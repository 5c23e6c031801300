"""Downloads from a server of this test's own: what comes through whole, and what is said of everything else."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx", reason="httpx comes with the extra train")

from heatstream.errors import DownloadError, SinkError
from heatstream.models import download as module
from heatstream.models.download import download
from tests.fakes.patience import HANG_SECONDS

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """Answers every request by :attr:`answer`; :attr:`asked` are the requests' paths and ranges."""

    port: int = 0
    answer: Callable[[BaseHTTPRequestHandler, str], None] = lambda handler, begun: None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str = "/weights.pth") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            begun = self.headers.get("Range", "")
            state.asked.append((self.path, begun))
            state.answer(self, begun)
            self.close_connection = True

        def end_headers(self) -> None:
            self.send_header("Connection", "close")  # else the client's next request may meet the closing connection
            super().end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        state.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def whole(handler: BaseHTTPRequestHandler, begun: str, *, content: bytes = CONTENT, **headers: str) -> None:
    """The file, from where it was asked for."""
    start = int(begun.removeprefix("bytes=").rstrip("-")) if begun else 0
    handler.send_response(206 if begun else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.send_header("ETag", '"one"')
    if begun:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content[start:])


def cut(handler: BaseHTTPRequestHandler, begun: str, *, after: int = 300_000) -> None:
    """The file, whose connection breaks after so many bytes of it."""
    start = int(begun.removeprefix("bytes=").rstrip("-")) if begun else 0
    handler.send_response(206 if begun else 200)
    handler.send_header("Content-Length", str(len(CONTENT) - start))
    handler.send_header("ETag", '"one"')
    if begun:
        handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.end_headers()
    handler.wfile.write(CONTENT[start : start + after])


def code(number: int) -> Callable[[BaseHTTPRequestHandler, str], None]:
    def answer(handler: BaseHTTPRequestHandler, begun: str) -> None:
        handler.send_response(number)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def leads_to(place: str) -> Callable[[BaseHTTPRequestHandler, str], None]:
    def answer(handler: BaseHTTPRequestHandler, begun: str) -> None:
        if handler.path == "/file":
            whole(handler, begun)
            return
        handler.send_response(302)
        handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def nothing_is_left(folder: Path) -> bool:
    return not any(path.is_file() for path in folder.rglob("*"))


def test_a_file_arrives_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    server.answer = whole
    told: list[tuple[int, int | None]] = []
    path = tmp_path / "cache" / "weights.pth"
    for _ in range(2):
        got = download(
            server.url(), path, digest=f"sha256:{SHA256[:8]}", progress=lambda done, total: told.append((done, total))
        )
        assert got == path
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(server.asked) == 1
    assert [each.name for each in path.parent.iterdir()] == ["weights.pth"]
    path.write_bytes(b"damaged since")
    assert download(server.url(), path, digest=f"sha256:{SHA256}").read_bytes() == CONTENT


def test_a_cut_file_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.answer = cut
    path = download(server.url(), tmp_path / "weights.pth", digest=f"sha384:{hashlib.sha384(CONTENT).hexdigest()}")
    assert path.read_bytes() == CONTENT
    assert [begun for _, begun in server.asked] == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_what_one_command_leaves_the_next_one_takes_up(server: Server, tmp_path: Path) -> None:
    def first(handler: BaseHTTPRequestHandler, begun: str) -> None:
        cut(handler, begun, after=0 if begun else 300_000)

    server.answer = first
    path = tmp_path / "weights.pth"
    with pytest.raises(DownloadError, match=r"broke after 300,000 bytes .*: the same command goes on from there"):
        download(server.url(), path)
    assert not path.exists()
    server.answer = whole
    assert download(server.url(), path).read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=300000-"


@pytest.mark.parametrize("how", ["whole again", "another range", "no such range"])
def test_a_part_of_another_file_is_not_gone_on_with(server: Server, tmp_path: Path, how: str) -> None:
    path = tmp_path / "weights.pth"
    (tmp_path / "weights.pth.part").write_bytes(b"old" * 1000)
    (tmp_path / "weights.pth.part.version").write_text('"zero"')

    def answer(handler: BaseHTTPRequestHandler, begun: str) -> None:
        if not begun or how == "whole again":
            whole(handler, "")
        elif how == "no such range":
            code(416)(handler, begun)
        else:
            whole(handler, "bytes=5-")

    server.answer = answer
    if how == "whole again":
        assert download(server.url(), path).read_bytes() == CONTENT
    else:
        with pytest.raises(DownloadError):
            download(server.url(), path)
        assert nothing_is_left(tmp_path)
        assert download(server.url(), path).read_bytes() == CONTENT


def trickle(handler: BaseHTTPRequestHandler, begun: str) -> None:
    """Slow, and never silent for long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "8")
    handler.end_headers()
    for number in range(8):
        handler.wfile.write(bytes([number]))
        handler.wfile.flush()
        time.sleep(0.02)


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(server: Server, tmp_path: Path) -> None:
    server.answer = trickle
    assert download(server.url(), tmp_path / "slow", silence=HANG_SECONDS).read_bytes() == bytes(range(8))
    over = threading.Event()
    server.answer = lambda handler, begun: bool(over.wait(HANG_SECONDS)) or None
    try:
        with pytest.raises(DownloadError, match=r"127.0.0.1 does not answer: try again later"):
            download(server.url(), tmp_path / "silent", silence=0.1)
    finally:
        over.set()
    assert not (tmp_path / "silent").exists()


def test_redirects_are_followed_and_endless_ones_are_not(server: Server, tmp_path: Path) -> None:
    server.answer = leads_to("/file")
    assert download(server.url(), tmp_path / "a").read_bytes() == CONTENT
    server.answer = leads_to("/weights.pth")
    with pytest.raises(DownloadError, match="from address to address without end"):
        download(server.url(), tmp_path / "b")


def page(handler: BaseHTTPRequestHandler, begun: str) -> None:
    whole(handler, "", content=b"<!DOCTYPE html><title>Sign in</title>", Content_Type="text/html; charset=utf-8")


def bare_page(handler: BaseHTTPRequestHandler, begun: str) -> None:
    whole(handler, "", content=b"\n<html>Sign in</html>", Content_Type="application/octet-stream")


def endless(handler: BaseHTTPRequestHandler, begun: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "9" * 20)
    handler.end_headers()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page, "answers with a web page and not with the file"),
        (bare_page, "answers with a web page and not with the file"),
        (code(404), r"no file at http://127.0.0.1:\d+/weights.pth any more \(404\)"),
        (code(410), "no file at"),
        (code(403), r"refuses to give the file \(403\)"),
        (code(407), r"the proxy of this machine's settings refuses to give the file"),
        (code(500), "answers with the error 500"),
        (endless, "which no such file is"),
    ],
)
def test_what_is_not_the_file_is_told_in_one_sentence(
    server: Server, tmp_path: Path, answer: Callable[[BaseHTTPRequestHandler, str], None], told: str
) -> None:
    server.answer = answer
    with pytest.raises(DownloadError, match=told) as caught:
        download(server.url(), tmp_path / "weights.pth", digest=f"sha256:{SHA256}")
    assert "\n" not in str(caught.value)
    assert nothing_is_left(tmp_path)


def test_a_wrong_sum_keeps_nothing(server: Server, tmp_path: Path) -> None:
    server.answer = lambda handler, begun: whole(handler, begun, content=CONTENT[:-1] + b"!")
    with pytest.raises(DownloadError, match=rf"SHA256 \w{{16}}\.\.\., published is {SHA256[:8]}: it was damaged"):
        download(server.url(), tmp_path / "weights.pth", digest=f"sha256:{SHA256[:8]}")
    assert nothing_is_left(tmp_path)


def test_nobody_there_and_a_dead_proxy_are_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = whole
    with pytest.raises(DownloadError, match=r"nowhere\.invalid cannot be reached .*: check the network"):
        download("http://nowhere.invalid/weights.pth", tmp_path / "a")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{server.port}")
    assert download("http://nowhere.invalid/weights.pth", tmp_path / "b").read_bytes() == CONTENT
    assert server.asked[-1][0] == "http://nowhere.invalid/weights.pth"
    for address in ("ftp://user:secret@127.0.0.1:1", "http://user:secret/1@127.0.0.1:1", "http://user:secret#1@host:1"):
        monkeypatch.setenv("HTTP_PROXY", address)
        with pytest.raises(DownloadError, match="HTTPS_PROXY") as caught:
            download("http://nowhere.invalid/weights.pth", tmp_path / "c")
        assert "secret" not in str(caught.value)


def test_a_full_disk_is_told_before_and_in_the_middle(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = whole
    usage = module.shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
        with pytest.raises(SinkError, match="has no room for 1 MB"):
            download(server.url(), tmp_path / "weights.pth")
    assert nothing_is_left(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SinkError, match="no space left on device; make room"):
        download(server.url(), tmp_path / "weights.pth", progress=full)
    assert nothing_is_left(tmp_path)


def test_a_cache_that_cannot_be_written_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="set XDG_CACHE_HOME"):
        download(server.url(), tmp_path / "file" / "weights.pth")
