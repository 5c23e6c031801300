"""`heatstream run`, from the command line down to the files it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from heatstream.runtime.sinks import JsonLinesSink
from tests.demo.conftest import CLIP_FRAMES, SIZE, spot, spot_place, write_model
from tests.demo.helpers import REPOSITORY, Command, count_frames, in_a_process, read_results
from tests.fakes.messages import HEADER
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import MODELS
from tests.runtime.sinks.test_sound import write_film


def test_every_output_at_once(heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    video, lines, coco = tmp_path / "out.mp4", tmp_path / "out.jsonl", tmp_path / "out.json"
    ended = heatstream(
        *("run", clip, "--model", tiny_model, "--no-window"),
        *("--save", video, "--jsonl", lines, "--coco", coco),
    )
    assert (ended.code, ended.err) == (0, "")
    results = read_results(lines)
    assert [result["frame_index"] for result in results] == list(range(CLIP_FRAMES))
    for index, result in enumerate(results):
        (person,) = result["people"]
        x, y, score = person["keypoints"][0]
        assert score > 0.8
        # A map pixel is two pixels of the frame, and the clip is JPEG.
        assert (x, y) == pytest.approx(spot_place(index), abs=2)
    assert count_frames(video) == CLIP_FRAMES
    assert [entry["image_id"] for entry in json.loads(coco.read_text())] == list(range(CLIP_FRAMES))


def test_the_table_tells_frames_speed_stages_and_files(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "out.jsonl"
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", "--jsonl", lines, "--frames", "7")
    assert ended.code == 0
    assert len(read_results(lines)) == 7
    words = ended.out.split()
    assert words[words.index("frames") + 1] == "7"
    assert float(words[words.index("FPS") + 1]) > 0
    assert words[words.index("written") + 1] == str(lines)
    for stage in ("capture", "preprocess", "network", "decode", "latency"):
        assert stage in words
    assert "dropped frames" in ended.out


def untimed(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same results without what differs from run to run."""
    return [{name: value for name, value in result.items() if name != "timing"} for result in results]


def test_faces_stand_in_every_line_and_their_cost_in_the_table(
    heatstream: Command, clip: Path, tiny_model: Path, tiny_faces: Path, tmp_path: Path
) -> None:
    lines, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    run = ("run", clip, "-m", tiny_model, "--no-window", "--frames", "5", "--jsonl", lines)
    ended = heatstream(*run, "--faces", "--face-model", tiny_faces, "--save", video)
    assert (ended.code, ended.err) == (0, "")
    with_faces = untimed(read_results(lines))
    # The tiny network sees all of a body in one spot, and a face of no size is none.
    assert [(line.pop("face_skeleton"), line.pop("faces")) for line in with_faces] == [("300w-68", [])] * 5
    assert "faces" in ended.out.split()
    assert "tiny (short side 128 px) and points (64x64 px) on ONNX Runtime" in " ".join(ended.out.split())
    assert count_frames(video) == 5

    without = heatstream(*run)
    assert without.code == 0
    assert "faces" not in without.out.split()
    assert untimed(read_results(lines)) == with_faces


def test_a_picture_is_annotated(heatstream: Command, tiny_model: Path, tmp_path: Path) -> None:
    source, saved = tmp_path / "spot.png", tmp_path / "out.png"
    cv2.imwrite(str(source), spot(100, 60))
    ended = heatstream("run", source, "-m", tiny_model, "--save", saved, "--no-window")
    assert (ended.code, ended.err) == (0, "")
    picture = cv2.imread(str(saved))
    assert picture is not None
    assert picture.shape == (*SIZE, 3)
    assert len(np.unique(picture[60, 100])) > 1, "a coloured keypoint lies on the grey spot"


def test_a_folder_of_pictures_keeps_their_order_and_names(
    heatstream: Command, tiny_model: Path, tmp_path: Path
) -> None:
    folder, lines = tmp_path / "pictures", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in (10, 2, 1):
        cv2.imwrite(str(folder / f"{number}.png"), spot(10.0 * number + 20, 60))
    ended = heatstream("run", folder, "-m", tiny_model, "--jsonl", lines, "--no-window")
    assert ended.code == 0
    assert [result["picture"] for result in read_results(lines)] == ["1.png", "2.png", "10.png"]


def test_without_a_display_it_says_so_and_goes_on(heatstream: Command, clip: Path, tiny_model: Path) -> None:
    ended = heatstream("run", clip, "-m", tiny_model, "--frames", "2")
    assert ended.code == 0
    assert ended.err == (
        "heatstream: no window: there is no display; add --save out.mp4 or --jsonl out.jsonl to keep the results\n"
    )


FIXED = MODELS / "spots_64x128.onnx"


@dataclass(frozen=True)
class Refusal:
    """Files by name (None for a folder), the arguments, and what the one line must name."""

    files: dict[str, bytes | None]
    arguments: tuple[str, ...]
    named: tuple[str, ...]


