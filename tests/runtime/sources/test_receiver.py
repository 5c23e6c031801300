"""What comes over the network is taken at once, kept in order and within bounds, however long decoding takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from heatstream.runtime.sources import receiver
from heatstream.runtime.sources.receiver import MOST_WAITING, Received, Receiver
from tests.fakes.patience import HANG_SECONDS


def packets_of(source: Receiver) -> list[Received]:
    return list(iter(source.take, None))


def test_packets_come_in_order_and_no_more_wait_than_are_kept() -> None:
    given, taken = 0, 0

    def packets() -> Iterator[int]:
        nonlocal given
        for number in range(3 * MOST_WAITING):
            assert number - taken <= MOST_WAITING + 1
            given += 1
            yield number

    source = Receiver(packets(), paced=False)
    while given <= MOST_WAITING:  # until there is no more room
        time.sleep(0.001)
    for number in range(3 * MOST_WAITING):
        received = source.take()
        assert received is not None
        assert received.packet == number
        taken += 1
    assert source.take() is None
    assert source.take() is None
    assert source.waiting is None
    source.close()


@pytest.mark.parametrize("paced", [True, False])
def test_a_whole_picture_takes_the_place_of_those_that_wait_for_too_long(
    paced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 0.0
    monkeypatch.setattr(receiver, "time", SimpleNamespace(perf_counter=lambda: moment))
    all_came = threading.Event()

    def packets() -> Iterator[SimpleNamespace]:
        nonlocal moment
        for moment in (0.0, 0.5, 1.2, 1.3, 1.4):
            yield SimpleNamespace(is_keyframe=moment in (0.5, 1.3))
        all_came.set()

    source = Receiver(packets(), paced=paced)
    assert all_came.wait(HANG_SECONDS)
    assert source.waiting == ((1.3, 1.4) if paced else (0.0, 1.4))
    found = [(each.arrival, each.passed_over) for each in packets_of(source)]
    assert found == ([(1.3, 3), (1.4, 0)] if paced else [(at, 0) for at in (0.0, 0.5, 1.2, 1.3, 1.4)])
    source.close()


def test_a_packet_counts_as_waiting_until_the_next_is_asked_for() -> None:
    go_on = threading.Event()

    def packets() -> Iterator[str]:
        yield "first"
        go_on.wait(HANG_SECONDS)

    source = Receiver(packets(), paced=True)
    received = source.take()
    assert received is not None
    assert source.waiting == (received.arrival, received.arrival)
    go_on.set()
    assert source.take() is None
    assert source.waiting is None
    source.close()


def test_an_error_comes_behind_the_last_packet() -> None:
    def packets() -> Iterator[str]:
        yield "last"
        raise OSError("cut")

    source = Receiver(packets(), paced=True)
    received = source.take()
    assert received is not None
    assert received.packet == "last"
    with pytest.raises(OSError, match="cut"):
        source.take()
    source.close()


def test_closing_waits_for_the_read_that_goes_on() -> None:
    reading, go_on, left = threading.Event(), threading.Event(), []

    def packets() -> Iterator[int]:
        yield 0
        reading.set()
        go_on.wait(HANG_SECONDS)
        left.append(True)
        yield 1
        raise AssertionError("it is read on")

    source = Receiver(packets(), paced=True)
    assert reading.wait(HANG_SECONDS)
    closer = threading.Thread(target=source.close)
    closer.start()
    assert not left
    go_on.set()
    closer.join(HANG_SECONDS)
    assert left
    assert not closer.is_alive()
