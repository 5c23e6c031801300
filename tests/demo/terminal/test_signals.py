"""A signal ends the loop between two items and tears nothing apart."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from heatstream.demo.terminal.signals import StopSignals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of this kind exist on POSIX systems alone")

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@pytest.fixture(autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """Also where the tests were started with nohup, which has SIGHUP ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_without_a_signal_every_item_comes() -> None:
    with StopSignals() as stop:
        assert list(stop.until_signalled(range(5))) == [0, 1, 2, 3, 4]
    assert stop.received is None


@BOTH
def test_the_present_item_is_finished(number: int) -> None:
    finished = []
    with StopSignals() as stop:
        for item in stop.until_signalled(range(5)):
            if item == 2:
                send(number)
            finished.append(item)
    assert finished == [0, 1, 2]
    assert stop.received == number


@BOTH
def test_waiting_for_the_next_item_is_cut_short(number: int) -> None:
    never = threading.Event()

    def items() -> Iterator[int]:
        yield 0
        threading.Timer(0.1, send, [number]).start()
        never.wait(10)
        yield 1

    with StopSignals() as stop:
        assert list(stop.until_signalled(items())) == [0]
    assert stop.received == number


def test_errors_of_the_items_come_through() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("broken")

    with StopSignals() as stop, pytest.raises(ValueError, match="broken"):
        list(stop.until_signalled(items()))


def test_a_second_signal_ends_the_program_with_the_code_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    told: list[bool] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with StopSignals(lambda: told.append(True)) as stop:
        send(signal.SIGINT)
        assert (codes, told) == ([], [True])
        send(signal.SIGTERM)
    assert stop.received == signal.SIGINT
    assert (codes, told) == ([130], [True])


def test_nohup_keeps_its_word() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as stop:
            send(signal.SIGHUP)
            assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) is not before[0]
        send(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_may_use_it_without_signals() -> None:
    items: list[int] = []

    def work() -> None:
        with StopSignals() as stop:
            items.extend(stop.until_signalled(range(3)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert items == [0, 1, 2]
