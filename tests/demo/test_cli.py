"""The commands beside `run`, and what all of them share."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import pytest

from heatstream.catalog import CATALOG
from heatstream.demo import machine_checks as checks
from heatstream.demo.sample_clip import CLIP_SIZE
from heatstream.demo.terminal.messages import without_passwords
from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks import Draw
from heatstream.runtime.sources import open_source
from heatstream.version import __version__
from tests.demo.conftest import SIZE, spot
from tests.demo.helpers import Command, count_frames, in_a_process, read_results


@pytest.fixture
def demo_module(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The demo with the tiny network in place of the one that comes with the package."""
    module = importlib.import_module("heatstream.demo.commands.demo")
    monkeypatch.setattr(module, "MODEL", tiny_model)
    return module


@dataclass
class FakeWindow:
    """A window that somebody closes after it has looked at the keyboard so often."""

    draw: Draw
    frames_to_see: int
    seen: int = 0
    closed: bool = False
    paused: bool = False

    def write(self, result: Result) -> None:
        picture = self.draw(result)
        assert picture.shape == result.frame.shape
        self.look()

    def look(self, milliseconds: int = 1) -> None:
        self.seen += 1
        self.closed = self.seen >= self.frames_to_see

    def close(self) -> None:
        self.closed = True


def show_windows(monkeypatch: pytest.MonkeyPatch, *, frames_to_see: int) -> list[FakeWindow]:
    """Put fake windows in place of real ones; the list holds those that were opened."""
    opened: list[FakeWindow] = []

    def open_window(draw: Draw) -> FakeWindow:
        opened.append(FakeWindow(draw, frames_to_see))
        return opened[-1]

    monkeypatch.setattr("heatstream.runtime.sinks.WindowSink", open_window)
    return opened


