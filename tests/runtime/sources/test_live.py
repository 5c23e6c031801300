"""Live sources that come back: the watch over connections, with connections and time made by hand."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from heatstream.errors import SourceError
from heatstream.results import Gap
from heatstream.runtime.sources import Frame
from heatstream.runtime.sources import live as live_module
from heatstream.runtime.sources.capture_clock import CaptureClock
from heatstream.runtime.sources.connection import (
    FinalError,
    Shot,
    StreamEndedError,
    UnknownPathError,
    UnreachableError,
)
from heatstream.runtime.sources.live import KNOCK_SECONDS, LOOK_AGAIN_SECONDS, Live, Patience
from tests.fakes.made_time import MadeEvent, MadeQueue, MadeThread, MadeTime

PERIOD = 0.01
QUICK = Patience(stall=0.6, opening=1.5, back_off=(0.0, 0.05, 0.1), path=0.12)
LOST = StreamEndedError("it has ended", "ended")

Script = list["int | Exception | str"]


class FakeConnection:
    """Gives pictures of a value at 100 a second, then does what its script says next.

    Args:
        script: numbers of pictures to give; errors to raise; ``"hang"``, to hang until it is closed by the test;
            ``"size"``, to change it; ``"noise"``, to receive something that is no picture.
    """

    warnings: tuple[str, ...] = ()
    pause = 0.0
    waiting: tuple[float, float] | None = None
    time: ClassVar[MadeTime]  # the test's

    def __init__(self, script: Script, *, fps: float | None = 100.0) -> None:
        self.fps = fps
        self.undecodable = 0
        self.closed = MadeEvent(self.time)
        self.release = MadeEvent(self.time)
        self.size = (20, 30)
        self._steps = self._play(script)
        self._clock = CaptureClock(self.time.perf_counter, self.time.perf_counter)

    def read(self) -> Shot:
        return next(self._steps)

    def close(self) -> None:
        self.closed.set()

    def _play(self, script: Script) -> Iterator[Shot]:
        for step in script:
            if isinstance(step, Exception):
                raise step
            if step == "hang":
                self.release.wait()
            elif step == "noise":
                self.undecodable += 1
            elif step == "size":
                self.size = (40, 60)
            else:
                assert isinstance(step, int)
                for _ in range(step):
                    self.time.sleep(PERIOD)
                    yield self.shot()
        raise LOST

    def shot(self, value: int = 0) -> Shot:
        """A picture that comes now."""
        arrival = self.time.perf_counter()
        self._clock.arrived(arrival, None)
        return Shot(np.full((*self.size, 3), value, np.uint8), arrival, self._clock.stamp(arrival, None))


class FakeConnector:
    """Gives one connection after the other, or the error that stands in its place; the last one again and again."""

    name = "the camera"

    def __init__(self, *turns: FakeConnection | Exception) -> None:
        self.turns = list(turns)
        self.opened: list[float] = []
        self.is_there = True

    def open(self) -> FakeConnection:
        self.opened.append(FakeConnection.time.now)
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn

    def there(self) -> bool:
        return self.is_there


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> MadeTime:
    """The time of the sources and their connections."""
    made = MadeTime()
    monkeypatch.setattr(FakeConnection, "time", made, raising=False)
    monkeypatch.setattr(live_module, "time", made)
    queues = SimpleNamespace(SimpleQueue=lambda: MadeQueue(made), Empty=queue.Empty)
    monkeypatch.setattr(live_module, "queue", queues)
    return made


@pytest.fixture
def threads(time: MadeTime, monkeypatch: pytest.MonkeyPatch) -> list[MadeThread]:
    """One for each attempt."""
    begun: list[MadeThread] = []

    def start_thread(name: str, work: Callable[[], object], *, stop: Callable[[], object]) -> MadeThread:
        begun.append(MadeThread(time, work))
        return begun[-1]

    monkeypatch.setattr(live_module, "start_thread", start_thread)
    return begun


@pytest.fixture
def made(threads: list[MadeThread]) -> Iterator[Callable[..., Live]]:
    sources: list[Live] = []

    def make(*turns: FakeConnection | Exception, patience: Patience = QUICK, wait: bool = False) -> Live:
        sources.append(Live(FakeConnector(*turns), patience=patience, wait=wait))
        return sources[-1]

    yield make
    for source in sources:
        source.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def until(source: Live, enough: Callable[[list[Frame | Gap]], bool]) -> list[Frame | Gap]:
    """What it gives until that is enough."""
    items: list[Frame | Gap] = []
    for item in source:
        items.append(item)
        if enough(items):
            break
    return items


def back(items: list[Frame | Gap]) -> bool:
    """Whether a frame has come behind a gap."""
    return len(items) > 1 and isinstance(items[-2], Gap) and items[-2].over


def test_what_is_lost_is_opened_again_and_the_gap_told(made: Callable[..., Live]) -> None:
    first, second = FakeConnection([20]), FakeConnection([1000])
    source = made(first, second)
    assert (source.name, source.live, source.size, source.frame_count) == ("the camera", True, (20, 30), None)
    items = until(source, back)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert [(gap.reason, gap.over) for gap in gaps] == [("ended", False), ("ended", True)]
    assert [gap.seconds for gap in gaps] == pytest.approx([0, PERIOD])
    frames = [item for item in items if isinstance(item, Frame)]
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert frames[-1].gap is gaps[1]
    assert frames[0].gap is None
    times = [frame.capture_monotonic for frame in frames]
    assert times == sorted(times)  # type: ignore[type-var]
    assert first.closed.is_set()
    health = source.health()
    assert (health.reconnects, health.gaps, health.connected) == (1, {"ended": 1}, True)
    assert health.gap_seconds == gaps[1].seconds


def test_a_read_that_hangs_is_noticed_in_time_and_left_behind(made: Callable[..., Live]) -> None:
    hanging = FakeConnection([20, "hang"])
    source = made(hanging, FakeConnection([1000]))
    items = until(source, back)
    first, second = (item for item in items if isinstance(item, Gap))
    assert first.reason == second.reason == "stalled"
    assert first.seconds == pytest.approx(QUICK.stall + 2 * PERIOD)
    assert second.seconds == pytest.approx(first.seconds + PERIOD)
    assert not hanging.closed.is_set()
    hanging.release.set()
    assert hanging.closed.wait()


def test_silence_is_measured_by_the_streams_own_rate(made: Callable[..., Live]) -> None:
    slow = FakeConnection([9, "hang"], fps=None)

    def at_ten_a_second() -> Iterator[Shot]:
        for shot in slow._play([9, "hang"]):
            slow.time.sleep(0.09)
            yield shot

    slow._steps = at_ten_a_second()
    items = until(made(slow, FakeConnection([1000])), lambda items: isinstance(items[-1], Gap))
    gap = items[-1]
    assert isinstance(gap, Gap)
    assert gap.seconds == pytest.approx(0.8)  # 0.6 s and two tenths
    slow.release.set()


def test_noise_is_told_from_a_stall(made: Callable[..., Live]) -> None:
    noisy = FakeConnection([12, "noise", "hang"])
    items = until(made(noisy, FakeConnection([1000])), lambda items: isinstance(items[-1], Gap))
    assert isinstance(items[-1], Gap)
    assert items[-1].reason == "garbage"
    noisy.release.set()


class Behind(FakeConnection):
    """Its pictures are decoded long after they have come; more come all the time."""

    LAG = 2.0

    @property
    def waiting(self) -> tuple[float, float] | None:  # type: ignore[override]
        return self.time.now - self.LAG, self.time.now

    def read(self) -> Shot:
        shot = super().read()
        return replace(shot, arrival=shot.arrival - self.LAG)


def test_decoding_that_is_behind_is_no_stall(made: Callable[..., Live]) -> None:
    source = made(Behind([1000]), FakeConnection([1000]))
    items = until(source, lambda items: len(items) == 30)
    assert all(isinstance(item, Frame) for item in items)


class Noisy(FakeConnection):
    """After its pictures more comes all the time, of which nothing is one."""

    @property
    def waiting(self) -> tuple[float, float] | None:  # type: ignore[override]
        return (self.time.now - PERIOD, self.time.now) if self.undecodable else None


def test_noise_is_noticed_whatever_waits_to_be_decoded(made: Callable[..., Live]) -> None:
    noisy = Noisy([12, "noise", "hang"])
    items = until(made(noisy, FakeConnection([1000])), lambda items: isinstance(items[-1], Gap))
    gap = items[-1]
    assert isinstance(gap, Gap)
    assert gap.reason == "garbage"
    assert gap.seconds == pytest.approx(QUICK.stall + 2 * PERIOD + LOOK_AGAIN_SECONDS)
    noisy.release.set()


def test_pictures_that_were_passed_over_are_counted(made: Callable[..., Live]) -> None:
    class Passing(FakeConnection):
        def read(self) -> Shot:
            return replace(super().read(), passed_over=2)

    source = made(Passing([1000]))
    items = until(source, lambda items: len(items) == 5)
    assert [item.index for item in items if isinstance(item, Frame)] == [2, 5, 8, 11, 14]
    assert source.health().overtaken == 2 * len(items)


def test_the_size_may_change_within_a_connection_and_with_the_next(made: Callable[..., Live]) -> None:
    source = made(FakeConnection([5, "size", 5]), FakeConnection([1000]))
    items = until(source, back)
    assert {item.image.shape[:2] for item in items if isinstance(item, Frame)} == {(20, 30), (40, 60)}
    assert source.size == (20, 30)


def test_attempts_follow_the_back_off_and_the_last_one_for_ever(made: Callable[..., Live]) -> None:
    refusals = [SourceError("not yet")] * 5
    source = made(FakeConnection([20]), *refusals, FakeConnection([1000]))
    until(source, back)
    connector = source._connector
    assert isinstance(connector, FakeConnector)
    assert np.diff(connector.opened)[1:] == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])
    assert source.health().failures == 5


def test_who_was_away_is_found_before_a_long_wait_is_over(made: Callable[..., Live]) -> None:
    patience = Patience(stall=0.6, opening=1.5, back_off=(0.0, 30.0))
    source = made(FakeConnection([20]), UnreachableError("away"), FakeConnection([1000]), patience=patience)
    gaps = [item.seconds for item in until(source, back) if isinstance(item, Gap)]
    assert gaps == pytest.approx([0, KNOCK_SECONDS + PERIOD])


def test_a_wrong_password_ends_it_with_its_own_sentence(made: Callable[..., Live]) -> None:
    with pytest.raises(FinalError, match="wrong password"):
        made(FinalError("wrong password"))
    source = made(FakeConnection([5]), FinalError("wrong password"))
    with pytest.raises(FinalError, match="wrong password"):
        until(source, back)


def test_a_path_that_was_known_is_asked_for_some_time_longer(made: Callable[..., Live], time: MadeTime) -> None:
    with pytest.raises(UnknownPathError):
        made(UnknownPathError("no such stream"), wait=True)
    until(made(FakeConnection([5]), UnknownPathError("no such stream"), FakeConnection([1000])), back)
    source = made(FakeConnection([5]), UnknownPathError("no such stream"))
    lost = time.now + 4 * PERIOD
    with pytest.raises(UnknownPathError):
        until(source, back)
    assert time.now - lost == pytest.approx(0.15)  # at once, and after waits of 0.05 and 0.1 s


def test_what_is_not_there_at_first_is_refused_or_waited_for(made: Callable[..., Live]) -> None:
    with pytest.raises(SourceError, match="not there"):
        made(SourceError("not there"))
    source = made(*[SourceError("not there")] * 3, FakeConnection([1000]), wait=True)
    items = until(source, back)
    assert [(item.reason, item.over) for item in items if isinstance(item, Gap)] == [
        ("absent", False),
        ("absent", True),
    ]
    assert isinstance(items[-1], Frame)


def test_an_opening_that_hangs_is_given_up_and_said(made: Callable[..., Live], time: MadeTime) -> None:
    hanging, begun = FakeConnection(["hang"]), time.now
    with pytest.raises(SourceError, match="the camera gives no picture within"):
        made(hanging, patience=Patience(opening=0.1))
    waited = time.now - begun
    hanging.release.set()
    assert waited == pytest.approx(0.1 + live_module.CLOSE_SECONDS)


def test_a_burst_after_silence_gives_its_newest_picture_alone(made: Callable[..., Live], time: MadeTime) -> None:
    steady = FakeConnection([])

    def burst() -> Iterator[Shot]:
        for _ in range(10):
            time.sleep(PERIOD)
            yield steady.shot()
        time.sleep(0.25)  # somewhere they wait for each other
        for _ in range(8):
            yield steady.shot(1)
        for _ in range(1000):
            time.sleep(PERIOD)
            yield steady.shot()

    steady._steps = burst()
    source = made(steady, FakeConnection([1000]))
    items = until(source, lambda items: len([item for item in items if isinstance(item, Frame)]) == 20)
    waited = [item for item in items if isinstance(item, Frame) and item.image.any()]
    assert len(waited) == 1
    assert source.health().buffered + source.health().overtaken == 7


def test_interrupting_ends_the_iteration_whoever_waits(made: Callable[..., Live], time: MadeTime) -> None:
    source = made(FakeConnection([5]), SourceError("gone for good"), patience=Patience(back_off=(60.0,)))
    told = MadeQueue(time)

    def consume() -> None:
        for item in source:
            told.put(item)

    consumer = MadeThread(time, consume)
    while not isinstance(told.get(), Gap):
        pass
    begun = time.now
    source.interrupt()
    consumer.join()
    assert time.now == begun


def test_a_fault_of_ours_reaches_the_caller(made: Callable[..., Live]) -> None:
    with pytest.raises(ZeroDivisionError):
        made(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        until(made(FakeConnection([5, ZeroDivisionError()])), back)


def test_a_fault_in_looking_who_is_there_reaches_the_caller(
    made: Callable[..., Live], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(connector: FakeConnector) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(FakeConnector, "there", fails)
    patience = Patience(stall=0.6, opening=1.5, back_off=(0.0, 30.0))
    source = made(FakeConnection([20]), UnreachableError("away"), patience=patience)
    with pytest.raises(ZeroDivisionError):
        until(source, back)


def test_attempts_that_hang_are_few(made: Callable[..., Live], threads: list[MadeThread], time: MadeTime) -> None:
    hanging = [FakeConnection([2, "hang"]) for _ in range(20)]
    patience = Patience(stall=0.02, opening=0.05, back_off=(0.0, 60.0))
    source = made(*hanging, patience=patience)
    consumer = MadeThread(time, lambda: list(source))
    time.sleep(50)
    alive = sum(thread.is_alive() for thread in threads)
    source.interrupt()
    for connection in hanging:
        connection.release.set()
    consumer.join()
    assert 1 < alive <= 7
