"""Results sent away: a receiver in another process gets all of them, with ids and stamps as they were."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from heatstream.demo.web.server import WebSink
from heatstream.errors import InputError, SinkError
from heatstream.results import Event, Poses, Result, StageTimes
from heatstream.runtime.sinks.mqtt import MqttSink
from heatstream.runtime.sinks.osc import OscSink
from heatstream.runtime.sinks.rerun import RerunSink
from heatstream.runtime.sinks.virtual_camera import VirtualCameraSink
from heatstream.runtime.sinks.zenoh import ZenohSink
from heatstream.skeletons import COCO_17
from tests.fakes.messages import HEADER, check_message
from tests.fakes.patience import until
from tests.fakes.ports import free_port
from tests.fakes.runtime import result, whiten

COUNT = 100
EVENT = Event("cross", "gate", 2, 40, 1.6, (1.0, 2.0), direction="left")


def sent() -> list[Result]:
    """100 results with 0 to 3 people, and one event."""
    results = []
    for number in range(COUNT):
        people = number % 4
        points = np.random.default_rng(number).uniform(0, 64, (people, 17, 2)).astype(np.float32)
        poses = Poses(points, np.full((people, 17), 0.75), np.full(people, 0.5), "coco-17", np.arange(people) + 1)
        results.append(
            Result(
                poses,
                StageTimes({}, latency=0.01),
                frame=np.zeros((48, 64, 3), np.uint8),
                frame_index=number,
                capture_time=1_700_000_000 + number / 25,
                events=(EVENT,) if number == 40 else (),
            )
        )
    return results


@contextmanager
def receiving(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that prints "ready", then one line of JSON for all that it gets."""
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


OSC_RECEIVER = """
import json, sys
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
dispatcher = Dispatcher()
dispatcher.set_default_handler(lambda name, *values: print(json.dumps({"name": name, "values": values}), flush=True))
server = BlockingOSCUDPServer(("127.0.0.1", int(sys.argv[1])), dispatcher)
print("ready", flush=True)
server.serve_forever()
"""


def test_osc() -> None:
    port = free_port(socket.SOCK_DGRAM)
    results = sent()
    with receiving(OSC_RECEIVER, port) as receiver:
        sink = OscSink(urlsplit(f"osc://127.0.0.1:{port}"), HEADER)
        got = []
        for one in results:
            sink.write(one)
            got += lines(receiver, 1 + len(one.poses) + len(one.events or ()))  # UDP keeps no more than it has room for
        assert sink.close() is None
    frames = [entry["values"] for entry in got if entry["name"] == "/heatstream/frame"]
    assert [(index, stamp, people) for index, stamp, people, *_ in frames] == [
        (one.frame_index, one.capture_time, len(one.poses)) for one in results
    ]
    assert all(size == [64, 48] for _, _, _, *size in frames)
    people = [entry["values"] for entry in got if entry["name"] == "/heatstream/person"]
    assert [(index, name) for index, name, *_ in people] == [
        (one.frame_index, pose.id) for one in results for pose in one.poses
    ]
    np.testing.assert_allclose(
        [values[3:] for values in people],
        [np.column_stack([pose.keypoints, pose.keypoint_scores]).ravel() for one in results for pose in one.poses],
        atol=6e-4,
    )
    assert [e["values"] for e in got if e["name"] == "/heatstream/event"] == [["cross", "gate", 2, 40]]
    sink = OscSink(urlsplit(f"osc://127.0.0.1:{port}"), HEADER)
    for one in results:
        sink.write(one)  # nobody is there any more
    sink.close()
    with pytest.raises(InputError, match="osc://HOST:PORT"):
        OscSink(urlsplit("osc://127.0.0.1"), HEADER)


WEBSOCKET_RECEIVER = """
import sys
from websockets.sync.client import connect
with connect(f"ws://127.0.0.1:{sys.argv[1]}/ws") as page:
    print("ready", flush=True)
    for message in page:
        print(message, flush=True)
"""


def test_websocket() -> None:
    page = WebSink(HEADER, port=0, picture_fps=0, health=dict)
    try:
        with receiving(WEBSOCKET_RECEIVER, page.port) as receiver:
            got = lines(receiver, 1)
            assert got == [{**HEADER, "pictures": False}]
            for begin in range(0, COUNT, 10):
                some = sent()[begin : begin + 10]
                for one in some:
                    page.write(one)
                while got[-1].get("frame_index") != some[-1].frame_index or got[-1]["type"] != "result":
                    got += lines(receiver, 1)
    finally:
        page.close()
    assert [message for message in got if message.get("type") == "result"] == [
        json.loads(one.to_json()) for one in sent()
    ]
    assert [message for message in got if message.get("type") == "event"] == [EVENT.to_dict()]


