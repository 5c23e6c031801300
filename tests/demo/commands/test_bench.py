"""``heatstream bench``: what it prints and writes, and its errors in one line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import cv2
import pytest

from heatstream.demo.benchmark.record import Record
from heatstream.demo.commands import bench as module
from heatstream.errors import EngineError
from tests.demo.helpers import Command
from tests.fakes.benchmark_records import a_record, a_run

QUICK = ("--seconds", "0.1")


def test_a_table_a_record_and_a_picture(heatstream: Command, tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    ended = heatstream(
        *("bench", tiny_model, "--source", clip, "--people", "1,3", "--short-side", "64", *QUICK),
        *("--json", tmp_path / "a.json", "--plot", tmp_path / "a.png"),
    )
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "tiny, 64x128, 1 made-up person, fp32, on ONNX Runtime, CPU",
        "tiny, 64x128, 3 made-up people",
        "frames of 192x128 px: spot.avi",
        "engine, one at a time",
        "pipeline, as a stream",
        "stream / engine, one at a time",
        "capture to result p50",
        "decode",
        f"written  {tmp_path / 'a.json'}",
    ):
        assert words in ended.out
    record = Record.read(tmp_path / "a.json")
    assert [run.crowd for run in record.runs] == [1, 3]
    assert not record.interrupted
    assert record.machine["cores"] >= 1
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None
    assert picture.shape[0] > 1000  # two runs, and the row of crowds
    assert picture.std() > 10


def test_a_regression_is_told_and_ends_with_1(
    heatstream: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.json"
    a_record(a_run(stream_fps=60)).write(old)
    for stream_fps, code, words in ((40, 1, "worse"), (60, 0, "same")):
        measured = a_record(a_run(stream_fps=stream_fps))
        monkeypatch.setattr(module, "_measure", lambda *_, measured=measured: (measured, None))
        ended = heatstream("bench", "--compare", old)
        assert ended.code == code
        assert words in ended.out
        assert ("slower than before, beyond the noise" in ended.err) == (code == 1)


def test_what_was_measured_before_an_error_is_kept(
    heatstream: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = a_record(interrupted=True), EngineError("the device fell off: put it back")
    monkeypatch.setattr(module, "_measure", lambda *_: measured)
    ended = heatstream("bench", "--json", tmp_path / "a.json")
    assert ended.code == 2
    assert ended.err == "heatstream: the device fell off: put it back\n"
    assert Record.read(tmp_path / "a.json").interrupted


# The little network sees spots everywhere in the benchmark's picture, and the decode says so.
@pytest.mark.filterwarnings("ignore:more than 30 people may be in view:RuntimeWarning")
def test_ctrl_c_keeps_what_was_measured(
    heatstream: Command, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heatstream.demo.benchmark import measure

    class Impatient(measure.Measurement):
        """Somebody presses Ctrl-C in the second turn."""

        def __iter__(self):  # type: ignore[no-untyped-def]
            for number, scenario in enumerate(super().__iter__()):
                yield scenario
                if number == 7:
                    os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(measure, "Measurement", Impatient)
    ended = heatstream("bench", tiny_model, *QUICK, "--json", tmp_path / "a.json")
    assert (ended.code, ended.err) == (130, "")
    (run,) = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert len(run["rates"]["pipeline"]["fps"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("swahr-tin",), "did you mean 'swahr-tiny'?"),
        (("swahr-w32",), "swahr-w32 comes without weights"),
        (("none.onnx",), "there is no model file none.onnx"),
        (("--source", "none.mp4"), "there is no file or folder none.mp4"),
        (("--size", "large"), "--size 'large' is not understood: give HEIGHTxWIDTH"),
        (("--size", "256x100"), "--size '256x100' is not made of multiples of 64"),
        (("--short-side", "256,300"), "a multiple of 64 px up to 2048, got 300: try 320"),
        (("--short-side", "384", "--size", "256x448"), "leave one of them out"),
        (("h3r-mobile-68", "--short-side", "256"), "h3r-mobile-68 takes images of 128x128 px alone: leave it out"),
        (("--batch", "1,two"), "--batch '1,two' is not understood: give numbers such as 1,4,8"),
        (("--batch", "0"), "--batch takes numbers from 1 to 1024, got 0"),
        (("--people", "-1"), "--people takes numbers from 0 to 512, got -1"),
        (("--people", "1,100000"), "--people takes numbers from 0 to 512, got 100000"),
        (("--plot", "a.pdf"), "--plot writes a PNG: name it a.png"),
        (("--json", "nowhere/a.json"), "there is no folder nowhere: make it first"),
        (("--json", "a.json", "--compare", "a.json"), "a.json is the old record itself"),
        (("./a.onnx", "--json", "a.onnx"), "a.onnx is the model itself"),
        (("--json", "a.png", "--plot", "a.png"), "a.png is named for two kinds of results"),
        (("--compare", "none.json"), "the record none.json cannot be read"),
        (("--device", "tpu"), "there is no device 'tpu'"),
        (("--batch", "4"), "takes 1 image per run, not 4"),
    ],
)
def test_errors_are_one_line(
    heatstream: Command, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = heatstream("bench", *arguments, *QUICK)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert words in line
    assert not list(tmp_path.iterdir())
