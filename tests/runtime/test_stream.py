"""The stream: order, drops, errors from every stage, and that it always ends."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import heatstream
from heatstream.errors import EngineError, InputError, SourceError, UnknownNameError
from heatstream.results import Result
from heatstream.runtime import stream as stream_module
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.stream import stream
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import MODELS, FakeEngine, FakeLandmarkEngine, FakeSource, write_video
from tests.soak import Camera

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.mark.parametrize("workers", [None, 1, 2, 5])
def test_files_lose_nothing_and_keep_order(workers: int | None) -> None:
    source = FakeSource(50)
    results = list(stream(source, CpuPosePipeline(FakeEngine()), workers=workers))
    assert [result.frame_index for result in results] == list(range(50))
    assert [int(result.frame[0, 0, 0]) for result in results] == list(range(50))
    assert results[-1].capture_time == pytest.approx(49 / 25)
    assert results[-1].dropped == 0
    assert source.closed.is_set()


def test_two_frames_of_a_file_are_in_the_engine_at_once() -> None:
    both = threading.Barrier(2, timeout=HANG_SECONDS)
    engine = FakeEngine()
    run = engine.run

    def meet(images: object) -> object:
        both.wait()
        return run(images)  # type: ignore[arg-type]

    engine.run = meet  # type: ignore[method-assign, assignment]
    assert len(list(stream(FakeSource(4), CpuPosePipeline(engine)))) == 4


def test_a_live_source_keeps_the_newest_and_counts_the_rest() -> None:
    gate = threading.Event()
    source = FakeSource(20, live=True)
    results = stream(source, CpuPosePipeline(FakeEngine(gate=gate)))
    assert source.closed.wait(HANG_SECONDS)  # all 20 were read while the engine was busy with the first it took
    gate.set()
    indices = [result.frame_index for result in results]
    summary = results.summary()
    assert indices[-1] == 19
    assert indices == sorted(set(indices))
    assert len(indices) + summary.dropped == 20
    assert summary.dropped >= 17
    assert summary.frames == len(indices)


def test_frames_limits_the_results() -> None:
    results = stream(FakeSource(None, pace=0.001), CpuPosePipeline(FakeEngine()), frames=7)
    assert [result.frame_index for result in results] == list(range(7))
    assert results.summary().frames == 7


def test_the_summary_has_every_stage() -> None:
    results = stream(FakeSource(10), CpuPosePipeline(FakeEngine()))
    assert results.summary().stages == {}
    times = [result.timing for result in results]
    summary = results.summary()
    assert list(summary.stages) == ["capture", "preprocess", "network", "decode", "latency"]
    assert summary.stages["network"].p50 == pytest.approx(np.median([time.stages["network"] for time in times]))
    assert summary.stages["latency"].p99 >= summary.stages["latency"].p50 > 0
    assert summary.fps == pytest.approx(10 / summary.seconds)
    for time_of_one in times:
        assert time_of_one.latency >= sum(time_of_one.stages.values())


def test_an_engine_that_raises_ends_it_once_after_the_results_before() -> None:
    source = FakeSource(None)
    engine = FakeEngine(fail_on=5)
    results = stream(source, CpuPosePipeline(engine), workers=1)
    given: list[Result] = []
    with pytest.raises(RuntimeError, match="the device fell off"):
        given.extend(results)
    assert [result.frame_index for result in given] == list(range(5))
    assert list(results) == []
    assert source.closed.wait(HANG_SECONDS)
    assert not engine.closed  # the pipeline stays the caller's


def test_a_camera_that_dies_keeps_the_results_so_far() -> None:
    source = FakeSource(None, fail_after=5, error=SourceError("lost the camera"), pace=0.001)
    given: list[Result] = []
    with pytest.raises(SourceError, match="lost the camera"):
        given.extend(stream(source, CpuPosePipeline(FakeEngine())))
    assert given
    assert given[-1].frame_index == 4  # the newest one was still worked on


def test_a_bad_frame_ends_it_with_a_reason() -> None:
    source = FakeSource(3)
    pipeline = CpuPosePipeline(FakeEngine())

    def refuse(frame: object) -> object:
        raise InputError("a frame must hold pixels")

    pipeline.prepare = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(InputError, match="must hold pixels"):
        list(stream(source, pipeline))


def test_broken_maps_do_not_end_it() -> None:
    with pytest.warns(RuntimeWarning, match="NaN or infinite"):
        results = list(stream(FakeSource(6), CpuPosePipeline(FakeEngine(poison=np.nan))))
    assert [len(result.poses) for result in results] == [0] * 6


@pytest.mark.parametrize("live", [False, True])
def test_a_consumer_that_leaves_early_stops_everything(live: bool) -> None:
    source = FakeSource(None, live=live)
    start = time.monotonic()
    with pytest.raises(ZeroDivisionError), stream(source, CpuPosePipeline(FakeEngine())) as results:
        _ = next(results).frame_index / 0
    assert time.monotonic() - start < HANG_SECONDS
    assert source.closed.wait(HANG_SECONDS)


def test_ctrl_c_while_waiting_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FakeSource(None)
    results = stream(source, CpuPosePipeline(FakeEngine()))
    next(results)

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results._queue, "next", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert source.closed.wait(HANG_SECONDS)
    assert list(results) == []


def test_a_stream_that_is_thrown_away_stops() -> None:
    source = FakeSource(None)
    results = stream(source, CpuPosePipeline(FakeEngine()))
    next(results)
    del results
    gc.collect()
    assert source.closed.wait(HANG_SECONDS)


@pytest.mark.parametrize("broken", ["camera", "network"])
def test_a_stream_that_an_error_has_ended_is_gone_before_garbage_is_collected(broken: str) -> None:
    """Its frames and queues are large, and a program that opens it again and again would have many of them."""
    gc.collect()
    gc.disable()
    try:
        source = Camera(0, 100, {2: "camera fails"} if broken == "camera" else {})  # its error is kept by nobody else
        engine = FakeEngine(fail_on=2 if broken == "network" else None)
        results = stream(source, CpuPosePipeline(engine))
        with suppress(RuntimeError, SourceError):  # pytest.raises would keep them
            list(results)
        assert source.closed.wait(HANG_SECONDS)
        kept = weakref.ref(results), weakref.ref(results._queue)
        del results, source
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


def test_a_reader_that_hangs_does_not_hold_up_the_end() -> None:
    gate = threading.Event()
    source = FakeSource(None, live=True, gate=gate)
    results = stream(source, CpuPosePipeline(FakeEngine()))
    next(results)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < HANG_SECONDS
    assert not source.closed.is_set()
    gate.set()
    assert source.closed.wait(HANG_SECONDS)


@pytest.mark.parametrize("changes", [{"frames": 0}, {"workers": 0}])
def test_numbers_must_be_positive(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        stream(FakeSource(), CpuPosePipeline(FakeEngine()), **changes)


@pytest.mark.parametrize("wrong", [LandmarkPipeline(FakeLandmarkEngine()), 7, None, print])
def test_what_is_no_pose_pipeline_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match=r"^a stream takes a pipeline of heatstream\.load, or .* got "):
        stream(FakeSource(), wrong)  # type: ignore[arg-type]


def test_a_models_file_is_loaded_and_closed_with_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CLOSE_SECONDS", HANG_SECONDS)  # a pipeline in which a stage hangs stays open
    with stream(FakeSource(3), MODELS / "spots.onnx") as results:
        assert [result.frame_index for result in results] == [0, 1, 2]
    assert results._own_pipeline is not None
    with pytest.raises(EngineError, match="closed"):
        results._own_pipeline(np.zeros((48, 64, 3), np.uint8))
    source = FakeSource()
    with pytest.raises(UnknownNameError, match="swahr-tiny"):
        stream(source, "swahr-tin")
    assert source.closed.is_set()


@pytest.mark.filterwarnings("ignore:more than 30 people")  # noise looks like a crowd to it
def test_it_opens_what_a_person_types(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", frames=12)
    results = heatstream.stream(str(path), CpuPosePipeline(FakeEngine()))
    assert [result.frame_index for result in results] == list(range(12))
    assert results.summary().warnings == ()
    with pytest.raises(SourceError, match="there is no file"):
        heatstream.stream(tmp_path / "none.avi", CpuPosePipeline(FakeEngine()))
