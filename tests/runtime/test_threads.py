"""Threads that are told to stop and waited for before Python ends."""

from __future__ import annotations

import threading

import pytest

from heatstream.runtime import threads
from heatstream.runtime.threads import end_threads, interruptible, start_thread
from tests.fakes.patience import HANG_SECONDS


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have left running is neither waited for nor stopped."""
    monkeypatch.setattr(threads, "_stops", {})
    monkeypatch.setattr(threads, "_interrupts", {})


def test_every_thread_is_told_and_waited_for() -> None:
    events = [threading.Event() for _ in range(3)]
    for event in events:
        start_thread("test", event.wait, stop=event.set)
    assert end_threads(HANG_SECONDS)
    assert all(event.is_set() for event in events)
    assert end_threads(0)


def test_one_that_hangs_is_waited_for_so_long_and_no_longer() -> None:
    gate = threading.Event()
    thread = start_thread("test", gate.wait)
    assert not end_threads(0.2)
    gate.set()
    thread.join(HANG_SECONDS)
    assert end_threads(0)


def test_what_goes_on_in_a_library_is_cut_short() -> None:
    running, cut = threading.Event(), threading.Event()

    def work() -> None:
        with interruptible(cut.set):
            running.set()
            cut.wait(HANG_SECONDS)

    start_thread("test", work)
    assert running.wait(HANG_SECONDS)
    assert end_threads(HANG_SECONDS)
    assert cut.is_set()
    cut.clear()
    assert end_threads(0)
    assert not cut.is_set(), "nothing is left to be interrupted"
