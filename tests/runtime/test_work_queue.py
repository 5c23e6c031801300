"""The queue: order, bounds, drops, and that nobody is left waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from heatstream.runtime.work_queue import OrderedWorkQueue


def work_queue(**changes: Any) -> OrderedWorkQueue[int, str]:
    return OrderedWorkQueue(**{"waiting": 2, "in_flight": 2, "newest": False, "limit": None, **changes})


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
    thread.join(5)
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
    thread.join(5)
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
    thread.join(5)
    assert outcome == [False if who == "reader" else None]
