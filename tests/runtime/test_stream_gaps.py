"""What a stream tells of a live source's silence and of its frames' age, with sources made by hand."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import heatstream
from heatstream.errors import InputError
from heatstream.results import Gap, Result
from heatstream.runtime import freshness
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import stream
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeEngine, FakeSource

pytestmark = pytest.mark.usefixtures("no_thread_is_left")

STALLED = Gap(1.1, "stalled", over=False)
BACK = Gap(3.0, "stalled", over=True)


def frame(index: int, *, age: float = 0.0, gap: Gap | None = None) -> Frame:
    now = time.perf_counter()
    return Frame(
        np.zeros((48, 64, 3), np.uint8),
        index,
        1000.0 + index,
        capture_monotonic=now - age,
        capture_clock="sender",
        arrival=now,
        gap=gap,
    )


class Script:
    """A live source that gives what is put into it, and waits until the test says more; None ends it."""

    name, live, fps, frame_count, size = "script", True, 25.0, None, (48, 64)
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[Frame | Gap | None] = queue.SimpleQueue()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame | Gap]:
        while (item := self.items.get()) is not None:
            yield item

    def interrupt(self) -> None:
        self.items.put(None)

    def close(self) -> None:
        self.closed.set()


def test_gaps_stand_between_results_and_on_the_first_one_behind() -> None:
    source = Script()
    with stream(source, CpuPosePipeline(FakeEngine())) as results:
        items = results.with_gaps()
        seen: list[Result | Gap] = []
        for item in (frame(0), STALLED, BACK, frame(7, gap=BACK), frame(8, gap=BACK)):
            source.items.put(item)
            seen.append(next(items))
        source.items.put(None)
        assert next(items, None) is None
    assert [item if isinstance(item, Gap) else item.frame_index for item in seen] == [0, STALLED, BACK, 7, 8]
    assert [item.gap for item in seen if isinstance(item, Result)] == [None, BACK, None]


def test_a_plain_loop_sees_results_alone() -> None:
    source = Script()
    results = stream(source, CpuPosePipeline(FakeEngine()))
    for item in (STALLED, BACK, frame(3, gap=BACK)):
        source.items.put(item)
    first = next(results)
    assert (first.frame_index, first.gap) == (3, BACK)
    source.items.put(None)
    assert list(results) == []


def test_notices_keep_their_place_when_frames_are_dropped_and_count_as_none() -> None:
    gate = threading.Event()
    source = Script()
    results = stream(source, CpuPosePipeline(FakeEngine(gate=gate)), frames=2)
    source.items.put(frame(0))
    while results._queue._taken == 0:  # the engine holds frame 0
        time.sleep(0.001)
    for item in (frame(1), STALLED, BACK, frame(2, gap=BACK), frame(3, gap=BACK), None):
        source.items.put(item)
    assert source.closed.wait(HANG_SECONDS)
    gate.set()
    seen = [item if isinstance(item, Gap) else item.frame_index for item in results.with_gaps()]
    assert seen == [0, STALLED, BACK, 3]
    assert results.summary().dropped_by == {"newer": 2}


def test_a_stream_closes_while_its_source_is_silent() -> None:
    source = Script()
    results = stream(source, CpuPosePipeline(FakeEngine()))
    results.close()


def test_every_result_tells_its_age_by_stage() -> None:
    source = Script()
    with stream(source, CpuPosePipeline(FakeEngine())) as results:
        source.items.put(sent := frame(0, age=0.2))
        result = next(results)
    assert sent.arrival is not None
    assert sent.capture_monotonic is not None
    ages = list(result.timing.ages.values())
    assert list(result.timing.ages) == ["arrived", "read", "begun", "found", "given"]
    assert ages == sorted(ages)
    assert ages[0] == sent.arrival - sent.capture_monotonic
    assert result.timing.named()["age"] == result.timing.ages["given"]
    assert (result.capture_clock, result.capture_time) == ("sender", 1000.0)


def test_files_have_no_age() -> None:
    (result, *_) = stream(FakeSource(3), CpuPosePipeline(FakeEngine()))
    assert (result.timing.ages, result.capture_monotonic, result.capture_clock) == ({}, None, "file")


def test_a_live_source_without_stamps_is_stamped_on_arrival() -> None:
    before = time.perf_counter()
    (result, *_) = stream(FakeSource(3, live=True), CpuPosePipeline(FakeEngine()))
    assert result.capture_monotonic is not None
    assert before < result.capture_monotonic < time.perf_counter()
    assert result.capture_clock == "arrival"


def test_a_budget_drops_by_age_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.perf_counter()]
    monkeypatch.setattr(freshness, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    engine = FakeEngine()
    source = Script()
    run = engine.run

    def slowly(images: object) -> object:
        if engine.runs == 1:  # the second frame gets too old in here
            now[0] += 0.4
        return run(images)  # type: ignore[arg-type]

    def put(index: int, age: float, gap: Gap | None = None) -> None:
        source.items.put(replace(frame(index, gap=gap), capture_monotonic=now[0] - age))

    def wait(done: Callable[[], bool]) -> None:
        while not done():
            time.sleep(0.001)

    engine.run = slowly  # type: ignore[method-assign, assignment]
    results = stream(source, CpuPosePipeline(engine), budget=0.3, frames=2, workers=1)
    put(0, 0)
    assert next(results).frame_index == 0
    put(1, 0.5)  # too old already
    wait(lambda: results.summary().dropped == 1)
    put(2, 0)
    wait(lambda: results.summary().dropped == 2)
    put(3, 0, BACK)
    wait(lambda: engine.runs == 3)
    put(4, -0.5, BACK)
    wait(lambda: engine.runs == 4)  # frame 3 has been found, and nobody comes for it
    now[0] += 0.5
    last = next(results)
    assert (last.frame_index, last.gap) == (4, BACK)
    assert list(results) == []
    assert results.summary().dropped_by == {"newer": 0, "stale_queued": 1, "stale_found": 1, "stale_given": 1}
    assert results.summary().frames == 2


@pytest.mark.parametrize(("live", "budget"), [(False, 0.1), (True, 0.0)])
def test_a_budget_that_makes_no_sense_is_refused(live: bool, budget: float) -> None:
    source = FakeSource(3, live=live)
    with pytest.raises(InputError, match="budget"):
        stream(source, CpuPosePipeline(FakeEngine()), budget=budget)
    assert source.closed.is_set()


def test_gap_is_exported() -> None:
    assert heatstream.Gap is Gap
