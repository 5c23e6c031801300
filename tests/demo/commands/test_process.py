"""`heatstream process`: an archive of videos, interrupted, damaged, on Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.demo.helpers import REPOSITORY, Command, read_results
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import MODELS
from tests.fakes.videos import write_video

pytestmark = pytest.mark.usefixtures("no_process_is_left")

MODEL = MODELS / "spots.onnx"
VIDEOS = {"a/1.mp4": 90, "a/2.avi": 40, "b/1.mkv": 60, "b/2.mp4": 25}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos in two folders; all but the last are cut into segments of 20 frames."""
    folder = tmp_path_factory.mktemp("videos")
    for name, frames in VIDEOS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write_video(path, frames, codec="mpeg4" if path.suffix == ".avi" else "libx264")
    return folder


def start(videos: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "heatstream", "process", str(videos), "--out", str(out)]
    command += ["--model", str(MODEL), "--segment-frames", "20", "--conf", "0", *options]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def at_work_until_kept(process: subprocess.Popen[str], out: Path, segments: int) -> None:
    """Until so many segments are kept, a video counting for three, or all is done."""
    until(lambda: len(files(out, ".npz")) + 3 * len(results(out)) >= segments or process.poll() is not None)


def kill_child(process: subprocess.Popen[str], command: str) -> bool:
    """Kill a process that it has started, and tell whether there was one; others come and go meanwhile."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if command in " ".join(child.cmdline()):
                    child.kill()
                    return True
    return False


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=HANG_SECONDS)
    return process.returncode, out, err


def files(out: Path, suffix: str) -> list[Path]:
    """Those with this suffix; others may come and go meanwhile."""
    return [Path(folder, name) for folder, _, names in os.walk(out) for name in names if name.endswith(suffix)]


def results(out: Path) -> dict[str, bytes]:
    """Every file of results by its name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in files(out, ".jsonl")}


def messages(lines: bytes) -> list[dict[str, Any]]:
    """Without the times that frames took."""
    found: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    for message in found:
        message.pop("timing", None)
    return found


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    code, text, err = finish(start(videos, out))
    assert code == 0, err
    assert "4 of 4 videos done" in text
    assert not list((out / ".unfinished").iterdir())
    return results(out)


def test_results_are_those_of_a_run(
    heatstream: Command, videos: Path, undisturbed: Mapping[str, bytes], tmp_path: Path
) -> None:
    assert sorted(undisturbed) == [f"{name}.jsonl" for name in sorted(VIDEOS)]
    for name, frames in VIDEOS.items():
        lines = tmp_path / "lines.jsonl"
        run = ("run", videos / name, "-m", MODEL, "--no-window", "--conf", "0", "--jsonl", lines)
        assert heatstream(*run).code == 0
        header, *found = messages(undisturbed[f"{name}.jsonl"])
        assert [header, *found] == messages(lines.read_bytes())
        assert [line["frame_index"] for line in found] == list(range(frames))
        assert {person["id"] for line in found for person in line["people"]} - {None} == {1}  # over the seams too


def test_killed_at_any_moment_it_goes_on(videos: Path, undisturbed: Mapping[str, bytes], tmp_path: Path) -> None:
    """Everything once: what is kept is not looked at again, and a kept segment is not in a result twice."""
    for kept in (1, 4, 9):
        process = start(videos, tmp_path, "--workers", "2")
        at_work_until_kept(process, tmp_path, kept)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(children, timeout=HANG_SECONDS)
        assert not alive  # nobody works on without a parent
        assert all(undisturbed[name] == data for name, data in results(tmp_path).items())
    code, text, err = finish(start(videos, tmp_path))
    assert code == 0, err
    assert results(tmp_path) == undisturbed
    code, text, _ = finish(start(videos, tmp_path))
    assert code == 0
    assert "0 of 0 videos done, 4 were done before" in text


def test_a_worker_that_dies_loses_nothing(videos: Path, undisturbed: Mapping[str, bytes], tmp_path: Path) -> None:
    process = start(videos, tmp_path, "--workers", "1")
    at_work_until_kept(process, tmp_path, 1)
    kill_child(process, "spawn_main")
    code, _, err = finish(process)
    assert code == 0, err
    assert results(tmp_path) == undisturbed


