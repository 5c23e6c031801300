"""The queue: order, bounds, drops, and that nobody is left waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from heatstream.runtime import work_queue as work_queue_module
from heatstream.runtime.batch_window import BatchWindow
from heatstream.runtime.work_queue import NOTHING, LaneKind, OrderedWorkQueue, Taken
from tests.fakes.patience import HANG_SECONDS


class OneLane:
    """A queue of one lane, as a stream of one source has it."""

    def __init__(self, *, waiting: int = 2, newest: bool = False, **changes: Any) -> None:
        lanes = [LaneKind(waiting, newest)]
        self.queue: OrderedWorkQueue[int, str] = OrderedWorkQueue(lanes, **{"in_flight": 2, "limit": None, **changes})
        self.stop = self.queue.stop

    @property
    def dropped(self) -> int:
        return self.queue.dropped

    def put(self, job: int) -> bool:
        return self.queue.put(0, job)

    def notice(self, value: str) -> None:
        self.queue.notice(0, value)

    def end(self, error: BaseException | None = None) -> None:
        self.queue.end(0, error)

    def take(self) -> tuple[int, int, int] | None:
        taken = self.queue.take()
        return (taken[0].number, taken[0].job, taken[0].dropped) if taken else None

    def deliver(self, number: int, result: Any) -> None:
        self.queue.deliver(0, number, result)

    def next(self) -> str | None:
        """The next result; the lane's own end is passed over."""
        while (item := self.queue.next()) is not None:
            if item[1] is not None:
                return item[1]
        return None


work_queue = OneLane


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(work()), daemon=True)
    thread.start()
    return thread, outcome


def test_results_leave_in_the_order_of_the_jobs() -> None:
    line = work_queue()
    line.put(10)
    line.put(11)
    line.end()
    assert line.take() == (0, 10, 0)
    assert line.take() == (1, 11, 0)
    line.deliver(1, "second")
    line.deliver(0, "first")
    assert [line.next(), line.next(), line.next()] == ["first", "second", None]
    assert line.take() is None


def test_a_full_belt_makes_the_reader_wait() -> None:
    line = work_queue(waiting=1)
    line.put(0)
    thread, outcome = in_thread(lambda: line.put(1))
    thread.join(0.05)
    assert thread.is_alive()
    line.take()
    thread.join(HANG_SECONDS)
    assert outcome == [True]
    assert line.dropped == 0


def test_the_newest_replaces_the_oldest_when_live() -> None:
    line = work_queue(waiting=1, newest=True)
    for number in range(5):
        assert line.put(number)
    assert line.dropped == 4
    assert line.take() == (0, 4, 4)


def test_workers_wait_for_a_slow_consumer() -> None:
    line = work_queue(in_flight=1)
    line.put(0)
    line.put(1)
    line.take()
    line.deliver(0, "first")
    thread, outcome = in_thread(line.take)
    thread.join(0.05)
    assert thread.is_alive()
    assert line.next() == "first"
    thread.join(HANG_SECONDS)
    assert outcome == [(1, 1, 0)]


def test_the_limit_ends_it() -> None:
    line = work_queue(limit=1)
    assert line.put(0)
    line.take()
    assert not line.put(1)
    assert line.take() is None
    line.deliver(0, "only")
    assert [line.next(), line.next()] == ["only", None]


def test_an_error_comes_when_its_turn_comes() -> None:
    line = work_queue()
    line.put(0)
    line.put(1)
    line.take()
    line.take()
    line.deliver(1, KeyError("second"))
    assert not line.put(2)  # nothing more is begun
    line.deliver(0, "first")
    assert line.next() == "first"
    with pytest.raises(KeyError, match="second"):
        line.next()


def test_the_readers_error_comes_last() -> None:
    line = work_queue()
    line.put(0)
    line.end(OSError("gone"))
    line.take()
    line.deliver(0, "first")
    assert line.next() == "first"
    with pytest.raises(OSError, match="gone"):
        line.next()


@pytest.mark.parametrize("who", ["reader", "worker", "consumer"])
def test_stopping_wakes_whoever_waits(who: str) -> None:
    line = work_queue(waiting=1)
    if who == "reader":
        line.put(0)
    waits: dict[str, Callable[[], Any]] = {"reader": lambda: line.put(1), "worker": line.take, "consumer": line.next}
    thread, outcome = in_thread(waits[who])
    thread.join(0.05)
    assert thread.is_alive()
    line.stop()
    thread.join(HANG_SECONDS)
    assert outcome == [False if who == "reader" else None]


def test_what_came_to_nothing_leaves_no_result_and_gives_its_turn_back() -> None:
    line = work_queue(in_flight=1)
    line.put(0)
    line.take()
    line.deliver(0, NOTHING)
    line.put(1)
    line.end()
    assert line.take() == (1, 1, 0)
    line.deliver(1, "second")
    assert [line.next(), line.next()] == ["second", None]


def test_jobs_not_worth_it_are_passed_over_and_the_reader_goes_on() -> None:
    line = work_queue(waiting=2, passed_over=lambda job: job < 2)
    for job in (0, 1):
        line.put(job)
    thread, _ = in_thread(lambda: (line.put(2), line.end()))
    assert line.take() == (0, 2, 0)
    thread.join(HANG_SECONDS)
    line.deliver(0, "third")
    assert [line.next(), line.next()] == ["third", None]


def test_a_queue_whose_last_job_is_passed_over_ends() -> None:
    line = work_queue(passed_over=lambda job: True)
    line.put(0)
    line.end()
    assert line.take() is None
    assert line.next() is None


