"""Tables and pictures of records that hold less than everything, or more."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from benchmarks.page import page
from heatstream.demo.benchmark.chart import draw
from heatstream.demo.benchmark.compare import compare
from heatstream.demo.benchmark.record import Rate, Record, Stage
from heatstream.demo.benchmark.table import print_comparison, print_record
from tests.fakes.benchmark_records import a_record, a_run, turns

FACES = a_run(
    model="points",
    task="landmarks",
    people=None,
    stages={},
    camera=None,
    meters={},
    rates={
        "engine": Rate("engine, one at a time", turns(900.0), None, 100),
        "faces_16": Rate("pipeline, 16 faces of a frame", turns(400.0), None, 100),
    },
)
ON_A_GPU = a_run(
    gpu_stages={"engine": Stage(0.002, 0.003, 0.8, (0.002,)), "frame": Stage(0.0025, 0.003, 1.0, (0.0025,))}
)


def _printed(record: Record) -> str:
    text = io.StringIO()
    print_record(record, Console(file=text, width=120))
    return text.getvalue()


def test_both_denominators_and_the_bound_are_printed() -> None:
    text = _printed(a_record(a_run(engine_fps=50, beside_fps=80, stream_fps=60)))
    assert "stream / engine, one at a time: 1.20 (1.20-1.20)" in text
    first = text.strip().splitlines()[1:3]
    assert first == [
        "60.0 frames per second as a stream, 16.7 ms each",
        "20.0 ms from capture to result behind a camera of 30 FPS",
    ]
    assert "stream / engine, 3 side by side (its fastest way): 0.75" in text
    assert "CPU time of the engine / of the stream, per frame: 0.75" in text
    assert ["decode", "2.00", "4.00", "10.0%"] in [line.split() for line in text.splitlines()]
    assert "capture to result p50 20.0, p95 30.0, p99 40.0 ms; 3 of 203 frames dropped" in text
    assert "memory of the process: 210 MiB at most" in text
    assert "governor performance; load 0.1 per core" in text


@pytest.mark.parametrize(
    ("run", "words"),
    [(FACES, "throughput, faces"), (ON_A_GPU, "one frame on the GPU's clock"), (a_run(crowd=1), "1 made-up person")],
    ids=["landmarks", "gpu", "crowd"],
)
def test_what_is_not_there_is_left_out(run: object, words: str, tmp_path: Path) -> None:
    record = a_record(run)  # type: ignore[arg-type]
    text = _printed(record)
    assert words in text
    assert "nan" not in text
    draw(record, tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).std() > 5


def test_a_regression_is_named_with_both_figures() -> None:
    text = io.StringIO()
    other = a_run(crowd=5)
    print_comparison(
        compare(a_record(a_run(stream_fps=60)), a_record(a_run(stream_fps=45), other)), Console(file=text, width=120)
    )
    (line,) = (line for line in text.getvalue().splitlines() if "as a stream, per second" in line)
    assert line.split()[-5:] == ["60", "45", "-25.0%", "±3.0%", "worse"]
    assert "not compared: tiny, 256x256, 5 made-up people is not in the old record" in text.getvalue()


def test_records_become_a_page() -> None:
    text = page([a_record(a_run(), a_run(crowd=1), a_run(crowd=30)), a_record(FACES)])
    assert "| pipeline, as a stream | 60.0 | 59.6-60.4 | 33.3 |" in text
    assert "- stream / engine, 3 side by side: **0.75** (0.75 to 0.75)" in text
    assert "| 30 | 1.0 | 60.0 | 1.20 | 2.00 (4.00) | 10.0% | 33.3 |" in text
    assert "| pipeline, 16 faces of a frame | 400.0 | 397.6-402.4 |  |" in text
    assert text.count("Measured 2026-01-01") == 2
