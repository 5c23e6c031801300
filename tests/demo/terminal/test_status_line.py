"""The live line of numbers."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from heatstream.demo.terminal import status_line as status_module
from heatstream.demo.terminal.status_line import StatusLine
from heatstream.results import Faces, Poses, Result, StageTimes


def result(people: int, *, latency: float = 0.05, dropped: int = 0) -> Result:
    poses = Poses(np.zeros((people, 17, 2)), np.ones((people, 17)), np.ones(people), "coco-17")
    return Result(poses, StageTimes({"network": 0.03}, latency=latency), dropped=dropped)


class Clock:
    """A clock that goes on by a tenth of a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.1
        return self.now


def test_the_numbers_before_during_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "time", Clock())
    status = StatusLine()
    assert status.numbers() == "waiting for the first frame"
    status.add(result(1))
    assert status.numbers() == "- FPS  1 person  50 ms"
    for _ in range(100):
        status.add(result(2, latency=0.012, dropped=3))
    assert status.numbers() == "10.0 FPS  2 people  12 ms  3 dropped"
    status.add(replace(result(2), faces=Faces.empty("300w-68")))
    assert "2 people  0 faces  50 ms" in status.numbers()


@pytest.mark.parametrize(("frame_count", "place"), [(None, "frame 2 "), (205, "frame 2/205 ")])
def test_a_terminal_shows_where_it_is_and_is_left_clean(
    monkeypatch: pytest.MonkeyPatch, frame_count: int | None, place: str
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda stderr: Console(file=terminal, force_terminal=True, width=100))
    with StatusLine(frame_count) as status:
        status.add(result(1))
        status.add(result(1))
    shown = terminal.getvalue()
    assert "Ctrl-C ends" in shown
    assert place in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert shown.rstrip().endswith("\x1b[2K"), "the line is erased at the end"


def test_no_terminal_stays_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with StatusLine(3) as status:
        status.add(result(1))
    assert capfd.readouterr() == ("", "")
