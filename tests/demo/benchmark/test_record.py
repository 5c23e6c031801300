"""Records as files: what is written is read again, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heatstream.demo.benchmark.record import FORMAT, Record
from heatstream.errors import InputError, SinkError
from tests.fakes.benchmark_records import a_record, a_run


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = a_record(a_run(), a_run(crowd=5, camera=None, people=None, stages={}))
    record.write(tmp_path / "a.json")
    assert Record.read(tmp_path / "a.json") == record


def test_the_schema_is_the_documented_one(tmp_path: Path) -> None:
    """Who changes what a key means, or takes one away, makes a new format."""
    a_record().write(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["kind"], content["format"]) == ("heatstream bench", FORMAT)
    assert set(content) >= {"made", "machine", "software", "settings", "interrupted", "runs"}
    (run,) = content["runs"]
    assert set(run) >= {
        *("model", "sha256", "task", "precision", "input_size", "frames", "frame_size", "crowd", "people", "engine"),
        *("load_seconds", "first_seconds", "rates", "stages", "camera", "meters", "gpu_stages"),
    }
    assert set(run["rates"]["engine"]) == {"title", "fps", "cpu_seconds", "images"}
    assert set(run["stages"]["decode"]) == {"p50", "p99", "share", "turns"}
    assert set(run["camera"]) == {"fps", "results", "dropped", "latency", "quantiles", "turns"}
    assert run["meters"]["memory_mib"] == {"mean": 200.0, "peak": 210.0}


def _without(key: str) -> str:
    content: dict[str, Any] = {"kind": "heatstream bench", "format": FORMAT, "runs": [], "made": "", "machine": {}}
    content |= {"software": {}, "settings": {}, "interrupted": False}
    del content[key]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no record of `heatstream bench --json`"),
        ("{", "is no record"),
        ("[1]", "is no record"),
        ('{"format": 1}', "is no record"),
        (json.dumps({"kind": "heatstream bench", "format": 99}), "is of format 99, this heatstream reads 1"),
        (_without("machine"), r"is damaged \(KeyError\('machine'\)\): measure again"),
        (_without("runs"), "is damaged"),
        (
            json.dumps({"kind": "heatstream bench", "format": FORMAT, "runs": [{"camera": None}]}),
            "is damaged",
        ),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        Record.read(path)


def test_a_missing_record_and_an_unwritable_place_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read: no such file or directory"):
        Record.read(tmp_path / "none.json")
    with pytest.raises(SinkError, match="there is no folder"):
        a_record().write(tmp_path / "nowhere" / "a.json")


def test_ratios_are_taken_turn_by_turn_and_the_best_engine_is_the_fastest() -> None:
    run = a_run(engine_fps=50, beside_fps=80, stream_fps=60)
    assert run.best_engine() == "engine_throughput"
    assert run.ratio("pipeline", "engine") == pytest.approx((1.2,) * 5)
    assert run.ratio("pipeline", "engine_batch_4") == ()
