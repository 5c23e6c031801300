"""Addresses with secrets in them: 1,000 of them, and nothing of any secret in what is said."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from heatstream.demo.benchmark.frames import open_feed
from heatstream.demo.drawing.overlay import Overlay
from heatstream.demo.run_loop import RunOptions, run_job
from heatstream.errors import SourceError
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame, network, open_source, opencv
from heatstream.runtime.sources.addresses import PORTS, parse_address
from tests.fakes.refusing_server import refusing_server
from tests.fakes.runtime import FakeEngine

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ODD = "/?#[]@:&=%+!$'()*,;~ \"<>\\^`{|}-_."


def secret(rng: random.Random) -> str:
    """A password of pieces of six letters or more, each of which must never be seen, with odd characters between."""
    pieces = ["".join(rng.choices(LETTERS, k=rng.randint(6, 10))) for _ in range(rng.randint(1, 3))]
    return "".join(piece + "".join(rng.choices(ODD, k=rng.randint(0, 3))) for piece in pieces).rstrip()


def addresses(count: int) -> Iterator[tuple[str, str]]:
    """Texts with a secret in them, and the secret."""
    rng = random.Random(20261129)
    schemes = [*PORTS, "RTSP", "rstp", "mms", "concat", "srt"]
    forms = (
        "{scheme}://admin:{secret}@{host}/stream1",
        "{scheme}://{secret}@{host}/",
        "{scheme}://:{secret}@{host}",
        "{scheme}://admin:{secret}@{host}:8554/a@b/c",
        "{scheme}://{host}/user=admin&password={secret}&channel=1&stream=0.sdp?",
        "{scheme}://{host}/live/{secret}",
        "{scheme}://{host}/cam?user=admin&pwd={secret}",
        "{scheme}://{host}?streamid={secret}&passphrase={secret}",
        "{scheme}://{host}/a#{secret}",
        "{scheme}:admin:{secret}@{host}/stream",
        "{scheme}:/admin:{secret}@{host}/stream",
        "admin:{secret}@{host}/stream",
        "{scheme}://admin:{secret}",
        " '{scheme}://admin:{secret}@{host}'",
        "url={scheme}://admin:{secret}@{host}/*",
        "rtspsrc location={scheme}://{host}/ user-id=admin user-pw={secret} ! decodebin ! appsink",
        "souphttpsrc location={scheme}://admin:{secret}@{host}/ ! appsink",
        "{scheme}://admin:{secret}@[::1]:8554/stream",
        "{scheme}://[::1/{secret}",
    )
    for number in range(count):
        word = secret(rng)
        host = rng.choice(["camera.local", "192.168.1.20", "localhost:8554", "a-b.example"])
        form = forms[number % len(forms)]
        if form.endswith("{secret}") and "admin" in form:
            word = word.replace("@", "!")  # what stands behind the last one is a host, as far as anybody can tell
        yield form.format(scheme=rng.choice(schemes), secret=word, host=host), word


def pieces(word: str) -> list[str]:
    """The parts of a secret that would give it away: runs of six letters."""
    runs = "".join(letter if letter in LETTERS else " " for letter in word).split()
    return [run[at : at + 6] for run in runs for at in range(len(run) - 5)]


class Briefly:
    """A capture that gives a few frames, then none."""

    size = (48, 64)
    backend = 0

    def __init__(self, frames: int = 1) -> None:
        self.left = frames

    def read(self) -> np.ndarray | None:
        self.left -= 1
        return np.zeros((48, 64, 3), np.uint8) if self.left >= 0 else None

    def rate(self) -> float:
        return 25.0

    def property(self, number: int) -> float:
        return 0.0

    def close(self) -> None:
        pass


def _refuse(url: str) -> None:
    raise av.error.InvalidDataError(1094995529, "Invalid data found", url)


class BriefStream:
    """A container of PyAV with a few frames."""

    duration = None
    format = SimpleNamespace(name="rtsp")

    def __init__(self, frames: int = 1) -> None:
        self.frames = frames
        codec = SimpleNamespace(name="mjpeg")
        video = SimpleNamespace(average_rate=25, guessed_rate=25, thread_type="", codec_context=codec)
        self.streams = SimpleNamespace(video=[video])

    def demux(self, stream: object) -> Iterator[SimpleNamespace]:
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
        for _ in range(self.frames):
            yield SimpleNamespace(size=1, pts=None, time_base=None, is_corrupt=False, decode=lambda: [frame])

    def close(self) -> None:
        pass


@pytest.mark.parametrize("answers", [False, True])
def test_no_secret_of_a_thousand_addresses_is_said(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv.Capture, "open", lambda *arguments: Briefly() if answers else None)
    monkeypatch.setattr(opencv.cv2.videoio_registry, "hasBackend", lambda backend: True)
    monkeypatch.setattr(av, "open", lambda url, *arguments, **options: BriefStream() if answers else _refuse(url))
    monkeypatch.setattr(network, "_place", lambda address: None)
    monkeypatch.setattr(network.NetworkConnector, "_status", lambda self: 0)
    monkeypatch.setattr(network, "_tls_trouble", lambda address, settings: "")
    opened = 0
    for text, word in addresses(1000):
        said = []
        try:
            source = open_source(text)
            opened += 1
            said += [source.name, *source.warnings]
            if source.live:
                for item in source:
                    if not isinstance(item, Frame):
                        said.append(str(item))
                        break
            source.close()
        except SourceError as error:
            said.append(str(error))
        for piece in pieces(word):
            assert not any(piece in sentence for sentence in said), (text, said)
    assert opened > 500 if answers else opened == 0


def test_no_secret_of_the_addresses_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the command's own loop: results, the table, messages and what a program logs."""
    monkeypatch.setattr(opencv.Capture, "open", lambda *arguments: Briefly(frames=30))
    monkeypatch.setattr(opencv.cv2.videoio_registry, "hasBackend", lambda backend: True)
    monkeypatch.setattr(av, "open", lambda url, *arguments, **options: BriefStream(frames=30))
    monkeypatch.setattr(network, "_place", lambda address: None)
    monkeypatch.setattr("heatstream.demo.run_loop.print_report", lambda *arguments, **rest: None)  # it takes 10 ms
    caplog.set_level(logging.DEBUG)
    jsonl, coco = tmp_path / "out.jsonl", tmp_path / "out.json"
    job = RunOptions((), jsonl, coco, False, False, 1, Overlay())
    ran = 0
    for text, word in islice(addresses(1000), 0, None, 4):
        try:
            source = open_source(text)
        except SourceError:  # looked at above
            continue
        run_job([source], CpuPosePipeline(FakeEngine()), job)
        ran += 1
        said = [*capfd.readouterr(), caplog.text, jsonl.read_text(), coco.read_text(), open_feed(text).name]
        caplog.clear()
        assert "frame_index" in said[3]
        for piece in pieces(word):
            assert not any(piece in each for each in said), (text, said)
    assert ran > 125