ZENOH_RECEIVER = """
import json, sys, time, zenoh
config = zenoh.Config()
config.insert_json5("listen/endpoints", json.dumps([f"tcp/127.0.0.1:{sys.argv[1]}"]))
config.insert_json5("scouting/multicast/enabled", "false")
session = zenoh.open(config)
def take(sample):
    print(sample.payload.to_string(), flush=True)
subscriber = session.declare_subscriber("heatstream/door/results", take)
print("ready", flush=True)
for line in sys.stdin:
    for reply in session.get("heatstream/door/header"):
        print(reply.ok.payload.to_string(), flush=True)
"""


def test_zenoh() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", ZENOH_RECEIVER, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        sink = ZenohSink(urlsplit(f"zenoh://127.0.0.1:{port}/heatstream/door"), HEADER)
        until(lambda: sink.heard)
        results = sent()
        for one in results:
            sink.write(one)
        assert lines(process, COUNT) == [json.loads(one.to_json()) for one in results]
        process.stdin.write("header\n")
        process.stdin.flush()
        assert lines(process, 1) == [HEADER]
        sink.close()
        sink.close()
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(InputError, match="lacks a key"):
        ZenohSink(urlsplit("zenoh:"), HEADER)
    with pytest.raises(SinkError, match="start it first"):
        ZenohSink(urlsplit(f"zenoh://127.0.0.1:{port}/heatstream/door"), HEADER)


MQTT_RECEIVER = """
import json, sys
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_subscribe = lambda *_: print("ready", flush=True)
def take(client, data, message):
    print(json.dumps({"topic": message.topic, "message": json.loads(message.payload)}), flush=True)
client.on_message = take
client.connect("127.0.0.1", int(sys.argv[1]))
client.subscribe("camera/door/#", qos=1)
client.loop_forever()
"""


def is_listened_on(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of an MQTT broker."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        # A broker comes from the system's packages; none worth its name comes from PyPI.
        pytest.skip("there is no mosquitto: apt-get install mosquitto")
    port = free_port()
    (tmp_path / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([found, "-c", str(tmp_path / "broker.conf")], stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_listened_on(port))
        yield port
    finally:
        process.kill()
        process.wait()


def test_mqtt(broker: int) -> None:
    with receiving(MQTT_RECEIVER, broker) as receiver:
        sink = MqttSink(urlsplit(f"mqtt://127.0.0.1:{broker}/camera/door"), HEADER)
        results = sent()
        for one in results:
            sink.write(one)
        got = lines(receiver, COUNT + 2)
        sink.close()
        sink.close()
    by_topic: dict[str, list[Any]] = {}
    for entry in got:
        check_message(entry["message"])
        by_topic.setdefault(entry["topic"], []).append(entry["message"])
    assert by_topic == {
        "camera/door/header": [HEADER],
        "camera/door/results": [json.loads(one.to_json()) for one in results],
        "camera/door/events": [EVENT.to_dict()],
    }
    with receiving(MQTT_RECEIVER, broker) as late:
        assert lines(late, 1) == [{"topic": "camera/door/header", "message": HEADER}]  # the broker has kept it


def test_a_broker_that_is_not_there_is_told() -> None:
    with pytest.raises(SinkError, match="no MQTT broker answers"):
        MqttSink(urlsplit(f"mqtt://user:secret@127.0.0.1:{free_port()}/x"), HEADER)


def test_rerun(tmp_path: Path) -> None:
    # It unpacks to 700 MB with pyarrow, as much as all other libraries of the tests but torch: install it to run this.
    pytest.importorskip("rerun", reason="rerun-sdk is too large for the tests' extra: pip install 'heatstream[rerun]'")
    from tests.runtime.sinks.rerun_file import read_rerun

    path = tmp_path / "out.rrd"
    sink = RerunSink(str(path), HEADER)
    for one in sent():
        sink.write(one)
    assert sink.close() == path
    limbs, points = read_rerun(path)
    assert limbs == [tuple(limb) for limb in COCO_17.limbs]
    for one in sent():
        for pose in one.poses:
            np.testing.assert_allclose(points[one.frame_index, pose.id], pose.keypoints)
    assert len(points) == sum(len(one.poses) for one in sent())


def test_a_virtual_camera_shows_the_annotated_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in of its library: a real one needs a module of the kernel."""
    shown: list[np.ndarray] = []

    class Camera:
        def __init__(self, width: int, height: int, fps: float, *, fmt: object) -> None:
            if height == 1:
                raise RuntimeError("no device")
            self.width, self.height, self.fps = width, height, fps
            self.closed = False

        def send(self, picture: np.ndarray) -> None:
            shown.append(picture)

        def close(self) -> None:
            self.closed = True

    library = SimpleNamespace(Camera=Camera, PixelFormat=SimpleNamespace(BGR="bgr"))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", library)
    sink = VirtualCameraSink(whiten, fps=None)
    sink.write(result(0))
    sink.write(replace(result(1), frame=np.zeros((96, 128, 3), np.uint8)))
    assert [picture.shape for picture in shown] == [(48, 64, 3)] * 2
    assert all((picture == 250).all() for picture in shown)
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match="modprobe v4l2loopback"):
        VirtualCameraSink(whiten, fps=25).write(result(0, size=(1, 64)))
