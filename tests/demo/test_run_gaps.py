"""What ``heatstream run`` says and does while its source is silent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heatstream.demo.drawing.overlay import Overlay
from heatstream.demo.run_loop import RunOptions, run_job
from heatstream.results import Gap
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.fakes.runtime import FakeEngine
from tests.runtime.test_stream_gaps import Script, frame


def test_silence_and_return_are_told_and_results_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Script()
    back = Gap(3.2, "stalled", over=True)
    for item in (Gap(0.0, "absent", over=False), Gap(1.0, "absent", over=True), Gap(1.1, "stalled", over=False)):
        source.items.put(item)
    for last in (back, frame(9, gap=back), None):
        source.items.put(last)
    job = RunOptions((), tmp_path / "out.jsonl", None, False, False, None, Overlay())
    run_job([source], CpuPosePipeline(FakeEngine()), job)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("heatstream: script")]
    assert told == [
        "heatstream: script is not there yet: it is opened again as soon as it is back; Ctrl-C ends",
        "heatstream: script is back after 1.0 s",
        "heatstream: script sends nothing any more: it is opened again as soon as it is back; Ctrl-C ends",
        "heatstream: script is back after 3.2 s",
    ]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["frame_index"] for line in lines if line["type"] == "result"] == [9]
