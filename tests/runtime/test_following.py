"""The last step of a stream: ids and smoothing, in order, whole, and also before an error."""

from __future__ import annotations

import pytest

from benchmarks.moving_people import SCENES, record
from heatstream.errors import InputError, SourceError
from heatstream.results import Result, StageTimes
from heatstream.runtime.following import Follower
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.stream import stream
from tests.fakes.runtime import FakeEngine, FakeSource

FRAMES = [
    Result(frame.poses, StageTimes({}, 0.0), frame_index=number, capture_time=frame.time)
    for number, frame in enumerate(record(SCENES[0], 0)[:60])
]


def followed(results: list[Result], *, live: bool, smooth: bool) -> list[Result]:
    follower = Follower(live=live, smooth=smooth)
    return [each for result in results for each in follower.add(result)] + follower.finish()


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("smooth", [True, False])
def test_everybody_gets_an_id_and_only_smoothing_moves_keypoints(live: bool, smooth: bool) -> None:
    given = followed(FRAMES, live=live, smooth=smooth)
    assert [result.frame_index for result in given] == list(range(60))
    assert set(given[30].poses.ids.tolist()) == {1, 2}
    assert (given[30].poses.keypoints == FRAMES[30].poses.keypoints).all() != smooth


def test_live_results_wait_for_nothing() -> None:
    assert [each.frame_index for each in Follower(live=True, smooth=True).add(FRAMES[0])] == [0]


def test_pictures_have_no_ids() -> None:
    pictures = [Result(r.poses, r.timing, frame_index=r.frame_index, picture="a.jpg") for r in FRAMES[:3]]
    assert [result.poses.ids.tolist() for result in followed(pictures, live=False, smooth=True)] == [[-1, -1]] * 3


@pytest.mark.parametrize("smooth", [True, False])
def test_an_error_comes_after_all_results_before_it(smooth: bool) -> None:
    source = FakeSource(None, fail_after=40, error=SourceError("the cable fell out"))
    given: list[Result] = []
    with pytest.raises(SourceError, match="the cable fell out"):
        given.extend(stream(source, CpuPosePipeline(FakeEngine()), smooth=smooth))
    assert len(given) == 40


def test_a_stream_smooths_a_file_whole() -> None:
    results = list(stream(FakeSource(50), CpuPosePipeline(FakeEngine()), smooth=True))
    assert [result.frame_index for result in results] == list(range(50))


def test_smoothing_without_tracking_is_refused() -> None:
    with pytest.raises(InputError, match="smoothing needs to know who is who"):
        stream(FakeSource(1), CpuPosePipeline(FakeEngine()), track=False, smooth=True)
