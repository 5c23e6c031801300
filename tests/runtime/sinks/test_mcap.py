"""Recordings: every message is read back, with Foxglove's types too; what is left after SIGKILL and on a full disk."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from mcap.reader import NonSeekingReader, make_reader

from heatstream.errors import InputError, SinkError
from heatstream.results import Event, Faces
from heatstream.runtime.health import health_message
from heatstream.runtime.recordings import read_recording, recover
from heatstream.runtime.sinks import foxglove
from heatstream.runtime.sinks.foxglove import ANNOTATIONS_TOPIC, IMAGE_TOPIC, FoxgloveChannels
from heatstream.runtime.sinks.mcap import CHUNK_SECONDS, McapSink
from heatstream.runtime.timing import StreamSummary
from tests.fakes.messages import HEADER, check_message
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import result

REPOSITORY = Path(__file__).resolve().parents[3]
FACES = Faces(np.full((1, 68, 2), 7.25), np.ones(1), np.zeros((1, 4)), np.zeros(1), np.array([0]), "300w-68")


def health() -> dict[str, Any]:
    return health_message(StreamSummary(1, 0, 1.0, 1.0, {}))


def record(path: Path, count: int, *, fps: float = 25.0) -> McapSink:
    sink = McapSink(path, FoxgloveChannels(HEADER, image_fps=5, health=health), tell=pytest.fail)
    for number in range(count):
        sink.write(result(number, time=number / fps))
    return sink


def decoded(message: Any) -> Any:
    """A message of protobuf, by the schema that the recording has with it."""
    name, encoding, data = message.schema
    assert encoding == "protobuf"
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(name)).FromString(message.data)


def test_every_message_is_read_back_by_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foxglove, "HEALTH_SECONDS", HANG_SECONDS)  # once, however long it takes
    path = tmp_path / "out.mcap"
    event = Event("enter", "door", 1, 3, 0.12, (1.0, 2.0))
    sink = McapSink(path, FoxgloveChannels(HEADER, image_fps=5, health=health), tell=pytest.fail)
    sent = [result(number, time=number / 25) for number in range(50)]
    sent[3] = replace(sent[3], events=(event,))
    for item in sent:
        sink.write(item)
    assert sink.close() == path
    assert sink.close() is None

    found = list(read_recording(path))
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == len(found)
        assert len(list(reader.iter_messages())) == len(found)
        file.seek(0)
        assert len(list(NonSeekingReader(file, validate_crcs=True).iter_messages())) == len(found)
    counts = Counter(message.topic for message in found)
    assert counts.pop(IMAGE_TOPIC) == 10
    assert counts == {
        "/heatstream/header": 1,
        "/heatstream/results": 50,
        "/heatstream/events": 1,
        "/heatstream/health": 1,
        ANNOTATIONS_TOPIC: 50,
    }
    texts = {
        topic: [json.loads(m.data) for m in found if m.topic == topic] for topic in counts if "heatstream" in topic
    }
    for messages in texts.values():
        for message in messages:
            check_message(message)
    assert texts["/heatstream/header"] == [HEADER]
    assert texts["/heatstream/results"] == [item.to_dict() for item in sent]
    assert texts["/heatstream/events"] == [event.to_dict()]
    times = [message.time for message in found if message.topic == "/heatstream/results"]
    assert times == [round(item.capture_time * 1e9) for item in sent]


def test_foxglove_draws_every_keypoint_where_it_is(tmp_path: Path) -> None:
    """Its (0, 0) is the corner of the first pixel, as ours is: a point in that pixel's middle stays (0.5, 0.5)."""
    one = result(4, time=1.5)
    keypoints = np.full((1, 17, 2), 0.5, np.float32) + np.arange(17, dtype=np.float32)[None, :, None]
    scores = np.full((1, 17), 0.9, np.float32)
    scores[0, 16] = 0.1  # a guess
    poses = replace(one.poses, keypoints=keypoints, keypoint_scores=scores, ids=np.array([7]))
    sink = McapSink(tmp_path / "out.mcap", FoxgloveChannels(HEADER, image_fps=1), tell=pytest.fail)
    sink.write(replace(one, poses=poses, faces=FACES))
    sink.close()
    found = {message.topic: message for message in read_recording(tmp_path / "out.mcap")}
    drawn = decoded(found[ANNOTATIONS_TOPIC])
    lines, points, face = drawn.points
    assert (lines.type, points.type, face.type) == (4, 1, 4)
    assert [(point.x, point.y) for point in points.points] == [(0.5 + k, 0.5 + k) for k in range(16)]
    assert (lines.points[0].x, lines.points[1].x) == (0.5, 1.5)  # from the nose to an eye
    assert len(lines.points) == 2 * len(lines.outline_colors) == 2 * 18  # all limbs but the one to the guess
    assert {(point.x, point.y) for point in face.points} == {(7.25, 7.25)}
    assert {pair.key: pair.value for pair in points.metadata} == {"id": "7", "score": "0.500"}
    assert [text.text for text in drawn.texts] == ["7"]
    image = decoded(found[IMAGE_TOPIC])
    assert (image.format, image.data[:2], image.timestamp.seconds) == ("jpeg", b"\xff\xd8", 1)


