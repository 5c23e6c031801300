"""Spans of time as people type them."""

from __future__ import annotations

import pytest

from heatstream.demo.terminal.durations import seconds_of
from heatstream.errors import InputError


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("0.5s", 0.5), ("2", 2.0), (" 1.5 s ", 1.5)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text, "--budget") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "0ms", "-1s", "1m", "fast", "1e9", "nan", "100 000 ms"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--budget .* such as 100ms"):
        seconds_of(text, "--budget")