def test_the_module_is_the_command(heatstream: Command) -> None:
    ended = in_a_process("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"heatstream {__version__}\n", "")


def test_no_command_shows_the_help(heatstream: Command) -> None:
    ended = heatstream()
    for command in ("run", "export", "models", "doctor", "demo"):
        assert command in ended.out + ended.err


def test_models_lists_every_network(heatstream: Command) -> None:
    ended = heatstream("models")
    assert (ended.code, ended.err) == (0, "")
    listed = " ".join(ended.out.split())
    for entry in CATALOG.values():
        assert entry.name in ended.out
        assert entry.skeleton in ended.out
        assert "x".join(map(str, entry.input_size)) in ended.out
        assert entry.licence in listed


def test_doctor_prints_every_finding(heatstream: Command) -> None:
    ended = heatstream("doctor")
    assert (ended.code, ended.err) == (0, "")
    for finding in checks.examine():
        assert finding.name in ended.out
        assert finding.detail.split()[0] in ended.out


def test_doctor_ends_with_0_even_if_everything_is_broken(heatstream: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("[red]odd[/] words")

    monkeypatch.setattr(checks, "CHECKS", (broken,) * 3)
    ended = heatstream("doctor")
    assert ended.code == 0
    assert ended.out.count("[red]odd[/] words") == 3
    assert "Broken: broken, broken, broken" in ended.out


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), r"libGL.so.1.*heatstream doctor"),
        (MemoryError("Unable to allocate 12.2 GiB"), r"not enough memory \(Unable to allocate 12.2 GiB\): choose"),
    ],
)
def test_a_fault_of_the_machine_is_one_line(
    error: Exception, words: str, heatstream: Command, clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("heatstream.runtime.load.load", load)
    ended = heatstream("run", clip, "-m", tiny_model)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert re.search(words, line)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("swahr-w33",), "did you mean 'swahr-w32'"),
        (("swahr-tiny", "--size", "big"), "256x448"),
        (("swahr-tiny", "--size", "250x300"), "try 256x288"),
        (("swahr-tiny", "--size", "0"), "try 32x32"),
        (("h3r-mobile-68", "--short-side", "128"), "takes images of 128x128 px alone"),
        (("swahr-tiny", "-c", "absent.pt"), "absent.pt"),
        (("swahr-tiny", "-o", "absent/out.onnx"), "absent"),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    heatstream: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], named: str
) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    monkeypatch.chdir(tmp_path)
    ended = heatstream("export", *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert named in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weights", ["swahr-tiny.pt", "random"])
def test_an_exported_file_alone_is_enough_to_run(
    heatstream: Command, clip: Path, tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    if weights == "random":  # of a network whose weights do not come along
        monkeypatch.setattr("heatstream.demo.commands.export.weights_file", Path)
    model = tmp_path / "model.onnx"
    ended = heatstream("export", "swahr-tiny", "--size", "64x96", "-o", model)
    assert ended.code == 0
    assert "64x96" in ended.out
    assert f"weights: {weights}\n" in ended.out
    assert ended.out.count("drifts from torch by") == 3
    assert ("find nobody; give a --checkpoint" in ended.err) == (weights == "random")
    assert heatstream("run", clip, "-m", model, "--no-window", "--frames", "2").code == 0


# The little network sees spots all over the photograph, and the decode says so.
@pytest.mark.filterwarnings("ignore:more than 30 people may be in view:RuntimeWarning")
@pytest.mark.usefixtures("demo_module")
def test_the_demo_leaves_a_video_a_picture_and_a_table(heatstream: Command, tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder"
    ended = heatstream("demo", "--output", output)
    assert ended.code == 0
    assert ended.err == "heatstream: there is no display, so the demo uses its own clip and writes files\n"
    assert sorted(path.name for path in output.iterdir()) == ["astronaut.mp4", "astronaut.png", "results.jsonl"]
    assert [line["frame_index"] for line in read_results(output / "results.jsonl")] == list(range(120))
    assert count_frames(output / "astronaut.mp4") == 120
    picture = cv2.imread(str(output / "astronaut.png"))
    assert picture is not None
    assert picture.shape == (*CLIP_SIZE, 3)
    for word in ("p50", "p99", "frames", "FPS", "dropped frames", str(output / "astronaut.png")):
        assert word in ended.out


@pytest.mark.usefixtures("demo_module")
def test_the_demo_cannot_write_everywhere(heatstream: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    ended = heatstream("demo", "--no-camera", "-o", tmp_path / "file")
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert str(tmp_path / "file") in line
    assert "choose another" in line


def test_the_demo_is_live_where_there_is_a_camera_and_a_display(
    heatstream: Command, clip: Path, demo_module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    opened = show_windows(monkeypatch, frames_to_see=5)
    monkeypatch.setattr("heatstream.runtime.sinks.display_trouble", lambda: None)
    monkeypatch.setattr("heatstream.runtime.sources.open_source", lambda text: open_source(clip))
    ended = heatstream("demo")
    assert ended.code == 0
    assert [window.seen for window in opened] == [5]
    assert not list(tmp_path.iterdir())


def test_closing_the_window_ends_the_run_with_everything_written(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = show_windows(monkeypatch, frames_to_see=4)
    lines = tmp_path / "out.jsonl"
    ended = heatstream("run", clip, "-m", tiny_model, "--jsonl", lines)
    assert (ended.code, ended.err) == (0, "")
    assert len(read_results(lines)) == 4
    assert opened[0].closed


def test_a_picture_stays_in_view_until_the_window_is_closed(
    heatstream: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "spot.png"
    cv2.imwrite(str(source), spot(SIZE[1] / 2, SIZE[0] / 2))
    opened = show_windows(monkeypatch, frames_to_see=10)
    ended = heatstream("run", source, "-m", tiny_model)
    assert ended.code == 0
    assert [window.seen for window in opened] == [10]


def test_a_window_that_fails_keeps_what_came_before(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = show_windows(monkeypatch, frames_to_see=100)
    lines = tmp_path / "out.jsonl"

    def write(self: FakeWindow, result: Result) -> None:
        self.seen += 1
        if self.seen == 3:
            raise SinkError("the window failed: run with --no-window")

    monkeypatch.setattr(FakeWindow, "write", write)
    ended = heatstream("run", clip, "-m", tiny_model, "--jsonl", lines)
    assert ended.code == 2
    assert ended.err == "heatstream: the window failed: run with --no-window\n"
    assert opened[0].closed
    assert len(read_results(lines)) == 3
    assert "p99" in ended.out


ADDRESS = "rtsp://admin:S3CRET@127.0.0.1:1/stream"


@pytest.mark.parametrize(
    "arguments",
    [
        (ADDRESS,),  # `run` was forgotten
        ("models", ADDRESS),
        ("run", "0", "--frames", ADDRESS),
        ("run", "0", "--model", ADDRESS),
        ("run", ADDRESS, "--watch"),
        ("run", f"file://admin:S3CRET@camera{ADDRESS}"),
        ("run", "0", "--zones", ADDRESS),
        ("process", ADDRESS, "--out", "results"),
        ("label", ADDRESS, "--out", "labels.json"),
        ("bench", ADDRESS),
        ("eval", ADDRESS, "--data", "."),
        ("export", "swahr-tiny", "-c", ADDRESS),
        ("recover", ADDRESS),
    ],
    ids=" ".join,
)
def test_a_password_is_not_shown_where_an_address_does_not_belong(
    heatstream: Command, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = heatstream(*arguments)
    assert ended.code == 2
    assert "127.0.0.1" in ended.err or "..." in ended.err
    assert "S3CRET" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file http:/a:b@host:80/x: check it", "no file http://host:80/...: check it"),
        ("'rtsp://a:b/c@host/x' is none", "'rtsp://...' is none"),
        ("as in rtsp://USER:PASSWORD@HOST/PATH", "as in rtsp://USER:PASSWORD@HOST/PATH"),
        ("live page: http://127.0.0.1:8000/?token=abc", "live page: http://127.0.0.1:8000/?token=abc"),
        ("C:/people/me@work/clip.mp4 is empty", "C:/people/me@work/clip.mp4 is empty"),
    ],
)
def test_passwords_in_sentences(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
