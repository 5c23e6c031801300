"""The recorder: everything written in order, errors told once, and nobody left waiting."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks import Recorder, Sink
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import result


def write_all(target: Sink | Recorder, results: Iterable[Result]) -> None:
    for item in results:
        target.write(item)


class FakeSink:
    """Remembers what it got.

    Args:
        fail_on: index of the frame that cannot be written; -1 for the closing.
        gate: writes wait until it is set.
    """

    def __init__(self, *, fail_on: int | None = None, gate: threading.Event | None = None) -> None:
        self.indices: list[int] = []
        self.closed = 0
        self._fail_on = fail_on
        self._gate = gate

    def write(self, item: Result) -> None:
        if self._gate is not None:
            self._gate.wait(HANG_SECONDS)
        if item.frame_index == self._fail_on:
            raise SinkError("no room")
        self.indices.append(item.frame_index)

    def close(self) -> Path | None:
        self.closed += 1
        if self._fail_on == -1:
            raise SinkError("cannot be finished")
        return Path("results") if self.indices else None


def test_the_recorder_writes_everything_in_order() -> None:
    sinks = [FakeSink(), FakeSink()]
    with Recorder(sinks) as recorder:
        for number in range(50):
            recorder.write(result(number))
    assert [sink.indices for sink in sinks] == [list(range(50))] * 2
    assert [sink.closed for sink in sinks] == [1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SinkError])
def test_the_recorder_flushes_when_the_run_ends_badly(error: type[BaseException]) -> None:
    gate = threading.Event()
    sink = FakeSink(gate=gate)

    def run(recorder: Recorder) -> None:
        write_all(recorder, [result(number) for number in range(5)])
        gate.set()
        raise error

    with pytest.raises(error), Recorder([sink]) as recorder:
        run(recorder)
    assert sink.indices == list(range(5))
    assert sink.closed == 1


def test_a_failing_sink_is_raised_once_and_nobody_waits() -> None:
    failing, other = FakeSink(fail_on=3), FakeSink()
    recorder = Recorder([failing, other])
    endless = (result(number) for number in itertools.count())
    with pytest.raises(SinkError, match="no room"):
        write_all(recorder, endless)
    write_all(recorder, itertools.islice(endless, 50))  # more than may wait
    recorder.close()
    recorder.close()
    assert (failing.indices, other.indices) == ([0, 1, 2], [0, 1, 2, 3])
    assert (failing.closed, other.closed) == (1, 1)


def test_a_sink_that_cannot_be_finished_is_told_and_the_others_are_closed() -> None:
    failing, other = FakeSink(fail_on=-1), FakeSink()
    with pytest.raises(SinkError, match="cannot be finished"), Recorder([failing, other]) as recorder:
        recorder.write(result(0))
    assert other.closed == 1


def test_the_first_error_is_the_one_reported() -> None:
    def run() -> None:
        raise SinkError("first")

    with pytest.raises(SinkError, match="first"), Recorder([FakeSink(fail_on=-1)]):
        run()


def test_it_tells_which_files_hold_results() -> None:
    with Recorder([FakeSink(), FakeSink(fail_on=0)]) as recorder:
        assert recorder.written == ()
    assert recorder.written == ()
    with pytest.raises(SinkError, match="no room"), Recorder([FakeSink(), FakeSink(fail_on=0)]) as recorder:
        recorder.write(result(0))
    assert recorder.written == (Path("results"),)


def test_a_sink_that_is_stuck_is_given_up_once_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heatstream.runtime.sinks.recorder.STUCK_SECONDS", 0.3)
    gate = threading.Event()
    recorder = Recorder([FakeSink(gate=gate)])
    threading.Timer(0.2, recorder.hurry).start()
    write_all(recorder, [result(number) for number in range(30)])  # more than may wait
    with pytest.raises(SinkError, match="nothing could be written"):
        recorder.close()
    gate.set()
