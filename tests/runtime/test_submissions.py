"""Frames pushed into a pipeline: order, modes, bounds, errors, and that close waits and leaves no thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest

from heatstream.errors import EngineError, InputError
from heatstream.results import Result
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.submissions import MOST_WAITING
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeEngine, spot

TIMES = 100
FRAME = spot(48, 64, 30, 24)

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def entered(engine: FakeEngine, runs: int) -> None:
    """Until the engine is at work for so many times."""
    deadline = time.monotonic() + HANG_SECONDS
    while engine.runs < runs and time.monotonic() < deadline:
        time.sleep(0.001)
    assert engine.runs >= runs


def test_results_come_in_order_with_their_stamps() -> None:
    with CpuPosePipeline(FakeEngine()) as pipeline:
        futures = [pipeline.submit(FRAME, 10.0 + number) for number in range(20)]
        results = [future.result(HANG_SECONDS) for future in futures]
    assert [result.capture_time for result in results] == [10.0 + number for number in range(20)]
    assert [result.frame_index for result in results] == list(range(20))
    assert all(len(result.poses) == 1 for result in results)
    assert all(result.timing.latency >= result.timing.stages["network"] for result in results)


def test_callbacks_are_called_and_a_loop_can_await() -> None:
    heard: list[Future[Result]] = []

    async def push(pipeline: CpuPosePipeline) -> int:
        future = pipeline.submit(FRAME)
        future.add_done_callback(heard.append)
        return len((await asyncio.wrap_future(future)).poses)

    with CpuPosePipeline(FakeEngine()) as pipeline:
        assert asyncio.run(push(pipeline)) == 1
    assert [future.done() for future in heard] == [True]


def test_every_makes_whoever_submits_wait_and_memory_stays_bounded() -> None:
    gate = threading.Event()
    pipeline = CpuPosePipeline(FakeEngine(gate=gate))
    futures: list[Future[Result]] = []
    pushing = threading.Thread(target=lambda: futures.extend(pipeline.submit(FRAME) for _ in range(12)), daemon=True)
    pushing.start()
    pushing.join(0.1)
    assert pushing.is_alive()
    assert len(futures) <= MOST_WAITING + 1
    gate.set()
    pushing.join(HANG_SECONDS)
    pipeline.close()  # waits for all of them
    assert [future.done() and not future.cancelled() for future in futures] == [True] * 12


def test_newest_takes_the_place_of_what_waits_and_leaves_every_alone() -> None:
    gate = threading.Event()
    engine = FakeEngine(gate=gate)
    with CpuPosePipeline(engine) as pipeline:
        first = pipeline.submit(FRAME, mode="newest")
        entered(engine, 1)
        kept = pipeline.submit(FRAME)
        futures = [pipeline.submit(FRAME, mode="newest") for _ in range(5)]
        gate.set()
    assert [future.cancelled() for future in futures] == [True] * 4 + [False]
    assert futures[-1].result().dropped == 4
    assert len(first.result().poses) == len(kept.result().poses) == 1
    with pytest.raises(CancelledError):
        futures[0].result()


def test_budget_leaves_out_what_has_waited_too_long() -> None:
    gate = threading.Event()
    engine = FakeEngine(gate=gate)
    with CpuPosePipeline(engine) as pipeline:
        pipeline.submit(FRAME)
        entered(engine, 1)
        late = pipeline.submit(FRAME, mode="budget", budget=0.001)
        time.sleep(0.01)
        gate.set()
        assert len(pipeline.submit(FRAME, mode="budget", budget=60).result(HANG_SECONDS).poses) == 1
    assert late.cancelled()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "latest"}, "a mode is every, newest or budget"),
        ({"mode": "budget"}, "belong together"),
        ({"budget": 0.1}, "belong together"),
        ({"mode": "budget", "budget": -1.0}, "a positive number of seconds"),
    ],
)
def test_wrong_modes_are_refused_at_once(changes: dict[str, object], message: str) -> None:
    with CpuPosePipeline(FakeEngine()) as pipeline, pytest.raises(InputError, match=message):
        pipeline.submit(FRAME, **changes)  # type: ignore[arg-type]


def test_an_error_is_its_frames_own() -> None:
    with CpuPosePipeline(FakeEngine(fail_on=1)) as pipeline:
        futures = [pipeline.submit(FRAME) for _ in range(3)]
        with pytest.raises(RuntimeError, match="the device fell off"):
            futures[1].result(HANG_SECONDS)
        assert len(futures[2].result(HANG_SECONDS).poses) == 1
        with pytest.raises(InputError, match=r"cv2\.imread"):
            pipeline.submit(None).result(HANG_SECONDS)


def test_close_waits_for_what_was_submitted_and_refuses_more() -> None:
    gate = threading.Event()
    engine = FakeEngine(gate=gate)
    pipeline = CpuPosePipeline(engine)
    futures = [pipeline.submit(FRAME) for _ in range(3)]
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    assert not engine.closed
    gate.set()
    closing.join(HANG_SECONDS)
    assert all(len(future.result(0).poses) == 1 for future in futures)
    assert engine.closed
    with pytest.raises(EngineError, match="the pipeline is closed"):
        pipeline.submit(FRAME)
    pipeline.close()


def test_a_callback_may_close_the_pipeline(threads_ended: Callable[[], bool]) -> None:
    engine = FakeEngine()
    pipeline = CpuPosePipeline(engine)
    pipeline.submit(FRAME).add_done_callback(lambda _: pipeline.close())
    assert threads_ended()
    assert engine.closed


def test_whoever_waits_to_submit_learns_of_the_close() -> None:
    gate = threading.Event()
    pipeline = CpuPosePipeline(FakeEngine(gate=gate))
    errors: list[BaseException] = []

    def push() -> None:
        try:
            while True:
                pipeline.submit(FRAME)
        except EngineError as error:
            errors.append(error)

    pushing = threading.Thread(target=push)
    pushing.start()
    pushing.join(0.05)
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    pushing.join(HANG_SECONDS)
    gate.set()
    closing.join(HANG_SECONDS)
    assert len(errors) == 1


def test_a_pipeline_that_is_thrown_away_ends_its_thread() -> None:
    pipeline = CpuPosePipeline(FakeEngine(fail_on=0))
    with pytest.raises(RuntimeError):
        pipeline.submit(FRAME).result(HANG_SECONDS)
    del pipeline
    gc.collect()


@pytest.mark.parametrize("end", ["at the end", "early", "by an error"])
def test_no_thread_is_left_a_hundred_times(end: str) -> None:
    for _ in range(TIMES):
        with CpuPosePipeline(FakeEngine(fail_on=1 if end == "by an error" else None)) as pipeline:
            futures = [pipeline.submit(FRAME) for _ in range(3)]
            if end == "early":
                futures[-1].cancel()
        assert futures[0].done()


def test_submitted_and_called_frames_are_the_same() -> None:
    with CpuPosePipeline(FakeEngine()) as pipeline:
        called, submitted = pipeline(FRAME), pipeline.submit(FRAME).result(HANG_SECONDS)
    np.testing.assert_array_equal(called.poses.keypoints, submitted.poses.keypoints)
    assert submitted.frame is FRAME
