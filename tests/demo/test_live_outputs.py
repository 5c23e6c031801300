"""What a run sends and serves beside its files; and that of a private one no output depends on a pixel."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from heatstream.demo.drawing.overlay import Overlay
from heatstream.demo.live_outputs import LiveOutputs, Privacy
from heatstream.demo.run_loop import RunOptions, run_job
from heatstream.errors import InputError
from heatstream.results import Poses, Result, StageTimes
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.recordings import read_recording
from heatstream.runtime.sinks.foxglove import IMAGE_TOPIC
from heatstream.runtime.sources import Frame
from heatstream.runtime.zone_rules import Zone
from heatstream.runtime.zones import Zones
from tests.demo.helpers import Command, read_results
from tests.fakes.messages import check_message
from tests.fakes.runtime import FakeEngine, FakeSource, read_video

FRAMES = 12
SIZE = (240, 320)
HEAD = (160.0, 60.0)  # px, where the nose is


def marked(seed: int) -> NDArray[np.uint8]:
    """A frame of a pattern that survives compression: large squares of strong colours."""
    colors = np.random.default_rng(seed).choice([40, 120, 200, 255], (SIZE[0] // 16, SIZE[1] // 16, 3)).astype(np.uint8)
    return np.ascontiguousarray(colors.repeat(16, axis=0).repeat(16, axis=1))


class Marked(FakeSource):
    """Frames of one such pattern."""

    size = SIZE

    def __init__(self, seed: int, ready: threading.Event) -> None:
        super().__init__(FRAMES)
        self._image = marked(seed)
        self._ready = ready

    def __iter__(self) -> Iterator[Frame]:
        for number in range(FRAMES):
            if number == 1:
                self._ready.wait(20)
            yield Frame(self._image.copy(), number, number / 25)


class Standing(PosePipeline):
    """Finds somebody at the same place in every frame, whatever is in it."""

    def __init__(self) -> None:
        self._engine = FakeEngine()

    @property
    def engine(self) -> FakeEngine:
        return self._engine

    @property
    def reason(self) -> str:
        return ""

    def __call__(self, frame: object) -> Result:
        points = np.full((1, 17, 2), HEAD, np.float32)
        points[0, :, 1] += np.arange(17) * 8
        points[0, :5, 1] = HEAD[1]
        points[0, :5, 0] += [0, 10, -10, 20, -20]
        poses = Poses(points, np.full((1, 17), 0.9), np.array([0.9]), "coco-17")
        assert isinstance(frame, np.ndarray)
        return Result(poses, StageTimes({}, latency=0.0), frame=frame)

    def warm_up(self, height: int, width: int) -> None: ...

    def _close(self) -> None: ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(folder: Path, seed: int, privacy: Privacy) -> tuple[dict[str, Any], list[str | bytes]]:
    """Run with every output on.

    Returns:
        What lies in the folder, decoded, without what differs between any two runs; and what a viewer of the page got.
    """
    folder.mkdir()
    port, ready, got = free_port(), threading.Event(), list[str | bytes]()

    def view() -> None:
        while True:
            try:
                with connect(f"ws://127.0.0.1:{port}/ws", max_size=None) as viewer:
                    got.append(viewer.recv())
                    ready.set()
                    while True:
                        got.append(viewer.recv())
            except ConnectionClosed:
                return
            except OSError:
                threading.Event().wait(0.02)

    viewing = threading.Thread(target=view, daemon=True)
    viewing.start()
    room = Zone("room", ((0, 0), (320, 0), (320, 240), (0, 240)), ())
    run_job(
        [Marked(seed, ready)],
        Standing(),
        RunOptions(
            saves=(folder / "out.mp4", folder / "out.png", folder / "out.avi"),
            jsonl=folder / "out.jsonl",
            coco=folder / "out.json",
            window=False,
            mirror=False,
            frames=None,
            overlay=Overlay(),
            zones=Zones((room,)),
            events=folder / "events.jsonl",
            clips=folder / "clips",
            live=LiveOutputs(
                mcap=folder / "out.mcap",
                mcap_fps=0 if privacy == "pixels" else 25,
                web=f"127.0.0.1:{port}",
                web_fps=100,
                foxglove=free_port(),
                privacy=privacy,
            ),
        ),
    )
    viewing.join(20)
    written: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".mp4", ".avi"):
            written[path.name] = np.stack(read_video(path))
        elif path.suffix == ".png":
            written[path.name] = cv2.imread(str(path))
        elif path.suffix == ".mcap":
            for message in read_recording(path):
                data: Any = message.data
                if message.topic == "/heatstream/health":  # figures alone, as many as the run took seconds
                    check_message(json.loads(data))
                    continue
                if message.encoding == "json":
                    data = untimed(json.loads(data))
                written.setdefault(f"{path.name}{message.topic}", []).append(data)
        elif path.suffix == ".jsonl":
            written[path.name] = [untimed(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            written[path.name] = json.loads(path.read_text())
    return written, got


def untimed(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in ("timing", "fps", "stages")}


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], list[str | bytes]]]:
    """Two private runs whose frames have nothing in common."""
    folder = tmp_path_factory.mktemp("private")
    return [run(folder / str(seed), seed, "pixels") for seed in (1, 2)]


def test_nothing_that_a_private_run_writes_depends_on_a_pixel(
    private: list[tuple[dict[str, Any], list[str | bytes]]],
) -> None:
    (one, _), (other, _) = private
    assert sorted(one) == sorted(other)
    assert {name.rpartition(".")[2] for name in one if "/" not in name} == {"mp4", "avi", "png", "jsonl", "json"}
    assert IMAGE_TOPIC not in {name.removeprefix("out.mcap") for name in one}
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, other[name]), name
        else:
            assert value == other[name], name


def test_a_private_page_gets_no_pictures(private: list[tuple[dict[str, Any], list[str | bytes]]]) -> None:
    for _, got in private:
        messages = [json.loads(text) for text in got if isinstance(text, str)]
        assert len(messages) == len(got), "a picture was sent"
        for message in messages:
            check_message(message)
        assert messages[0]["pictures"] is False
        assert Counter(message["type"] for message in messages)["result"] > 0


def test_the_test_sees_pixels_where_there_are_any(tmp_path: Path) -> None:
    (one, pictures), (other, _) = run(tmp_path / "1", 1, "off"), run(tmp_path / "2", 2, "off")
    differ = {
        name
        for name in one
        if (isinstance(one[name], np.ndarray) and not np.array_equal(one[name], other[name]))
        or (isinstance(one[name], list) and one[name] != other[name])
    }
    assert {name.rpartition(".")[2] for name in differ} == {"mp4", "avi", "png", f"mcap{IMAGE_TOPIC}"}
    assert any(isinstance(message, bytes) for message in pictures)


def test_blurred_heads_are_blurred_in_every_picture(tmp_path: Path) -> None:
    written, pictures = run(tmp_path / "1", 1, "heads")
    jpegs = [message[4:] for message in pictures if isinstance(message, bytes)]
    shown = [*written["out.mp4"], *written["out.avi"], written["out.png"]]
    shown += [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    assert len(jpegs) > 0
    frame = marked(1).astype(int)
    x, y = map(int, HEAD)
    for picture in shown:
        changed = np.abs(picture.astype(int) - frame).max(axis=2) > 60
        assert changed[y - 40 : y + 40, x - 40 : x + 40].mean() > 0.2
        assert changed[:, :100].mean() < 0.05, "only heads are"


def test_a_recording_and_json_lines_hold_the_same(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lines, recording = tmp_path / "out.jsonl", tmp_path / "out.mcap"
    options = ("--jsonl", lines, "--mcap", recording, "--mcap-frames", "5")
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", *options)
    assert (ended.code, ended.err) == (0, "")
    assert str(recording) in ended.out.replace("\n", "")
    recorded = [json.loads(m.data) for m in read_recording(recording) if m.topic == "/heatstream/results"]
    assert recorded == read_results(lines)
    recovered = heatstream("recover", recording, "-o", tmp_path / "again.mcap")
    assert (recovered.code, recovered.err) == (0, "")
    assert "30  /heatstream/results" in recovered.out
    assert "it was whole" in recovered.out


def test_what_does_not_go_together_is_refused(heatstream: Command, clip: Path, tiny_model: Path) -> None:
    for options, told in (
        (("--private", "--mcap", "x.mcap", "--mcap-frames", "5"), "--private records no frames"),
        (("--web", "--web-address", "8000"), "give HOST:PORT"),
        (("--web", "--web-address", "0.0.0.0:0"), "add --token"),
        (("--mcap", "x.bag"), "ends in .mcap"),
    ):
        ended = heatstream("run", clip, "-m", tiny_model, "--no-window", *options)
        assert ended.code == 2
        assert told in ended.err
        assert ended.err.count("\n") == 1
    with pytest.raises(InputError):
        LiveOutputs(privacy="pixels", mcap_fps=1)


def test_in_a_private_run_nobody_is_heard(heatstream: Command, tiny_model: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=16000)
        video.width, video.height, video.pix_fmt = 192, 128, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((128, 192, 3), np.uint8), format="bgr24")
            container.mux(video.encode(frame))
            voice = av.AudioFrame.from_ndarray(np.full((1, 640), 0.1, np.float32), "fltp", "mono")
            voice.sample_rate, voice.pts = 16000, 640 * number
            container.mux(sound.encode(voice))
        container.mux(video.encode())
        container.mux(sound.encode())
    streams = {}
    for name in ("--private", "public"):
        out = tmp_path / f"{name}.mp4"
        options = [name] if name == "--private" else []
        assert heatstream("run", film, "-m", tiny_model, "--no-window", "--save", out, *options).code == 0
        with av.open(str(out)) as container:
            streams[name] = {stream.type for stream in container.streams}
    assert streams == {"--private": {"video"}, "public": {"video", "audio"}}
