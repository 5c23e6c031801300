"""What a run sends and serves beside its files; and that of a private one no output depends on a pixel.

Every output there is takes frames of a pattern; all that was written, sent or shown is kept. Two private runs on
patterns that have nothing in common must leave the same, so that no pixel can be in it, however it is encoded; two
others must differ wherever pixels belong, which shows that the test would see them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.demo.drawing.overlay import Overlay
from heatstream.demo.live_outputs import LiveOutputs, Privacy, _sender
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
from tests.fakes.patience import until
from tests.fakes.receivers import KEY, Receivers, receivers
from tests.fakes.runtime import FakeEngine, FakeSource, read_video

FRAMES = 12
SIZE = (240, 320)
HEAD = (160.0, 60.0)  # px, where the nose is
TOPIC = "/heatstream/results"
PIXELS = (".mp4", ".avi", ".png", ".jpg")
SENT = ("web", f"mqtt {KEY}/results", "zenoh", f"foxglove{TOPIC}")
"""What is sent over connections."""

PICTURES = {"web picture", f"mcap{IMAGE_TOPIC}", f"foxglove{IMAGE_TOPIC}"}
"""What a private run does not have at all."""


def marked(seed: int) -> NDArray[np.uint8]:
    """A frame of a pattern that survives compression: large squares of strong colours."""
    colors = np.random.default_rng(seed).choice([40, 120, 200, 255], (SIZE[0] // 16, SIZE[1] // 16, 3)).astype(np.uint8)
    return np.ascontiguousarray(colors.repeat(16, axis=0).repeat(16, axis=1))


class Marked(FakeSource):
    """Frames of one such pattern, which come when all receivers are there, and end when all have their results."""

    size = SIZE

    def __init__(self, seed: int, receiving: Receivers) -> None:
        super().__init__(FRAMES)
        self._image = marked(seed)
        self._receiving = receiving

    def __iter__(self) -> Iterator[Frame]:
        self._receiving.wait()
        for number in range(FRAMES):
            yield Frame(self._image.copy(), number, number / 25)
        came = self._receiving.came
        until(lambda: all(len(of_type("result", list(came.get(name, ())))) == FRAMES for name in SENT))


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


def run(folder: Path, seed: int, privacy: Privacy) -> dict[str, Any]:
    """Run with every output on, and give what came of each, without what differs between any two runs."""
    folder.mkdir()
    room = Zone("room", ((0, 0), (320, 0), (320, 240), (0, 240)), ())
    with pytest.MonkeyPatch.context() as patch, receivers(patch) as receiving:
        run_job(
            [Marked(seed, receiving)],
            Standing(),
            RunOptions(
                saves=(folder / "out.mp4", folder / "out.png", folder / "out.avi", folder / "pictures"),
                jsonl=folder / "out.jsonl",
                coco=folder / "out.json",
                window=False,
                mirror=False,
                frames=None,
                overlay=Overlay(),
                zones=Zones((room,)),
                events=folder / "events.jsonl",
                clips=folder / "clips",
                virtual_camera=True,
                live=LiveOutputs(
                    mcap=folder / "out.mcap",
                    mcap_fps=0 if privacy == "pixels" else 25,
                    web=f"127.0.0.1:{receiving.web}",
                    web_fps=100,
                    foxglove=receiving.foxglove,
                    send=receiving.send,
                    rerun=str(folder / "out.rrd"),
                    privacy=privacy,
                ),
            ),
        )
    came = dict(receiving.came)
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.suffix in PIXELS:
            came[name] = path.read_bytes()
        elif path.suffix == ".mcap":
            for message in read_recording(path):
                data = json.loads(message.data) if message.encoding == "json" else message.data
                came.setdefault(f"mcap{message.topic}", []).append(data)
        elif path.suffix == ".jsonl":
            came[name] = [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".json":
            came[name] = json.loads(path.read_text())
    return {name: [untimed(one) for one in value] if isinstance(value, list) else value for name, value in came.items()}


def untimed(message: Any) -> Any:
    """A message without its times and figures."""
    if not isinstance(message, dict):
        return message
    if message.get("type") == "health":
        check_message(message)
        return {"type": "health"}
    return {name: value for name, value in message.items() if name != "timing"}


def of_type(kind: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def same(one: Any, other: Any) -> bool:
    """Whether two runs left the same; how many headers and messages of health is a question of time."""
    if isinstance(one, list) and isinstance(other, list):
        once = [[part for part in parts if not _repeated(part)] for parts in (one, other)]
        return len(once[0]) == len(once[1]) and all(map(same, *once))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


def _repeated(message: Any) -> bool:
    return isinstance(message, dict) and message.get("type") in ("header", "health")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two private runs whose frames have nothing in common."""
    folder = tmp_path_factory.mktemp("private")
    return [run(folder / str(seed), seed, "pixels") for seed in (1, 2)]


def test_nothing_that_a_private_run_gives_depends_on_a_pixel(private: list[dict[str, Any]]) -> None:
    one, other = private
    assert sorted(one) == sorted(other)
    assert not PICTURES & set(one)
    for name in one:
        assert same(one[name], other[name]), name


def test_every_output_of_a_private_run_got_every_result(private: list[dict[str, Any]]) -> None:
    """Else there was nothing to look at."""
    for came in private:
        lines = of_type("result", came["out.jsonl"])
        assert len(lines) == FRAMES
        for name in (*SENT, f"mcap{TOPIC}"):
            assert of_type("result", came[name]) == lines, name
        assert len(came["virtual camera"]) == FRAMES
        assert sum(data.startswith(b"/heatstream/person") for data in came["osc"]) == FRAMES
        assert sum("/people/" in entity for entity, _ in came["rerun"]) == FRAMES
        assert came["web"][0]["pictures"] is False
        assert {Path(name).suffix for name in came} >= {*PIXELS, ".jsonl", ".json"}


def test_the_test_sees_pixels_where_there_are_any(tmp_path: Path) -> None:
    one, other = run(tmp_path / "1", 1, "off"), run(tmp_path / "2", 2, "off")
    assert sorted(one) == sorted(other)
    differ = {name for name in one if not same(one[name], other[name])}
    assert differ == PICTURES | {"virtual camera"} | {name for name in one if Path(name).suffix in PIXELS}


def test_blurred_heads_are_blurred_in_every_picture(tmp_path: Path) -> None:
    came = run(tmp_path / "1", 1, "heads")
    jpegs = [data[4:] for data in came["web picture"]]
    for topic in (f"mcap{IMAGE_TOPIC}", f"foxglove{IMAGE_TOPIC}"):
        jpegs += [data[data.index(b"\xff\xd8") :] for data in came[topic]]
    encoded = [*jpegs, *(data for name, data in came.items() if name.endswith((".png", ".jpg")))]
    shown = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in encoded]
    shown += came["virtual camera"]
    for video in ("out.mp4", "out.avi"):
        shown += read_video(tmp_path / "1" / video)
    assert len(jpegs) > 2 * FRAMES
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


@pytest.mark.parametrize(
    "address",
    [
        "mqtt://me:secret/x@broker/prefix",
        "mqtt://me:12secret#3@broker/prefix",
        "mqtt://me:12#secret@broker/prefix",
        "mqtt://me:secret",
        "mqtt:me:secret@broker/prefix",
        "mqtt:///prefix",
        "amqp://me:secret@broker/prefix",
    ],
)
def test_an_address_without_a_broker_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(InputError, match="--send ") as refused:
        _sender(address, {})
    assert "secret" not in str(refused.value)
