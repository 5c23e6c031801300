"""Counting results in a stretch of time, on a clock that the tests turn."""

from __future__ import annotations

import threading
import time

import pytest

from heatstream.demo.benchmark import sampling as windows
from heatstream.demo.benchmark.sampling import MIN_COUNTED, Counter, alone, for_throughput
from tests.fakes.patience import HANG_SECONDS, threads_beyond


class Clock:
    """Stands in for the module ``time``; work moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(windows, "time", stopped)
    return stopped


@pytest.mark.parametrize(
    ("each", "seconds", "images"),
    [
        (0.125, 1.0, 7),  # eight results, seven intervals
        (0.25, 1.0, 3),
        (5.0, 1.0, MIN_COUNTED),  # too slow for the time, and counted all the same
    ],
)
def test_results_are_counted_between_the_first_and_the_last(
    clock: Clock, each: float, seconds: float, images: int
) -> None:
    def work(number: int) -> None:
        clock.now += each

    counted = alone(work, seconds)
    assert counted.images == images
    assert counted.seconds == pytest.approx(images * each)
    assert counted.cpu_seconds == pytest.approx(images * each / 2)


def test_a_result_of_several_images_counts_so_many(clock: Clock) -> None:
    def work(number: int) -> None:
        clock.now += 0.5

    counted = alone(work, 2.0, per_result=8)
    assert (counted.images, counted.seconds) == (24, 1.5)


def test_what_it_takes_to_get_going_is_not_counted(clock: Clock) -> None:
    counter = Counter(1.0, skip=3)
    counting = []
    for seconds in (0.9, 0.0, 0.0, 0.0, 0.1, 0.1, 0.1):
        clock.now += seconds
        if not counter.add():
            break
        counting.append(counter.counting)
    # It came in four at once; the fourth starts the clock, the sixth is the second that counts.
    assert counting == [False, False, False, False, True]
    assert counter.window().images == 2
    assert counter.window().seconds == pytest.approx(0.2)
    assert counter.over
    assert not counter.add()


def test_side_by_side_works_so_many_at_once() -> None:
    inside, most = 0, 0
    lock = threading.Lock()
    together = threading.Barrier(3)

    def work(number: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        if number < 3:
            together.wait(HANG_SECONDS)
        time.sleep(0.002)
        with lock:
            inside -= 1

    counted = for_throughput(work, 0.05, at_once=3)
    assert most == 3
    assert counted.images >= MIN_COUNTED
    assert counted.seconds > 0


def test_an_error_on_one_thread_ends_all() -> None:
    def work(number: int) -> None:
        if number == 5:
            raise ValueError("the fifth")
        time.sleep(0.001)

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="the fifth"):
        for_throughput(work, HANG_SECONDS, at_once=2)
    assert not threads_beyond(before)