def test_a_chunk_is_whole_after_half_a_second_though_no_frame_comes(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    sink = record(path, 20)
    until(lambda: path.stat().st_size)
    assert Counter(m.topic for m in read_recording(path))["/heatstream/results"] == 20
    with path.open("rb") as file:
        assert len(list(make_reader(file).iter_messages())) > 40  # other readers take it without an index
    for number in range(20, 30):
        sink.write(result(number, time=number / 25))
    sink.close()
    assert Counter(m.topic for m in read_recording(path))["/heatstream/results"] == 30


WRITER = """
import sys, time
from pathlib import Path
from heatstream.runtime.sinks.foxglove import FoxgloveChannels
from heatstream.runtime.sinks.mcap import McapSink
from tests.fakes.messages import HEADER
from tests.fakes.runtime import result
sink = McapSink(Path(sys.argv[1]), FoxgloveChannels(HEADER, image_fps=10), tell=print)
written = 0
end_chunk = sink._file.end_chunk
def end_and_tell():
    end_chunk()
    print(written, flush=True)
sink._file.end_chunk = end_and_tell
while True:
    sink.write(result(written, time=written / 100))
    written += 1
    time.sleep(0.001)
"""


def test_sigkill_costs_no_more_than_the_last_chunk(tmp_path: Path) -> None:
    """Which lasts half a second; the killed one is always at work on the next."""
    path, recovered = tmp_path / "out.mcap", tmp_path / "recovered.mcap"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    with process:
        assert process.stdout is not None
        written = [int(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGKILL)
    assert CHUNK_SECONDS == 0.5
    recover(path, recovered)
    indices = [json.loads(m.data)["frame_index"] for m in read_recording(recovered) if m.topic.endswith("/results")]
    assert indices == list(range(len(indices)))
    assert 0 < written[-1] <= len(indices)
    with recovered.open("rb") as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        assert summary.chunk_indexes


def test_a_full_disk_ends_the_recording_and_not_the_run(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "out.mcap"
    told: list[str] = []
    sink = McapSink(path, FoxgloveChannels(HEADER, image_fps=100), tell=told.append)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    with file_limit(300_000):
        sink.write(result(0))
        until(lambda: path.stat().st_size)
        for number in range(1, 25):
            sink.write(replace(result(number, time=number / 10), frame=noise))
        until(lambda: told)
        sink.write(result(25))  # the run goes on
        with pytest.raises(SinkError, match="may not grow further"):
            sink.close()
    assert len(told) == 1
    assert "the recording ends here, the run goes on" in told[0]
    recorded = [json.loads(m.data)["frame_index"] for m in read_recording(path) if m.topic.endswith("/results")]
    assert recorded == list(range(len(recorded)))
    assert 1 <= len(recorded) < 25
    assert sink.close() is None


def test_after_an_hour_a_new_file_begins(tmp_path: Path) -> None:
    sink = McapSink(tmp_path / "out.mcap", FoxgloveChannels(HEADER), tell=pytest.fail)
    for number in range(5):
        sink.write(result(number, time=number * 1800.0))
    sink.close()
    found = {path.name: list(read_recording(path)) for path in tmp_path.iterdir()}
    indices = {
        name: [json.loads(m.data)["frame_index"] for m in messages if m.topic.endswith("/results")]
        for name, messages in found.items()
    }
    assert indices == {"out.mcap": [0, 1], "out-2.mcap": [2, 3], "out-3.mcap": [4]}
    assert all(messages[0].topic == "/heatstream/header" for messages in found.values())


def test_without_results_everything_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    assert record(path, 0).close() is None
    assert not path.exists()
    path.write_bytes(b"from an earlier run")
    assert record(path, 0).close() is None
    assert path.read_bytes() == b"from an earlier run"
    with pytest.raises(SinkError, match=r"ends in \.mcap"):
        McapSink(tmp_path / "out.bag", FoxgloveChannels(HEADER), tell=pytest.fail)


def test_damaged_recordings_give_what_is_whole_and_say_what_is_not(tmp_path: Path) -> None:
    whole, damaged, out = tmp_path / "whole.mcap", tmp_path / "damaged.mcap", tmp_path / "out.mcap"
    sink = record(whole, 20)
    ends = []
    for step in range(1, 3):  # three chunks
        assert sink._file is not None
        sink._file.end_chunk()
        ends.append(whole.stat().st_size)
        for number in range(20 * step, 20 * step + 20):
            sink.write(result(number, time=number / 25))
    sink.close()
    data = whole.read_bytes()
    assert recover(whole, out).damage is None
    for content, told, count in (
        (data[: len(data) // 2], "its end is missing", None),
        (data[:-4], "end is", 60),
        (data[: ends[0] + 100] + b"???" + data[ends[0] + 103 :], "a part is damaged", 40),
    ):
        damaged.write_bytes(content)
        found = recover(damaged, out)
        assert told in (found.damage or "")
        assert count is None or found.messages["/heatstream/results"] == count
    for content, told in ((b"no recording at all", "not an MCAP file"), (data[:60], "nothing to recover")):
        damaged.write_bytes(content)
        with pytest.raises(InputError, match=told):
            recover(damaged, tmp_path / "none.mcap")
        assert not (tmp_path / "none.mcap").exists()
    with pytest.raises(InputError, match="is the recording itself"):
        recover(whole, whole)
    with pytest.raises(InputError, match="cannot be read"):
        recover(tmp_path / "nowhere.mcap", out)
