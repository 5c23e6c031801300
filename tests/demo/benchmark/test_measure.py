"""Measuring in turns, on engines and pipelines made by hand."""

from __future__ import annotations

import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from heatstream.demo.benchmark import cases as cases
from heatstream.demo.benchmark import measure
from heatstream.demo.benchmark.cases import CaseConfig
from heatstream.demo.benchmark.frames import FrameFeed, open_feed
from heatstream.demo.benchmark.measure import Measurement
from heatstream.demo.benchmark.record import Run
from heatstream.demo.benchmark.scenarios import CAMERA, ENGINE, FRAME, PIPELINE, THROUGHPUT, pose_scenarios
from heatstream.demo.benchmark.stub_engines import ResizedEngine, StubPeopleEngine
from heatstream.errors import EngineError, InputError, SourceError
from heatstream.results import Result, StageTimes
from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.pipelines.pose_gpu import GpuPosePipeline
from tests.fakes.patience import threads_beyond, until
from tests.fakes.runtime import POINTS, SPOTS, FakeEngine, FakeLandmarkEngine, spot

FEED = FrameFeed("a spot", (spot(64, 96, 40.3, 30.7), spot(64, 96, 50.3, 30.7)))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What ``load`` gives; the test puts a pipeline under ``"pipeline"``."""
    holder: dict[str, Any] = {"pipeline": CpuPosePipeline(FakeEngine())}
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    monkeypatch.setattr(measure, "ENOUGH", measure.MIN_TURNS)  # however busy the machine is
    monkeypatch.setattr(cases, "load_pipeline", lambda *_: holder["pipeline"])
    monkeypatch.setattr(cases, "model_path", lambda _: path)
    return holder


def _measured(config: CaseConfig, *, windows: int | None = None) -> Run | None:
    with Measurement(config, FEED, seconds=0.1) as measurement:
        for _ in islice(measurement, windows):
            pass
        return measurement.run()


def test_every_scenario_has_its_turns(loaded: dict[str, Any]) -> None:
    run = _measured(CaseConfig("spots", batches=(1,)))
    assert run is not None
    assert list(run.rates) == [ENGINE, THROUGHPUT, FRAME, PIPELINE, CAMERA]
    assert {len(rate.fps) for rate in run.rates.values()} == {measure.MIN_TURNS}
    assert all(min(rate.fps) > 0 for rate in run.rates.values())
    assert (run.model, run.task, run.input_size, run.frame_size) == ("spots", "pose", (64, 128), (64, 96))
    assert run.people == 1.0
    assert list(run.stages) == ["preprocess", "network", "decode"]
    assert 0 < sum(stage.share for stage in run.stages.values()) <= 1 + 1e-9
    assert run.camera is not None
    assert run.camera.quantiles[50] == run.camera.latency["p50"]
    assert list(run.camera.quantiles) == sorted(run.camera.quantiles)
    assert loaded["pipeline"].engine.closed


def test_stages_have_their_shares_of_all_frames_together() -> None:
    quick = StageTimes({"network": 1.0, "decode": 0.5}, latency=2.0)
    slow = StageTimes({"network": 4.0, "decode": 0.5}, latency=6.0)
    stages = measure._stages([[quick, quick], [slow]])
    assert {name: (stage.p50, stage.share) for name, stage in stages.items()} == {
        "network": (1.0, pytest.approx(0.6)),
        "decode": (0.5, pytest.approx(0.15)),
    }


@pytest.mark.parametrize(("windows", "turns"), [(0, 0), (4, 0), (5, 1), (9, 1), (13, 2)])
def test_whoever_leaves_early_keeps_the_whole_turns(loaded: dict[str, Any], windows: int, turns: int) -> None:
    run = _measured(CaseConfig("spots"), windows=windows)
    found = 0 if run is None else len(run.rates[PIPELINE].fps)
    assert found == turns
    assert loaded["pipeline"].engine.closed


def test_a_slow_model_ends_early(loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "ENOUGH", 1)
    with Measurement(CaseConfig("spots"), FEED, seconds=1e-6) as measurement:
        assert len(list(measurement)) == len(measurement) / measure.MIN_TURNS


def test_a_failure_is_raised_and_the_model_closed(loaded: dict[str, Any]) -> None:
    class Broken(FakeEngine):
        def run(self, images: Any) -> Any:
            raise EngineError("the device fell off")

    loaded["pipeline"] = CpuPosePipeline(Broken())
    with pytest.raises(EngineError, match="fell off"):
        Measurement(CaseConfig("spots"), FEED, seconds=0.1)
    assert loaded["pipeline"].engine.closed


def test_landmarks_are_counted_by_the_face(loaded: dict[str, Any]) -> None:
    engine = FakeLandmarkEngine(POINTS)
    loaded["pipeline"] = LandmarkPipeline(engine)
    run = _measured(CaseConfig("points"))
    assert run is not None
    assert run.task == "landmarks"
    assert [key for key in run.rates if key.startswith("faces")] == ["faces_1", "faces_4", "faces_16", "faces_upright"]
    assert "engine_batch_16" in run.rates
    assert run.camera is None
    assert (run.people, run.stages) == (None, {})
    assert 16 in engine.batches


@pytest.mark.parametrize(
    ("info", "config", "words"),
    [
        (POINTS, CaseConfig("points", crowd=3), "--size and --people change what surrounds a pose network on the CPU"),
        (SPOTS, CaseConfig("spots", batches=(1, 4)), "spots takes 1 image per run, not 4"),
    ],
)
def test_what_cannot_be_measured_is_refused(loaded: dict[str, Any], info: Any, config: CaseConfig, words: str) -> None:
    engine = FakeLandmarkEngine(info) if info is POINTS else FakeEngine(info)
    loaded["pipeline"] = LandmarkPipeline(engine) if info is POINTS else CpuPosePipeline(engine)
    with pytest.raises(InputError, match=words):
        Measurement(config, FEED, seconds=0.1)
    assert engine.closed


def test_a_pipeline_on_the_gpu_tells_of_its_engine_by_its_own_clock(loaded: dict[str, Any]) -> None:
    class OnTheGpu(CpuPosePipeline, GpuPosePipeline):  # which does the work on the CPU
        def stage_times(self, frame: object, repeats: int) -> dict[str, Any]:
            return {name: np.full(repeats, ms / 1e3) for name, ms in (("engine", 4.0), ("decode", 0.5), ("frame", 5.0))}

    loaded["pipeline"] = OnTheGpu(FakeEngine())
    run = _measured(CaseConfig("spots"))
    assert run is not None
    assert run.rates[ENGINE].fps == pytest.approx((250.0,) * measure.MIN_TURNS)
    assert run.rates[ENGINE].cpu_seconds is None
    assert run.gpu_stages["decode"].share == pytest.approx(0.1)
    assert THROUGHPUT not in run.rates


def test_a_crowd_takes_the_place_of_what_the_network_found() -> None:
    engine = FakeEngine(SPOTS)
    crowded = CpuPosePipeline(StubPeopleEngine(engine, 6))
    found = [len(crowded(FEED.frames[0]).poses) for _ in range(3)]
    assert all(4 <= count <= 9 for count in found)  # joints that lie on each other may part or join a person
    assert engine.runs == 3
    assert len(CpuPosePipeline(StubPeopleEngine(engine, 0))(FEED.frames[0]).poses) == 0


def test_a_crowd_is_the_callers_own_memory() -> None:
    crowd = StubPeopleEngine(FakeEngine(), 1)
    images = np.zeros((1, 3, 64, 64), np.float32)
    runs = [crowd.run(images) for _ in range(4)]
    runs[0]["tags"][:] = 7
    assert not (runs[3]["tags"] == 7).any()  # the same scene again


def test_a_size_holds_for_frames_of_every_shape() -> None:
    sized = CpuPosePipeline(ResizedEngine(FakeEngine(), (128, 192)))
    assert sized.prepare(FEED.frames[0]).images[0].shape == (1, 3, 128, 192)
    assert sized.for_throughput().prepare(FEED.frames[0]).images[0].shape == (1, 3, 128, 192)
    with pytest.raises(InputError, match="points takes images of 64x64 px only: leave --size out"):
        ResizedEngine(FakeLandmarkEngine(POINTS), (128, 128))


def test_latency_counts_from_when_the_frame_was_due() -> None:
    """A frame that waits for a busy pipeline is late, also when a newer one took its place."""

    class Slow(CpuPosePipeline):
        def __call__(self, frame: object) -> Result:
            time.sleep(0.05)
            return super().__call__(frame)

    (_, _, camera) = pose_scenarios(Slow(FakeEngine()), FEED, fps=100)
    counted = camera.run(0.5)
    assert min(counted.latencies) >= 0.05
    assert counted.dropped > counted.images  # of five frames four come in vain
    assert counted.images <= 11


def test_a_camera_keeps_its_pace() -> None:
    start = time.perf_counter()
    for frame in islice(FEED.paced(200), 20):
        now = time.perf_counter()
        assert frame.capture_time <= now
    assert now - start >= 18.5 / 200  # from the start: a first frame that is late does not shift the others


def test_a_video_is_read_again_and_again(clip: Path) -> None:
    feed = open_feed(str(clip))
    assert feed.name == clip.name
    source = feed.endless()
    frames = list(islice(source, 65))
    source.close()
    assert [frame.index for frame in frames] == list(range(65))
    assert np.array_equal(frames[0].image, frames[30].image)  # the clip has 30
    assert not np.array_equal(frames[0].image, frames[31].image)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        open_feed(str(tmp_path))


def test_a_picture_is_a_source(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), FEED.frames[0])
    feed = open_feed(str(tmp_path / "a.png"))
    assert feed.size == (64, 96)
    assert [frame.index for frame in islice(feed.endless(), 3)] == [0, 1, 2]


def test_nothing_is_left_running(loaded: dict[str, Any]) -> None:
    before = set(threading.enumerate())
    _measured(CaseConfig("spots"))
    until(lambda: not threads_beyond(before))