@pytest.mark.parametrize("newest", [False, True])
def test_a_notice_keeps_its_place_among_the_results(newest: bool) -> None:
    line = work_queue(waiting=1, newest=newest)
    line.notice("before")
    line.put(0)
    line.notice("after")
    line.end()
    assert line.take() == (1, 0, 0)
    line.deliver(1, "job")
    assert line.take() is None
    assert [line.next() for _ in range(4)] == ["before", "job", "after", None]


def several(count: int, **changes: Any) -> OrderedWorkQueue[str, str]:
    settings = {"in_flight": 8, "limit": None, **changes}
    return OrderedWorkQueue([LaneKind(2, newest=False)] * count, **settings)


def jobs(taken: list[Taken[str]]) -> list[str]:
    return [each.job for each in taken]


def test_lanes_take_turns_however_much_waits_in_one() -> None:
    line = several(3)
    for job in ("a0", "a1"):
        line.put(0, job)
    line.put(1, "b0")
    line.put(2, "c0")
    assert [jobs(line.take()) for _ in range(4)] == [["a0"], ["b0"], ["c0"], ["a1"]]


def test_a_batch_takes_one_of_each_lane_first() -> None:
    line = several(3, most=3)
    for job in ("a0", "a1"):
        line.put(0, job)
    line.put(2, "c0")
    line.put(1, "b0")
    assert jobs(line.take()) == ["a0", "b0", "c0"]
    assert jobs(line.take()) == ["a1"]


def test_a_batch_is_no_larger_than_what_may_be_in_flight_or_is_wanted() -> None:
    for changes in ({"in_flight": 2}, {"limit": 2}):
        line = several(3, most=3, **changes)
        for lane in range(3):
            line.put(lane, "abc"[lane])
        assert jobs(line.take()) == ["a", "b"]


def test_results_are_in_order_in_each_lane_and_a_lane_that_is_behind_holds_up_no_other() -> None:
    line = several(2)
    for job in ("a0", "b0", "a1", "b1"):
        line.put("ab".index(job[0]), job)
    taken = [each for _ in range(4) for each in line.take()]
    for each in taken:
        if each.job != "a0":
            line.deliver(each.lane, each.number, each.job)
    assert [line.next(), line.next()] == [(1, "b0"), (1, "b1")]
    line.deliver(0, 0, "a0")
    assert [line.next(), line.next()] == [(0, "a0"), (0, "a1")]


def test_a_lane_that_fails_ends_alone_and_its_error_comes_last() -> None:
    line = several(2)
    line.put(0, "a0")
    line.end(0, OSError("gone"))
    for job in ("b0", "b1"):
        line.put(1, job)
    line.end(1)
    for _ in range(3):
        for each in line.take():
            line.deliver(each.lane, each.number, each.job)
    assert line.take() == []
    assert [line.next() for _ in range(5)] == [(0, "a0"), (0, None), (1, "b0"), (1, "b1"), (1, None)]
    with pytest.raises(OSError, match="gone"):
        line.next()


def test_a_worker_waits_for_a_frame_that_is_due_and_not_for_one_that_is_not() -> None:
    window = BatchWindow(2)
    for number in range(20):  # both at 20 per second, the second one 4 ms behind, then silent
        window.arrived(0, number * 0.05)
        window.arrived(1, number * 0.05 + 0.004)
    window.arrived(0, 1.0)
    assert window.left([0], 1.0, 1.0) == pytest.approx(0.008)
    assert window.left([0], 1.0, 1.007) == 0  # it is late: nobody waits for it
    assert window.left([0, 1], 1.0, 1.0) == 0  # all are here
    window.worked(0.045)
    assert window.left([0], 1.0, 1.0) == pytest.approx(0.005)  # what the period leaves beside the engine
    window.worked(0.2)
    window.worked(0.2)
    assert window.left([0], 1.0, 1.0) <= 0  # no time for that
    window.arrived(0, 9.0)
    assert window.left([0], 9.0, 9.0) == 0  # the other one is asleep


def test_a_frame_waits_for_others_no_longer_than_the_window_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes while the worker waits, on a clock that the waiting alone moves."""
    now = [1.0]
    monkeypatch.setattr(work_queue_module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Silence:
        def put(self, token: None) -> None: ...

        def get_nowait(self) -> None:
            raise queue.Empty

        def get(self, timeout: float) -> None:
            now[0] += timeout
            raise queue.Empty

    window = BatchWindow(2)
    for number in range(20):  # both at 20 per second; the second one is late this time
        window.arrived(0, number * 0.05)
        window.arrived(1, number * 0.05 + 0.004)
    line = several(2, most=2, window=window)
    monkeypatch.setattr(line, "_arrived", Silence())
    line.put(0, "a0")
    now[0] += 0.003  # the worker was busy, which is no waiting for others
    assert jobs(line.take()) == ["a0"]
    assert now[0] == pytest.approx(1.008)
    assert list(window.waits) == [pytest.approx(0.005)]


def test_a_queue_waits_for_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    window = BatchWindow(2)
    monkeypatch.setattr(window, "left", lambda ready, oldest, now: 20.0 if len(ready) < 2 else 0.0)
    line = several(2, most=2, window=window)
    line.put(0, "a0")
    thread, outcome = in_thread(lambda: jobs(line.take()))
    thread.join(0.05)
    assert thread.is_alive()
    line.put(1, "b0")
    thread.join(HANG_SECONDS)
    assert outcome == [["a0", "b0"]]
    assert len(window.waits) == 1
