"""Capture times: who says them, that they neither jump nor lie, under delays, drifts and clocks that are set."""

from __future__ import annotations

import random
from itertools import cycle, pairwise

import pytest

from heatstream.runtime.sources.capture_clock import CaptureClock

EPOCH = 1_800_000_000.0


class Clocks:
    """The system's clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.set_by = 0.0

    def capture_clock(self) -> CaptureClock:
        return CaptureClock(lambda: self.now, lambda: EPOCH + self.now + self.set_by)


def test_a_drivers_time_is_taken_where_it_can_be_true() -> None:
    clock = Clocks().capture_clock()
    stamp = clock.stamp(100.0, None, driver_time=99.98)
    assert (stamp.monotonic, stamp.clock) == (99.98, "driver")
    assert stamp.wall == pytest.approx(EPOCH + 99.98)
    for senseless in (100.01, 3.0, 1_800_000_000.0):
        assert clock.stamp(100.0, None, driver_time=senseless).clock == "arrival"


def test_stream_time_against_the_fastest_arrivals_tells_who_waited() -> None:
    clocks, rng = Clocks(), random.Random(1)
    clock = clocks.capture_clock()
    for number in range(500):
        taken = 100 + number / 25
        stalled = 0.8 if 300 <= number < 320 else 0.0  # they come late, all at once
        clocks.now = max(taken, 100 + 320 / 25 if stalled else 0) + 0.03 + rng.expovariate(200)
        clock.arrived(clocks.now, 7.0 + number / 25)
        stamp = clock.stamp(clocks.now, 7.0 + number / 25)
        assert stamp.clock == "stream"
        if number > 50:
            assert stamp.monotonic - taken == pytest.approx(0.03, abs=0.005)


def test_clocks_that_drift_apart_are_followed() -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    for number in range(20_000):  # a quarter of an hour, 100 us a second too slow
        taken = 100 + number / 25
        clocks.now = taken + 0.05
        time = number / 25 * (1 - 1e-4)
        clock.arrived(clocks.now, time)
        stamp = clock.stamp(clocks.now, time)
    assert stamp.monotonic - taken == pytest.approx(0.05, abs=0.003)


def test_a_senders_clock_says_how_long_frames_were_under_way_and_stamps_never_go_back() -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    stamps = []
    for number in range(200):
        taken = 100 + number / 25
        clocks.now = taken + 0.2
        sender = EPOCH + taken if number >= 50 else None  # the first report is five seconds in coming
        clock.arrived(clocks.now, number / 25, sender)
        stamps.append(clock.stamp(clocks.now, number / 25))
    assert [stamps[40].clock, stamps[60].clock] == ["stream", "sender"]
    assert stamps[-1].monotonic == pytest.approx(taken, abs=1e-6)
    steps = [after.monotonic - before.monotonic for before, after in pairwise(stamps)]
    assert min(steps) > 0.03


@pytest.mark.parametrize("wrong", [-3600.0, -8.0, 0.5, 86400.0])
def test_a_sender_whose_clock_is_wrong_is_not_believed(wrong: float) -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    clock.arrived(100.0, 0.0, EPOCH + 99.9 + wrong)
    assert clock.stamp(100.0, 0.0).clock == "stream"


def test_setting_the_systems_clock_moves_no_stamp(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    walls, monotonics = [], []
    for number in range(100):
        clocks.now = 100 + number / 25
        clocks.set_by = 3600.0 if number >= 30 else 0.0
        clocks.set_by -= 7200.0 if number >= 60 else 0.0
        clock.arrived(clocks.now, None)
        stamp = clock.stamp(clocks.now, None)
        walls.append(stamp.wall)
        monotonics.append(stamp.monotonic)
    for stamps in (walls, monotonics):
        steps = [after - before for before, after in pairwise(stamps)]
        assert steps == pytest.approx([0.04] * 99, abs=1e-6)
    assert "was set by +3600.000 s" in caplog.text
    assert "was set by -7200.000 s" in caplog.text


def test_having_to_wait_between_the_clocks_is_no_setting(caplog: pytest.LogCaptureFixture) -> None:
    """On a busy machine other programs come in between."""
    clocks, waits = Clocks(), cycle([0.2, 0.0, 0.07])

    def wall() -> float:
        seconds = EPOCH + clocks.now
        clocks.now += next(waits)
        return seconds

    clock = CaptureClock(lambda: clocks.now, wall)
    for _ in range(20):
        clocks.now += 0.04
        clock.arrived(clocks.now, None)
        assert clock.stamp(clocks.now, None).wall == pytest.approx(EPOCH + clocks.now, abs=1e-6)
    assert caplog.text == ""


def test_trimming_the_systems_clock_is_followed() -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    for number in range(1000):
        clocks.now = 100 + number / 25
        clocks.set_by = number * 1e-5
        clock.arrived(clocks.now, None)
    assert clock.stamp(clocks.now, None).wall == pytest.approx(EPOCH + clocks.now + clocks.set_by, abs=1e-6)


def test_a_stream_that_begins_anew_is_stamped_anew() -> None:
    clocks = Clocks()
    clock = clocks.capture_clock()
    for start, first in ((100.0, 500.0), (110.0, 0.0), (120.0, 9000.0)):
        for number in range(50):
            clocks.now = start + number / 25
            clock.arrived(clocks.now, first + number / 25)
            assert clock.stamp(clocks.now, first + number / 25).monotonic == pytest.approx(clocks.now, abs=0.01)
