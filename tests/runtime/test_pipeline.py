"""The pipeline: where people land, which frames it takes, and what NaN maps do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heatstream.errors import InputError, ModelFileError
from heatstream.kernels import DecodeSettings
from heatstream.runtime.pipeline import Pipeline
from tests.runtime.fakes import SPOTS, FakeEngine, spot

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
    poses = Pipeline(FakeEngine(info))(frame)
    assert len(poses) == 1
    # Half a map pixel at each of the two resolutions, in source px, plus the quarter-pixel rounding.
    tolerance = 3.0 * max(1.0, max(size) / 128)
    np.testing.assert_allclose(poses.keypoints[0], np.tile(place, (17, 1)), atol=tolerance)


def test_the_three_steps_are_the_call() -> None:
    pipeline = Pipeline(FakeEngine())
    frame = spot(48, 64, 30, 20)
    poses = pipeline.decode(pipeline.infer(pipeline.prepare(frame)))
    np.testing.assert_array_equal(poses.keypoints, pipeline(frame).keypoints)


def test_missing_keypoints_stay_at_zero() -> None:
    engine = FakeEngine()
    run = engine.run

    def one_joint(images: Any) -> Any:
        maps = run(images)
        for name in ("heatmaps_quarter", "heatmaps_half"):
            maps[name][:, 1:] = 0
        return maps

    engine.run = one_joint  # type: ignore[method-assign]
    poses = Pipeline(engine)(spot(300, 200, 100, 200, radius=15))
    assert len(poses) == 1
    assert poses.keypoint_scores[0, 0] > 0.5
    assert not poses.keypoints[0, 1:].any()


def test_a_strided_frame_is_read_as_it_looks() -> None:
    wide = spot(48, 128, 60, 20)
    pipeline = Pipeline(FakeEngine())
    view, mirrored = wide[:, ::2], wide[:, ::-1]
    for frame in (view, mirrored):
        expected = pipeline(np.ascontiguousarray(frame))
        np.testing.assert_array_equal(pipeline(frame).keypoints, expected.keypoints)
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
        Pipeline(FakeEngine())(frame)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_broken_maps_give_nobody_and_one_warning(poison: float) -> None:
    pipeline = Pipeline(FakeEngine(poison=poison))
    with pytest.warns(RuntimeWarning, match="NaN or infinite") as caught:
        poses = pipeline(spot(48, 64, 30, 20))
    assert len(poses) == 0
    assert len(caught) == 1


def test_settings_come_from_the_file_unless_given() -> None:
    info = replace(SPOTS, decode={"max_people": 7, "adjust": "none"})
    from_file = Pipeline(FakeEngine(info)).settings
    assert (from_file.max_people, from_file.adjust, from_file.skeleton) == (7, "none", "coco-17")
    given = Pipeline(FakeEngine(info), DecodeSettings(max_people=3)).settings
    assert (given.max_people, given.adjust, given.skeleton) == (3, "quarter", "coco-17")


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelFileError, match="decode settings of another version"):
        Pipeline(FakeEngine(replace(SPOTS, decode={"colour": "red"})))
    with pytest.raises(InputError, match="crowdpose-14"):
        Pipeline(FakeEngine(), DecodeSettings(skeleton="crowdpose-14"))


def test_leaving_the_pipeline_closes_the_engine() -> None:
    engine = FakeEngine()
    with Pipeline(engine) as pipeline:
        assert pipeline.info is SPOTS
    assert engine.closed
