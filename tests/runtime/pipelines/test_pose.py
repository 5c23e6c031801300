"""The pipeline: where people land, which frames it takes, what NaN maps do, and the flip and multi-scale tests."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heatstream.errors import InputError, ModelFileError
from heatstream.kernels import DecodeSettings, Geometry
from heatstream.results import StageTimes
from heatstream.runtime.pipelines.base import least_height
from heatstream.runtime.pipelines.pose import CpuPosePipeline, NetworkInput
from heatstream.skeletons import COCO_17
from tests.fakes.runtime import SPOTS, FakeEngine, spot

FIXED = replace(SPOTS, any_size=False, input_size=(128, 192))


@pytest.mark.parametrize(
    ("info", "size", "place"),
    [
        (SPOTS, (64, 64), (21, 41)),  # off the corners of map pixels, where four of them would tie
        (SPOTS, (48, 100), (70, 20)),  # landscape, enlarged
        (SPOTS, (333, 217), (150, 220)),  # portrait, odd, reduced
        (replace(SPOTS, project=True), (200, 301), (100, 90)),
        (FIXED, (128, 192), (151, 31)),
        (FIXED, (300, 200), (90, 250)),  # bars left and right
        (FIXED, (90, 400), (310, 50)),  # bars above and below
    ],
)
def test_a_spot_is_found_where_it_is(info: Any, size: tuple[int, int], place: tuple[float, float]) -> None:
    frame = spot(*size, *place, radius=max(size) // 20)
    poses = CpuPosePipeline(FakeEngine(info))(frame).poses
    assert len(poses) == 1
    # Half a map pixel at each of the two resolutions, in source px, plus the quarter-pixel rounding.
    tolerance = 3.0 * max(1.0, max(size) / 128)
    np.testing.assert_allclose(poses.keypoints[0], np.tile(place, (17, 1)), atol=tolerance)


def test_the_three_steps_are_the_call() -> None:
    pipeline = CpuPosePipeline(FakeEngine())
    frame = spot(48, 64, 30, 20)
    poses = pipeline.decode(pipeline.infer(pipeline.prepare(frame)))
    np.testing.assert_array_equal(poses.keypoints, pipeline(frame).poses.keypoints)


def test_a_call_times_each_step_where_it_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("heatstream.runtime.pipelines.pose.time.perf_counter", lambda: clock[0])
    pipeline = CpuPosePipeline(FakeEngine())
    for name, seconds in (("prepare", 1.0), ("infer", 20.0), ("_decode", 300.0)):
        step = getattr(pipeline, name)

        def slow(value: Any, step: Any = step, seconds: float = seconds) -> Any:
            clock[0] += seconds
            return step(value)

        monkeypatch.setattr(pipeline, name, slow)
    frame = spot(48, 64, 30, 20)
    result = pipeline(frame)
    assert result.timing == StageTimes({"preprocess": 1.0, "network": 20.0, "decode": 300.0}, latency=321.0)
    assert len(result.poses) == 1
    assert result.frame is frame
    assert result.faces is None


def test_missing_keypoints_stay_at_zero() -> None:
    engine = FakeEngine()
    run = engine.run

    def one_joint(images: Any) -> Any:
        maps = run(images)
        for name in ("heatmaps_quarter", "heatmaps_half"):
            maps[name][:, 1:] = 0
        return maps

    engine.run = one_joint  # type: ignore[method-assign]
    poses = CpuPosePipeline(engine)(spot(300, 200, 100, 200, radius=15)).poses
    assert len(poses) == 1
    assert poses.keypoint_scores[0, 0] > 0.5
    assert not poses.keypoints[0, 1:].any()


def test_scores_are_at_most_one_whatever_the_maps_hold() -> None:
    pipeline = CpuPosePipeline(FakeEngine(replace(SPOTS, std=(0.5, 0.5, 0.5))))  # the spot's heatmaps reach 2
    inferred = pipeline.infer(pipeline.prepare(spot(64, 64, 21, 41)))
    assert max(maps["heatmaps_half"].max() for maps in inferred.maps) > 1.5
    (person,) = pipeline.decode(inferred).keypoint_scores
    np.testing.assert_array_equal(person, 1)
    np.testing.assert_array_equal(pipeline.decode(inferred).scores, 1)


def test_the_surest_person_comes_first() -> None:
    frame = np.maximum(spot(128, 256, 40, 60) // 2, spot(128, 256, 200, 60))
    frame = np.maximum(frame, spot(128, 256, 120, 60) // 4 * 3)
    poses = CpuPosePipeline(FakeEngine())(frame).poses
    assert poses.joint("nose")[:, 0] == pytest.approx([200, 120, 40], abs=8)
    assert poses.scores.tolist() == sorted(poses.scores, reverse=True)


def test_it_says_what_it_is() -> None:
    info = replace(SPOTS, any_size=False, input_size=(64, 128))
    assert repr(CpuPosePipeline(FakeEngine())) == "CpuPosePipeline(spots (short side 64 px) on fake)"
    assert str(CpuPosePipeline(FakeEngine(info))) == "spots (64x128 px) on fake"


def test_a_strided_frame_is_read_as_it_looks() -> None:
    wide = spot(48, 128, 60, 20)
    pipeline = CpuPosePipeline(FakeEngine())
    view, mirrored = wide[:, ::2], wide[:, ::-1]
    for frame in (view, mirrored):
        expected = pipeline(np.ascontiguousarray(frame)).poses
        np.testing.assert_array_equal(pipeline(frame).poses.keypoints, expected.keypoints)
        assert len(expected) == 1


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        [[[1, 2, 3]]],
        None,
    ],
)
def test_other_things_than_frames_are_refused(frame: Any) -> None:
    with pytest.raises(InputError, match="a frame must"):
        CpuPosePipeline(FakeEngine())(frame)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_broken_maps_give_nobody_and_one_warning(poison: float) -> None:
    pipeline = CpuPosePipeline(FakeEngine(poison=poison))
    with pytest.warns(RuntimeWarning, match="NaN or infinite") as caught:
        poses = pipeline(spot(48, 64, 30, 20)).poses
    assert len(poses) == 0
    assert len(caught) == 1


def test_settings_come_from_the_file_unless_given() -> None:
    info = replace(SPOTS, decode={"max_people": 7, "adjust": "none"})
    from_file = CpuPosePipeline(FakeEngine(info)).settings
    assert (from_file.max_people, from_file.adjust, from_file.skeleton) == (7, "none", "coco-17")
    given = CpuPosePipeline(FakeEngine(info), DecodeSettings(max_people=3)).settings
    assert (given.max_people, given.adjust, given.skeleton) == (3, "quarter", "coco-17")


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelFileError, match="decode settings of another version"):
        CpuPosePipeline(FakeEngine(replace(SPOTS, decode={"colour": "red"})))
    with pytest.raises(InputError, match="crowdpose-14"):
        CpuPosePipeline(FakeEngine(), DecodeSettings(skeleton="crowdpose-14"))


def test_leaving_the_pipeline_closes_the_engine() -> None:
    engine = FakeEngine()
    with CpuPosePipeline(engine) as pipeline:
        assert pipeline.info is SPOTS
    assert engine.closed


ONE_BY_ONE = replace(SPOTS, batch=1)
ANY_NUMBER = replace(SPOTS, batch=None)


@pytest.mark.parametrize("info", [ONE_BY_ONE, ANY_NUMBER, replace(ANY_NUMBER, project=True), FIXED])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0), (2.0,)])
def test_mirrored_and_in_several_sizes_a_spot_is_where_it_is(info: Any, scales: tuple[float, ...]) -> None:
    if scales != (1.0,) and not info.any_size:
        with pytest.raises(InputError, match="--size any"):
            CpuPosePipeline(FakeEngine(info), scales=scales)
        return
    engine = FakeEngine(info)
    pipeline = CpuPosePipeline(engine, flip=True, scales=scales)
    frame = spot(140, 260, 91, 53, radius=12)
    poses = pipeline.for_throughput()(frame).poses
    assert engine.runs == len(scales) * (1 if info.batch is None else 2)
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0], np.tile((91, 53), (17, 1)), atol=6.0)


def test_the_mirrored_frame_speaks_of_the_other_side() -> None:
    """A network that takes whatever is brightest for the left wrist finds it on both sides of the mirror."""
    left, right = COCO_17.keypoints.index("left_wrist"), COCO_17.keypoints.index("right_wrist")

    class LeftWrist(FakeEngine):
        def run(self, images: Any) -> Any:
            maps = super().run(images)
            for name in ("heatmaps_quarter", "heatmaps_half"):
                maps[name][:, [joint for joint in range(17) if joint != left]] = 0
            return maps

    pipeline = CpuPosePipeline(LeftWrist(ANY_NUMBER), DecodeSettings(refine=False), flip=True)
    frame = spot(64, 128, 90, 30)
    poses = pipeline(frame).poses
    scores = CpuPosePipeline(LeftWrist(ANY_NUMBER), DecodeSettings(refine=False))(frame).poses.keypoint_scores
    np.testing.assert_allclose(poses.keypoint_scores[0, [left, right]], scores[0, left] / 2, rtol=1e-3)
    np.testing.assert_allclose(poses.keypoints[0, [left, right]], [(90, 30)] * 2, atol=2.0)


@pytest.mark.parametrize(
    ("scales", "words"),
    [
        ((), "none"),
        ((0.0, 1.0), "positive"),
        ((1.0, -2.0), "positive"),
        ((1.0, float("nan")), "positive"),
        ((1.0, 1.0), "differ"),
        ((0.5, 2.0), "tags are taken from scale 1"),
        ((1.0, 1.5), "whole multiples"),
    ],
)
def test_scales_that_cannot_be_are_refused(scales: tuple[float, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CpuPosePipeline(FakeEngine(), scales=scales)


@pytest.fixture(scope="module")
def reference_network() -> Any:
    pytest.importorskip("torch", reason="torch runs the reference network")
    from heatstream import models
    from tests.fakes.golden_weights import fill_golden_weights

    network = models.create("swahr-w32")
    fill_golden_weights(network)
    return network


class Unchecked:
    """The reference network on inputs of 32 px, which no frame leads to."""

    name, parallel_runs = "unchecked", 1

    def __init__(self, network: Any, info: Any) -> None:
        self.info, self.network = info, network.eval()

    def run(self, images: Any) -> Any:
        import torch

        with torch.inference_mode():
            out = self.network(torch.from_numpy(np.ascontiguousarray(images)))
        return dict(zip(self.info.outputs, [maps.numpy() for maps in (*out.heatmaps, out.tags)], strict=True))

    def for_throughput(self) -> Any:
        return self

    def close(self) -> None: ...


@pytest.mark.parametrize("project", [True, False])
def test_flip_and_scales_equal_the_reference(
    golden: Callable[[str], Any], reference_network: Any, project: bool
) -> None:
    file = golden("swahr_multiscale_w32.npz")
    images = [file[f"input_{scale}"] for scale in ("2", "1", "0.5")]
    both = tuple(np.concatenate([image, image[..., ::-1]]) for image in images)
    pipeline = CpuPosePipeline(
        Unchecked(reference_network, replace(ANY_NUMBER, project=project)), flip=True, scales=(0.5, 1, 2)
    )
    heatmaps, tags = pipeline.merge(
        pipeline.infer(NetworkInput(both, (Geometry.reference((64, 128), 64),) * 3, (64, 128)))
    )
    name = "proj" if project else "noproj"
    for actual, expected in (
        (heatmaps[..., 1::8, :], file[f"{name}_final_heatmaps_rows"]),
        (tags[..., 1::8, :, :], file[f"{name}_tags_rows"]),
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-4 * np.ptp(expected))


def test_the_smallest_scale_decides_what_is_rounded() -> None:
    """As officially: 100x150 px at 64 px short side are 96 px long, rounded up to 128, and larger scales follow."""
    info = replace(SPOTS, input_size=(128, 128))
    frame = np.zeros((100, 150, 3), np.uint8)
    prepared = CpuPosePipeline(FakeEngine(info), scales=(1, 2, 0.5)).prepare(frame)
    assert [image.shape[2:] for image in prepared.images] == [(256, 512), (128, 256), (64, 128)]
    assert prepared.size == (128, 256)
    (image,) = CpuPosePipeline(FakeEngine(info)).prepare(frame).images
    assert image.shape == (1, 3, 128, 192)


def test_calibrated_scores_are_read_off_the_curve() -> None:
    frame = spot(48, 64, 30, 20)
    plain = CpuPosePipeline(FakeEngine())(frame).poses
    info = replace(SPOTS, calibration=((0.0, 0.0), (1.0, 0.5)))
    calibrated = CpuPosePipeline(FakeEngine(info))(frame).poses
    np.testing.assert_allclose(calibrated.scores, plain.scores / 2, rtol=1e-6)
    np.testing.assert_array_equal(calibrated.keypoint_scores, plain.keypoint_scores)


def test_the_least_height_of_a_confidence_is_its_place_on_the_curve() -> None:
    info = replace(SPOTS, calibration=((0.0, 0.0), (0.2, 0.5), (1.0, 0.9)))
    assert [least_height(info, value) for value in (0.0, 0.25, 0.5, 0.7)] == pytest.approx([0.0, 0.1, 0.2, 0.6])
    assert least_height(SPOTS, 0.3) == 0.3


class Profiled(FakeEngine):
    """While it runs, somebody looks at every object there is, as profilers of memory do."""

    def run(self, images: Any) -> Any:
        self.seen = gc.get_objects()
        return super().run(images)


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0)])
def test_profilers_of_memory_may_look_on(scales: tuple[float, ...]) -> None:
    """A tuple that grows while somebody holds it is an error of Python before 3.14 (bpo-15108)."""
    frame = spot(64, 64, 21, 41)
    assert len(CpuPosePipeline(Profiled(), flip=True, scales=scales)(frame).poses) == 1
