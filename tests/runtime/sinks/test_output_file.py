"""Outputs of every kind: files, links, pipes, devices; who may write them, and what is left after trouble."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from heatstream.errors import SinkError
from heatstream.runtime.sinks import CocoSink, JsonLinesSink, Sink, output_file, same_place, writes_to_stdout
from tests.fakes.messages import HEADER
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import result
from tests.runtime.sinks.conftest import MAKERS

EVERY_KIND = pytest.mark.parametrize("name", MAKERS)


def write_all(sink: Sink, count: int) -> None:
    for number in range(count):
        sink.write(result(number))


@EVERY_KIND
def test_what_cannot_be_written_is_known_before_the_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / name).mkdir()
    for path, message in (
        (tmp_path / "none" / name, "there is no folder"),
        (tmp_path / "file" / name, "cannot be written"),
        (tmp_path / name, "is a folder"),
        (tmp_path / ("n" * 300 + name), "too long a name"),
    ):
        with pytest.raises(SinkError, match=message) as caught:
            MAKERS[name](path)
        assert str(path)[:40] in str(caught.value)
        assert "\n" not in str(caught.value)


@EVERY_KIND
@pytest.mark.parametrize("before", [None, b"from an earlier run"])
def test_without_results_everything_is_as_it_was(name: str, before: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if before is not None:
        path.write_bytes(before)
    sink = MAKERS[name](path)
    assert sink.close() is None
    assert sink.close() is None
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if before is None else [name])
    assert before is None or path.read_bytes() == before


@EVERY_KIND
def test_the_second_writer_of_a_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"old")
    (tmp_path / f"link-{name}").symlink_to(tmp_path / name)
    first = MAKERS[name](tmp_path / name)
    for other in (name, f"link-{name}"):
        with pytest.raises(SinkError, match="another run is writing"):
            MAKERS[name](tmp_path / other)
    first.write(result(0))
    assert first.close() == tmp_path / name
    second = MAKERS[name](tmp_path / name)  # the first one is done
    second.write(result(0))
    assert second.close() is not None
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, f"link-{name}"])


@EVERY_KIND
def test_a_link_stays_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / name).symlink_to(tmp_path / "real")
    sink = MAKERS[name](tmp_path / name)
    sink.write(result(0))
    sink.close()
    assert (tmp_path / name).is_symlink()
    assert (tmp_path / "real").read_bytes()[:3] != b"old"


@EVERY_KIND
def test_a_folder_that_goes_away_is_told(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    sink = MAKERS[name](folder / name)
    sink.write(result(0))
    for entry in folder.iterdir():
        entry.unlink()
    folder.rmdir()
    with pytest.raises(SinkError, match=r"was deleted while it was written|there is no folder"):
        sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a disk without room, on Linux alone")
@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_a_device_without_room_is_a_full_disk(name: str) -> None:
    sink = MAKERS[name](Path("/dev/full"))
    with pytest.raises(SinkError, match=r"the disk is full, /dev/full"):
        sink.write(result(0))


@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_a_file_that_may_not_grow_keeps_whole_results(
    name: str, tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / name
    sink = MAKERS[name](path)
    with file_limit(4000), pytest.raises(SinkError, match="may not grow further"):
        write_all(sink, 100)
    assert sink.close() == path
    text = path.read_text()
    entries = json.loads(text) if name == "out.json" else [json.loads(line) for line in text.splitlines()]
    assert 0 < len(entries) < 100
    assert text.endswith("\n")
    assert len(text) <= 4000


# Streams


POSIX = pytest.mark.skipif(os.name != "posix", reason="named pipes and /dev/fd exist on POSIX systems alone")


@POSIX
@pytest.mark.parametrize("name", MAKERS)
def test_a_named_pipe_gets_everything_once(name: str, tmp_path: Path) -> None:
    pipe = tmp_path / name
    os.mkfifo(pipe)
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.append(pipe.read_bytes()), daemon=True)
    reader.start()
    sink = MAKERS[name](pipe)
    for number in range(3):
        sink.write(result(number))
    assert sink.close() is None  # no file was written
    reader.join(HANG_SECONDS)
    assert pipe.is_fifo()
    (data,) = taken
    if name == "out.jsonl":
        assert [json.loads(line).get("frame_index") for line in data.splitlines()] == [None, 0, 1, 2]
    elif name == "out.json":
        assert [entry["image_id"] for entry in json.loads(data)] == [0, 1, 2]
    else:
        start = {"out.mp4": b"ftyp", "out.avi": b"RIFF", "out.jpg": b"\xff\xd8"}[name]
        assert start in data[:8]


@POSIX
def test_a_pipe_that_nobody_reads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_file, "READER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SinkError, match="nobody reads the pipe"):
        JsonLinesSink(tmp_path / "pipe", HEADER)


@POSIX
def test_a_reader_that_goes_away_is_told(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    sink = JsonLinesSink(Path(f"/dev/fd/{writing}"), HEADER)
    os.close(writing)
    sink.write(result(0))
    os.close(reading)
    with pytest.raises(SinkError, match="has ended, so the results end here"):
        sink.write(result(1))


@contextmanager
def stdout_of_the_process(path: Path, mode: str) -> Iterator[None]:
    """A statement in which descriptor 1 leads into a file, at its end."""
    before = os.dup(1)
    with path.open(mode) as file:
        file.seek(0, os.SEEK_END)
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(before, 1)
            os.close(before)


@POSIX
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_the_standard_output_is_written_on_where_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.jsonl"
    path.write_text("{}\n")
    for mode in ("ab", "r+b"):  # `>>`, and `>` of a shell that wrote a line before
        with stdout_of_the_process(path, mode):
            sink = JsonLinesSink(Path(name), HEADER)
            for number in range(2):
                sink.write(result(number))
            assert sink.close() is None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("frame_index") for line in lines] == [None, None, 0, 1, None, 0, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]


def test_an_array_on_the_standard_output_is_closed_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    with stdout_of_the_process(path, "w+b"):
        sink = CocoSink(Path("-"))
        for number in range(2):
            sink.write(result(number))
        sink.close()
    assert [entry["image_id"] for entry in json.loads(path.read_text())] == [0, 1]


def test_places_are_the_same_whatever_they_are_called(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "hard").hardlink_to(tmp_path / "file")
    (tmp_path / "soft").symlink_to(tmp_path / "file")
    (tmp_path / "to-nothing").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for one, other, same in (
        ("file", "hard", True),
        ("hard", "soft", True),
        ("to-nothing", "nothing", True),
        ("file", "nothing", False),
        ("loop", "file", False),
    ):
        assert same_place(tmp_path / one, tmp_path / other) is same
    assert same_place(Path("-"), Path("/dev/stdout"))
    assert writes_to_stdout(Path("-"))
    assert not writes_to_stdout(tmp_path / "file")


def test_a_file_reaches_the_disk_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[float] = []
    synced: list[int] = []
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    monkeypatch.setattr(os, name, synced.append)
    sink = JsonLinesSink(tmp_path / "out.jsonl", HEADER)
    closing = sink._file._closing
    wait = closing.wait

    def quick_round(seconds: float) -> bool:
        rounds.append(seconds)
        return wait(0.001)

    def three_rounds() -> None:
        seen = len(rounds)
        until(lambda: len(rounds) >= seen + 3)

    monkeypatch.setattr(closing, "wait", quick_round)
    sink.write(result(0))
    three_rounds()
    assert synced
    seen = len(synced)
    three_rounds()
    assert len(synced) == seen, "nothing new, nothing to do"
    sink.write(result(1))
    three_rounds()
    assert len(synced) == seen + 1
    assert set(rounds) == {1.0}
    sink.close()