REFUSALS = {
    "missing file": Refusal({}, ("absent.mp4",), ("absent.mp4", "check the path")),
    "empty file": Refusal({"empty.mp4": b""}, ("empty.mp4",), ("empty.mp4", "is empty")),
    "text as picture": Refusal({"a.jpg": b"not a picture\n"}, ("a.jpg",), ("a.jpg", "not a picture")),
    "text as video": Refusal({"a.mp4": b"words, no pictures\n" * 9}, ("a.mp4",), ("a.mp4", "text")),
    "empty folder": Refusal({"folder": None}, ("folder",), ("folder", "no pictures")),
    "absent camera": Refusal({}, ("97",), ("camera 97",)),
    "unknown model": Refusal({}, ("CLIP", "-m", "swahr-tin"), ("swahr-tin", "did you mean")),
    "missing model file": Refusal({}, ("CLIP", "-m", "absent.onnx"), ("absent.onnx", "heatstream models")),
    "model file that is none": Refusal({"a.onnx": b"words"}, ("CLIP", "-m", "a.onnx"), ("a.onnx", "export")),
    "empty model file": Refusal({"a.onnx": b""}, ("CLIP", "-m", "a.onnx"), ("a.onnx", "empty")),
    "events of nothing": Refusal({}, ("CLIP", "-m", "TINY", "--events", "e.jsonl"), ("--events", "add --zones")),
    "zones that are no zones": Refusal(
        {"z.toml": b"[[zone]]\nname = 1"}, ("CLIP", "-m", "TINY", "--zones", "z.toml"), ("z.toml", "zone.0.polygon")
    ),
    "no folder to write to": Refusal(
        {}, ("CLIP", "-m", "TINY", "--jsonl", "absent/out.jsonl"), ("absent/out.jsonl", "folder")
    ),
    "folder as output": Refusal({"out.mp4": None}, ("CLIP", "-m", "TINY", "--save", "out.mp4"), ("out.mp4", "folder")),
    "unknown kind of output": Refusal({}, ("CLIP", "-m", "TINY", "--save", "out.gif"), ("out.gif", ".mp4, .avi")),
    "one file for two outputs": Refusal(
        {}, ("CLIP", "-m", "TINY", "--jsonl", "out.json", "--coco", "./out.json"), ("out.json", "two kinds")
    ),
    "unknown device": Refusal({}, ("CLIP", "-m", "TINY", "--device", "abacus"), ("abacus", "cpu")),
    "missing face model": Refusal(
        {}, ("CLIP", "-m", "TINY", "--faces", "--face-model", "absent.onnx"), ("absent.onnx", "heatstream models")
    ),
    "pose model as face model": Refusal(
        {}, ("CLIP", "-m", "TINY", "--faces", "--face-model", "TINY"), ("tiny finds people", "choose a model such as")
    ),
    "face model alone": Refusal({}, ("CLIP", "-m", "FACES"), ("points finds landmarks", "--face-model")),
    "face model twice": Refusal(
        {},
        ("CLIP", "-m", "FACES", "--faces", "--face-model", "FACES"),
        ("points finds landmarks", "choose a pose model"),
    ),
    "short side of a fixed size": Refusal(
        {}, ("CLIP", "-m", "FIXED", "--short-side", "128"), ("64x128 px alone", "export it with `--size any`")
    ),
    "window without a display": Refusal({}, ("CLIP", "-m", "TINY", "--window"), ("no display", "--no-window")),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_line_with_a_remedy_and_exit_code_2(
    heatstream: Command,
    clip: Path,
    tiny_model: Path,
    tiny_faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Refusal,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in refusal.files.items():
        if content is None:
            Path(name).mkdir()
        else:
            Path(name).write_bytes(content)
    if refusal.arguments[0] not in ("CLIP",) and "-m" not in refusal.arguments:
        refusal = Refusal({}, (*refusal.arguments, "-m", "TINY"), refusal.named)
    stand_for = {"CLIP": str(clip), "TINY": str(tiny_model), "FACES": str(tiny_faces), "FIXED": str(FIXED)}
    before = time.perf_counter()
    ended = heatstream("run", *(stand_for.get(argument, argument) for argument in refusal.arguments))
    assert time.perf_counter() - before < HANG_SECONDS
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert line.startswith("heatstream: ")
    for name in refusal.named:
        assert name in line


def test_a_video_cut_off_before_its_first_frame_is_refused(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.avi"
    data = clip.read_bytes()
    cut.write_bytes(data[: data.index(b"movi") + 4])
    ended = heatstream("run", cut, "-m", tiny_model)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert str(cut) in line


@pytest.mark.parametrize("kind", ["without metadata", "wrong shape"])
def test_a_foreign_network_is_refused(heatstream: Command, clip: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "foreign.onnx"
    if kind == "wrong shape":
        write_model(path, claims="crowdpose-14")
    else:
        write_model(path, metadata=False)
    ended = heatstream("run", clip, "-m", path)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert str(path) in line
    assert "export" in line


@pytest.mark.parametrize(
    "arguments", [("run",), ("run", "x", "--frames", "0"), ("walk",), ("run", "x", "--speed", "9")]
)
def test_wrong_use_ends_with_code_2(heatstream: Command, arguments: tuple[str, ...]) -> None:
    ended = heatstream(*arguments)
    assert ended.code == 2
    assert "Usage: heatstream" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("option", "kinds"), [("--mirror", ["video", "audio"]), ("--private", ["video"]), ("--blur-heads", ["video"])]
)
def test_sound_comes_along_unless_nobody_is_to_be_recognised(
    heatstream: Command, tiny_model: Path, tmp_path: Path, option: str, kinds: list[str]
) -> None:
    film = write_film(tmp_path / "film.mp4", "aac")
    out = tmp_path / "out.mp4"
    ended = heatstream("run", film, "-m", tiny_model, "--no-window", "--frames", "5", "--save", out, option)
    assert ended.code == 0, ended.err
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == kinds


def test_a_folder_of_pictures_becomes_another(heatstream: Command, tiny_model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in (1, 2):
        cv2.imwrite(str(photos / f"{number}.png"), spot(90, 60))
    ended = heatstream("run", photos, "-m", tiny_model, "--no-window", "--save", tmp_path / "drawn")
    assert (ended.code, ended.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["1.png", "2.png"]
    ended = heatstream("run", photos, "-m", tiny_model, "--no-window", "--save", photos)
    assert ended.code == 2
    assert "is the folder of the source itself" in ended.err


@pytest.mark.parametrize("name", ["clip", "symbolic link", "hard link", "folder"])
def test_the_source_is_never_overwritten(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path, name: str
) -> None:
    source = target = tmp_path / "clip.avi"
    source.write_bytes(clip.read_bytes())
    if name == "symbolic link":
        target = tmp_path / "link.avi"
        target.symlink_to(source)
    elif name == "hard link":
        target = tmp_path / "link.avi"
        target.hardlink_to(source)
    elif name == "folder":
        source.unlink()
        source, target = tmp_path, tmp_path / "2.png"
        for number in (1, 2):
            cv2.imwrite(str(tmp_path / f"{number}.png"), spot(90, 60))
    before = target.read_bytes()
    ended = heatstream("run", source, "-m", tiny_model, "--no-window", "--save", target)
    assert ended.code == 2
    assert "the source itself" in ended.err
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", ["model.onnx", "weights.bin", "face.onnx", "zones.toml", "link.json"])
def test_what_else_is_read_is_never_overwritten(
    heatstream: Command, clip: Path, tiny_model: Path, tiny_faces: Path, tmp_path: Path, name: str
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")
    options = {"save_as_external_data": True, "size_threshold": 0, "location": "weights.bin"}
    onnx.save(onnx.load(str(tiny_model)), str(tmp_path / "model.onnx"), **options)
    (tmp_path / "face.onnx").write_bytes(tiny_faces.read_bytes())
    (tmp_path / "zones.toml").write_text('[[zone]]\nname = "door"\npolygon = [[0, 0], [9, 0], [9, 9]]\n')
    (tmp_path / "link.json").symlink_to("weights.bin")
    before = (tmp_path / name).read_bytes()
    ended = heatstream(
        *("run", clip, "-m", tmp_path / "model.onnx", "--faces", "--face-model", tmp_path / "face.onnx"),
        *("--zones", tmp_path / "zones.toml", "--events", tmp_path / "events.jsonl"),
        *("--no-window", "--coco", tmp_path / name),
    )
    assert (ended.code, ended.out) == (2, "")
    assert re.search(rf"{name} is the (model|model of faces|file of zones) itself, .*: write the results", ended.err)
    assert (tmp_path / name).read_bytes() == before
    assert not (tmp_path / "events.jsonl").exists()


def test_several_sources_are_told_apart_in_every_output(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lines, video, events = tmp_path / "out.jsonl", tmp_path / "out.mp4", tmp_path / "events.jsonl"
    zones = tmp_path / "zones.toml"
    zones.write_text('[[zone]]\nname = "all"\npolygon = [[-9, -9], [999, -9], [999, 999], [-9, 999]]\n')
    run = ("run", clip, clip, "-m", tiny_model, "--no-window")
    ended = heatstream(*run, "--jsonl", lines, "--save", video, "--zones", zones, "--events", events)
    assert (ended.code, ended.err) == (0, "")
    for number in (0, 1):
        own = [result for result in read_results(lines) if result["source"] == number]
        assert [result["frame_index"] for result in own] == list(range(CLIP_FRAMES))
        assert own[0]["people"][0]["id"] == 1
        assert count_frames(tmp_path / f"out-{number}.mp4") == CLIP_FRAMES
    header = json.loads(lines.read_text().splitlines()[0])
    assert header["sources"] == [str(clip)] * 2
    entered = [json.loads(line) for line in events.read_text().splitlines()]
    assert sorted((event["source"], event["id"]) for event in entered if event["event"] == "enter") == [(0, 1), (1, 1)]
    refused = heatstream(*run, "--coco", tmp_path / "out.json")
    assert refused.code == 2
    assert "COCO results number the pictures of one source" in refused.err


@pytest.mark.parametrize(
    ("options", "people"), [((), 2), (("--conf", "0"), 3), (("--conf", "0.7"), 1), (("--max-people", "1"), 1)]
)
def test_how_sure_and_how_many_people_are_chosen_on_the_command_line(
    heatstream: Command, tiny_model: Path, tmp_path: Path, options: tuple[str, ...], people: int
) -> None:
    bright, dim, faint = spot(40, 60), spot(100, 60) * 0.55, spot(160, 60) * 0.2
    cv2.imwrite(str(tmp_path / "a.png"), np.maximum(np.maximum(bright, dim), faint).astype(np.uint8))
    lines = tmp_path / "out.jsonl"
    ended = heatstream("run", tmp_path / "a.png", "-m", tiny_model, "--no-window", "--jsonl", lines, *options)
    assert ended.code == 0, ended.err
    assert len(read_results(lines)[-1]["people"]) == people


def test_results_on_stdout_are_alone_there(heatstream: Command, clip: Path, tiny_model: Path) -> None:
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", "--frames", "3", "--jsonl", "-")
    assert ended.code == 0
    assert [json.loads(line).get("frame_index") for line in ended.out.splitlines()] == [None, 0, 1, 2]
    assert "dropped frames" in ended.err


def test_two_runs_do_not_write_one_file(heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    lines, video = tmp_path / "out.jsonl", tmp_path / "out.mp4"
    video.write_bytes(b"from an earlier run")
    other = JsonLinesSink(lines, HEADER)
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", "--save", video, "--jsonl", lines)
    other.close()
    assert ended.code == 2
    assert "another run is writing" in ended.err
    assert video.read_bytes() == b"from an earlier run"


def test_a_video_that_breaks_in_the_middle_keeps_what_came_before(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    broken, lines = tmp_path / "broken.avi", tmp_path / "out.jsonl"
    data = clip.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    ended = in_a_process("run", broken, "-m", tiny_model, "--jsonl", lines, "--no-window")
    assert ended.code == 0
    results = read_results(lines)
    assert 5 < len(results) < CLIP_FRAMES
    assert [result["frame_index"] for result in results] == list(range(len(results)))
    (line,) = ended.err.splitlines()
    assert line.startswith("heatstream: warning: ")
    assert str(broken) in line


def test_a_network_gone_mad_finds_nobody_and_is_named_once(clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "out.jsonl"
    model = write_model(tmp_path / "nan.onnx", scale=float("nan"))
    ended = in_a_process("run", clip, "-m", model, "--jsonl", lines, "--no-window")
    assert ended.code == 0
    assert [line["people"] for line in read_results(lines)] == [[]] * CLIP_FRAMES
    (line,) = ended.err.splitlines()
    assert line.startswith("heatstream: warning: ")
    assert "NaN" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a disk without room, on Linux alone")
def test_a_full_disk_is_told_and_not_listed_as_written(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    coco = tmp_path / "out.json"
    ended = heatstream("run", clip, "-m", tiny_model, "--no-window", "--jsonl", "/dev/full", "--coco", coco)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "/dev/full" in line
    assert "disk is full" in line
    assert "/dev/full" not in ended.out
    assert str(coco) in ended.out


@pytest.mark.skipif(os.name != "posix", reason="signals of this kind exist on POSIX systems alone")
@pytest.mark.usefixtures("no_process_is_left")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_well(clip: Path, tiny_model: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    video, lines, coco = (tmp_path / name for name in ("out.mp4", "out.jsonl", "out.json"))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "heatstream", "run", str(clip), "--loop", "-m", str(tiny_model), "--no-window"),
            *("--save", str(video), "--jsonl", str(lines), "--coco", str(coco)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    until(lambda: process.poll() is not None or (lines.exists() and lines.read_bytes().count(b"\n") > 20))
    process.send_signal(number)
    out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == code
    assert err == ""
    results = read_results(lines)
    assert len(results) >= 20
    assert [result["frame_index"] for result in results] == list(range(len(results)))
    assert count_frames(video) == len(results)
    assert len(json.loads(coco.read_text())) == len(results)
    assert "p99" in out