def test_ctrl_c_ends_it_and_it_goes_on(videos: Path, undisturbed: Mapping[str, bytes], tmp_path: Path) -> None:
    process = start(videos, tmp_path, "--workers", "1")
    at_work_until_kept(process, tmp_path, 1)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130
    assert err.strip().endswith("heatstream: stopped; the same command goes on from here")
    code, _, err = finish(start(videos, tmp_path))
    assert (code, results(tmp_path)) == (0, undisturbed), err


def test_what_fails_is_reported_and_stops_nothing(heatstream: Command, videos: Path, tmp_path: Path) -> None:
    mixed, out = tmp_path / "mixed", tmp_path / "out"
    mixed.mkdir()
    (mixed / "text.mp4").write_text("not a video\n")
    whole = (videos / "b/2.mp4").read_bytes()
    (mixed / "good.mp4").write_bytes(whole)
    (mixed / "cut.avi").write_bytes((videos / "a/2.avi").read_bytes()[:-1500])
    command = ("process", mixed, "--out", out, "-m", MODEL, "--workers", "1", "--segment-frames", "10")
    ended = heatstream(*command)
    assert ended.code == 1, ended.err
    assert "2 of 3 videos done, 1 failed" in ended.out
    failures = json.loads((out / "failures.json").read_text())
    assert list(failures) == [str(mixed / "text.mp4")]
    assert "text file" in failures[str(mixed / "text.mp4")]
    assert "cut.avi is cut off or damaged" in ended.err
    assert len(read_results(out / "good.mp4.jsonl")) == 25
    assert 0 < len(read_results(out / "cut.avi.jsonl")) < 40

    (mixed / "text.mp4").write_bytes(whole)
    os.utime(mixed / "good.mp4")  # newer than its results: it is looked at again
    ended = heatstream(*command)
    assert ended.code == 0, ended.err
    assert "2 of 2 videos done, 1 were done before" in ended.out
    assert not (out / "failures.json").exists()


def test_more_processes_than_the_machine_can_hold_are_refused(
    heatstream: Command, videos: Path, tmp_path: Path
) -> None:
    done = heatstream("process", videos, "--out", tmp_path / "out", "-m", MODEL, "--workers", "100000")
    assert (done.code, "give at most" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_results_that_were_found_otherwise_are_not_mixed(heatstream: Command, videos: Path, tmp_path: Path) -> None:
    command = ("process", videos / "b/2.mp4", "--out", tmp_path, "-m", MODEL, "--workers", "1")
    assert heatstream(*command).code == 0
    ended = heatstream(*command, "--conf", "0.9")
    assert ended.code == 2
    assert "found otherwise (confidence 0.3, now 0.9)" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_parquet_holds_what_json_lines_do(heatstream: Command, videos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the extra test")
    video = videos / "b/2.mp4"
    lines = tmp_path / "lines"
    for out, options in ((lines, ()), (tmp_path / "table", ("--format", "parquet"))):
        ended = heatstream("process", video, "--out", out, "-m", MODEL, "--workers", "1", "--conf", "0", *options)
        assert ended.code == 0, ended.err
    table = parquet.read_table(tmp_path / "table" / "2.mp4.parquet").to_pylist()
    expected = read_results(lines / "2.mp4.jsonl")
    assert [row["frame_index"] for row in table] == [line["frame_index"] for line in expected]
    for row, line in zip(table, expected, strict=True):
        assert [person["id"] for person in row["people"]] == [person["id"] for person in line["people"]]
        for person, other in zip(row["people"], line["people"], strict=True):
            assert person["keypoints"][0] == pytest.approx(other["keypoints"][0])


@pytest.mark.slow
def test_ray_gives_the_same_and_replaces_a_worker_that_dies(
    videos: Path, undisturbed: Mapping[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="ray comes with the extra test, where it has wheels for this Python")
    process = start(videos, tmp_path, "--ray", "local", "--workers", "2")
    at_work_until_kept(process, tmp_path, 1)
    killed = kill_child(process, "ray::MapWorker")
    code, _, err = finish(process)
    assert code == 0, err
    assert results(tmp_path) == undisturbed
    assert killed
