"""Streams in an event loop, and that no way of using one leaves a thread behind."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.stream import stream
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeEngine, FakeSource

TIMES = 100

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


async def frames_of(engine: FakeEngine, count: int | None) -> list[int]:
    async with stream(FakeSource(count), CpuPosePipeline(engine)) as results:
        return [result.frame_index async for result in results]


def test_async_for_gives_what_for_gives() -> None:
    assert asyncio.run(frames_of(FakeEngine(), 20)) == list(range(20))


def test_the_event_loop_goes_on_meanwhile() -> None:
    gate = threading.Event()

    async def both() -> list[int]:
        task = asyncio.create_task(frames_of(FakeEngine(gate=gate), 3))
        await asyncio.sleep(0.01)
        assert not task.done()
        gate.set()  # only a loop that goes on gets here
        return await task

    assert asyncio.run(asyncio.wait_for(both(), HANG_SECONDS)) == [0, 1, 2]


def test_a_task_that_is_cancelled_stops_the_stream() -> None:
    gate = threading.Event()

    async def cancelled() -> None:
        task = asyncio.create_task(frames_of(FakeEngine(gate=gate), None))
        await asyncio.sleep(0.05)
        task.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


async def use_in_a_loop(engine: FakeEngine, *, early: bool) -> None:
    async with stream(FakeSource(3), CpuPosePipeline(engine)) as results:
        async for result in results:
            if early and result.frame_index == 1:
                break


def use(engine: FakeEngine, *, early: bool, in_a_loop: bool) -> None:
    """A stream's whole life, with ``for`` or ``async for``."""
    if in_a_loop:
        asyncio.run(use_in_a_loop(engine, early=early))
        return
    with stream(FakeSource(3), CpuPosePipeline(engine)) as results:
        for result in results:
            if early and result.frame_index == 1:
                break


@pytest.mark.parametrize("in_a_loop", [False, True], ids=["for", "async for"])
@pytest.mark.parametrize("end", ["at the end", "early", "by an error"])
def test_no_thread_is_left_a_hundred_times(in_a_loop: bool, end: str) -> None:
    for _ in range(TIMES):
        if end == "by an error":
            with pytest.raises(RuntimeError, match="fell off"):
                use(FakeEngine(fail_on=1), early=False, in_a_loop=in_a_loop)
        else:
            use(FakeEngine(), early=end == "early", in_a_loop=in_a_loop)


def test_it_is_logged_and_quiet_by_default(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.INFO, logger="heatstream"):
        list(stream(FakeSource(2), CpuPosePipeline(FakeEngine())))
    assert [record.name for record in caplog.records] == ["heatstream.runtime.stream"] * 2
    assert "started" in caplog.messages[0]
    assert "ended" in caplog.messages[1]
    assert capfd.readouterr() == ("", "")