@pytest.mark.parametrize(
    ("text", "shown", "host", "port"),
    [
        ("rtsp://camera.local/", "rtsp://camera.local", "camera.local", 554),
        ("rtsp://admin:secret@camera.local:8554/live", "rtsp://camera.local:8554/...", "camera.local", 8554),
        ("rtsp://admin:p@ss@camera.local/live", "rtsp://camera.local/...", "camera.local", 554),
        ("http://[fe80::1]:81/a", "http://[fe80::1]:81/...", "fe80::1", 81),
        ("rtsp://admin:a/b@camera.local/live", "rtsp://...", None, None),
        ("rtsp://admin:secret", "rtsp://...", None, None),
        ("udp://0.0.0.0:5000", "udp://0.0.0.0:5000", "0.0.0.0", 5000),
    ],
)
def test_what_of_an_address_is_shown(text: str, shown: str, host: str | None, port: int | None) -> None:
    address = parse_address(text)
    assert address is not None
    assert (address.shown, address.host, address.port) == (shown, host, port)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "concat:///etc/hostname|/etc/passwd",
            "cache:///etc/passwd",
            "async:///etc/passwd",
            "subfile,,start,0:///etc",
        ),
        *("crypto+file:///etc/passwd", "data://text/plain", "gopher://host/", "rstp://camera/"),
    ],
)
def test_other_protocols_of_ffmpeg_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "open", lambda *arguments, **options: pytest.fail("it was opened"))
    with pytest.raises(SourceError, match=r"is not opened|there is no file|neither a file nor an address"):
        open_source(text)


def test_a_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def refuse(url: str, *arguments: object, **options: object) -> None:
        tried.append(url)
        _refuse(url)

    monkeypatch.setattr(av, "open", refuse)
    monkeypatch.setattr(network, "_place", lambda address: None)
    monkeypatch.setattr(network.NetworkConnector, "_status", lambda self: 0)
    monkeypatch.setenv("CAMERA_PASSWORD", "pa/ss?#[1]@:%")
    monkeypatch.setenv("CAMERA_URL", "rtsp://me:secret@door/live")
    for text in ("rtsp://me:${CAMERA_PASSWORD}@door/live", "${CAMERA_URL}"):
        with pytest.raises(SourceError, match=r"^rtsp://door/\.\.\. does not answer"):
            open_source(text)
    assert tried == ["rtsp://me:pa%2Fss%3F%23%5B1%5D%40%3A%25@door/live", "rtsp://me:secret@door/live"]
    with pytest.raises(SourceError, match=r"no file or folder \$\{CAMERA_PASSWORD\}:"):
        open_source("${CAMERA_PASSWORD}")
    with pytest.raises(SourceError, match="the environment variable NOT_SET is not set"):
        open_source("rtsp://me:${NOT_SET}@door/live")


@pytest.mark.parametrize("text", ["file://me:secret@door/clip.mp4", "user-pw=secret", "user-id = secret", "pw=secret"])
def test_what_is_no_address_shows_no_secret_either(text: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_source(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "status", "message"),
    [
        ("http", 401, "wants a user name and password"),
        ("http", 404, "has no such stream"),
        ("http", 500, "fails itself"),
        ("rtsp", 401, "wants a user name and password"),
        ("rtsp", 404, "has no such stream"),
    ],
)
def test_a_server_that_refuses_says_why(scheme: str, status: int, message: str) -> None:
    with refusing_server(scheme, status) as url, pytest.raises(SourceError, match=message):
        open_source(url)


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(SourceError, match="no computer of that name"):
        open_source("rtsp://me:secret@no-such-camera.invalid/live")
