"""Several sources in one stream: order, fairness, ends of their own, batches, and how they share the pipeline."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import heatstream
from heatstream.errors import InputError, SourceError
from heatstream.results import Result
from heatstream.runtime import arrangement as arrangement_module
from heatstream.runtime import stream as stream_module
from heatstream.runtime.arrangement import Arrangement, fastest_arrangement
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import Stream, stream
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import SPOTS, FakeEngine, FakeSource, spot, write_video

BATCHES = replace(SPOTS, batch=None)

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def pipeline(**changes: object) -> CpuPosePipeline:
    return CpuPosePipeline(FakeEngine(**changes))  # type: ignore[arg-type]


def arranged(monkeypatch: pytest.MonkeyPatch, *, workers: int = 1, batch: int = 1) -> None:
    """Leave nothing to what is measured."""

    def arrangement(chosen: PosePipeline, sources: int, size: tuple[int, int]) -> Arrangement:
        return Arrangement(chosen, workers, batch)

    monkeypatch.setattr(stream_module, "fastest_arrangement", arrangement)


def by_source(results: list[Result]) -> dict[int | None, list[int]]:
    found: dict[int | None, list[int]] = {}
    for result in results:
        found.setdefault(result.source, []).append(result.frame_index)
    return found


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (3, 1), (1, 4), (2, 2)])
def test_every_source_has_all_its_frames_in_order(monkeypatch: pytest.MonkeyPatch, workers: int, batch: int) -> None:
    arranged(monkeypatch, workers=workers, batch=batch)
    sources = [FakeSource(count) for count in (20, 5, 0, 12)]
    results = list(stream(sources, pipeline(info=BATCHES)))
    assert by_source(results) == {0: list(range(20)), 1: list(range(5)), 3: list(range(12))}
    for result in results:
        assert result.frame[0, 0, 0] == result.frame_index
        assert result.to_dict()["source"] == result.source
    assert all(source.closed.is_set() for source in sources)


def test_one_source_carries_no_number() -> None:
    (result,) = stream([FakeSource(1)], pipeline())
    assert result.source is None
    assert "source" not in result.to_dict()


def test_a_way_to_share_is_measured_and_taken() -> None:
    results = list(stream([FakeSource(6), FakeSource(6)], pipeline(info=BATCHES)))
    assert by_source(results) == {0: list(range(6)), 1: list(range(6))}


class OrderedSource(FakeSource):
    """A camera that gives frames when it is told to.

    Args:
        ordered: how many it gives at once.
    """

    def __init__(self, ordered: int = 0) -> None:
        super().__init__(None, live=True)
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._ordered = self._read = 0
        self._order(ordered)

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            if not self._orders.get():
                return
            yield frame
            self._read += 1

    def give(self, frames: int) -> None:
        """Give so many frames, and wait until the stream has them, or has ended."""
        self._order(frames)
        until(lambda: self._read == self._ordered or self.closed.is_set())

    def interrupt(self) -> None:
        self._orders.put(False)

    def _order(self, frames: int) -> None:
        self._ordered += frames
        for _ in range(frames):
            self._orders.put(True)


def test_drops_are_fair_and_a_slow_source_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the network looks at one frame three sources give three each; one gives a frame in twelve such times."""
    arranged(monkeypatch)
    slow, *fast = sources = [OrderedSource(), *(OrderedSource(1) for _ in range(3))]

    class Network(CpuPosePipeline):
        calls = 0

        def __call__(self, frame: object) -> Result:
            self.calls += 1
            for source in fast:
                source.give(3)
            if self.calls % 12 == 0:
                slow.give(1)
            return super().__call__(frame)

    with stream(sources, Network(FakeEngine())) as results:
        counts = Counter(result.source for result in islice(results, 240))
        health = results.health()
    assert max(counts[number] for number in (1, 2, 3)) - min(counts[number] for number in (1, 2, 3)) <= 1
    assert counts[0] == 240 // 12 - 1  # what it gave while the last frame was looked at is yet to come
    assert health.sources[0].dropped["newer"] == 0
    assert all(source.dropped["newer"] > 240 for source in health.sources[1:])


def test_a_source_that_fails_ends_alone_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(monkeypatch)
    dead = FakeSource(None, live=True, fail_after=1, error=SourceError("the cable fell out"))
    results = stream([FakeSource(30), dead], pipeline())
    given: list[Result] = []
    with pytest.raises(SourceError, match="the cable fell out"):
        given.extend(results)
    assert by_source(given) == {0: list(range(30)), 1: [0]}
    health = results.health()
    assert [source.state for source in health.sources] == ["ended", "failed"]
    assert health.sources[1].error == "the cable fell out"
    assert results.summary().warnings == ("fake has ended, the others went on: the cable fell out",)


def test_an_engine_that_fails_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(monkeypatch, batch=2)
    with pytest.raises(RuntimeError, match="the device fell off"):
        list(stream([FakeSource(None), FakeSource(None)], pipeline(info=BATCHES, fail_on=3)))


def test_a_silent_source_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(monkeypatch, batch=2)
    gate = threading.Event()
    with stream([FakeSource(40), FakeSource(None, live=True, gate=gate)], pipeline(info=BATCHES)) as results:
        given = by_source(list(islice(results, 41)))
        gate.set()
    assert given[0] == list(range(40))


def test_frames_ready_together_go_together_and_the_wait_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """So slow is this network that all sources have a frame again, and the caller all results, before it is done."""
    arranged(monkeypatch, batch=4)
    streams: list[Stream] = []
    batches: list[int] = []

    def all_is_ready() -> bool:
        line = streams[0]._queue if streams else None
        return line is not None and line._turns.qsize() >= 4 and all(lane.jobs or lane.ended for lane in line._lanes)

    class Slow(CpuPosePipeline):
        def __call__(self, frame: object) -> Result:
            until(all_is_ready)
            batches.append(1)
            return super().__call__(frame)

        def batch(self, frames: object) -> list[Result]:
            until(all_is_ready)
            batches.append(len(frames))  # type: ignore[arg-type]
            return super().batch(frames)  # type: ignore[arg-type]

    streams.append(stream([FakeSource(40) for _ in range(4)], Slow(FakeEngine(BATCHES))))
    assert len(list(streams[0])) == 160
    assert batches[1:40] == [4] * 39  # at first and at last not all have one
    assert len(batches) <= 41
    assert streams[0].health().waited is not None


def test_ids_are_counted_for_each_source(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(monkeypatch)

    class Spots(FakeSource):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in super().__iter__():
                yield replace(frame, image=spot(48, 64, 30, 24))

    ids = [(result.source, result.poses.ids.tolist()) for result in stream([Spots(4), Spots(4)], pipeline())]
    assert sorted(ids) == [(0, [1])] * 4 + [(1, [1])] * 4


def test_frames_limits_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged(monkeypatch, batch=3)
    sources = [FakeSource(None) for _ in range(3)]
    assert len(list(stream(sources, pipeline(info=BATCHES), frames=7))) == 7


@pytest.mark.filterwarnings("ignore:more than 30 people")  # noise looks like a crowd to it
def test_what_a_person_types_is_opened_and_pictures_stay_one_source(tmp_path: Path) -> None:
    clips = [write_video(tmp_path / name, frames=3) for name in ("one.avi", "two.avi")]
    results = list(heatstream.stream([str(clips[0]), clips[1], FakeSource(2)], pipeline()))
    assert by_source(results) == {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1]}
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for path in pictures:
        cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    assert [result.source for result in heatstream.stream(pictures, pipeline())] == [None, None]


def test_one_that_cannot_be_opened_closes_the_others(tmp_path: Path) -> None:
    other = FakeSource()
    with pytest.raises(SourceError, match="there is no file"):
        heatstream.stream([other, tmp_path / "none.avi"], pipeline())
    assert other.closed.is_set()


class Doubtful(CpuPosePipeline):
    """One person of whom it is sure in every other frame."""

    def __init__(self) -> None:
        super().__init__(FakeEngine())
        self.calls = 0

    def __call__(self, frame: object) -> Result:
        self.calls += 1
        found = super().__call__(spot(48, 64, 30, 24))
        return replace(found, poses=replace(found.poses, scores=np.full(1, 0.12 if self.calls % 2 else 0.9)))


def test_people_of_low_scores_keep_the_ids_of_those_who_are_shown() -> None:
    found = [each.poses for each in stream(FakeSource(20), Doubtful(), workers=1, confidence=0.5)]
    assert [poses.ids.tolist() for poses in found[4:]] == [[], [1]] * 8
    assert min(poses.scores.min() for poses in found if len(poses)) >= 0.5


# ---- Modes -----------------------------------------------------------------------------------------------------------


def test_every_frame_of_a_live_source_is_worked_on_if_asked() -> None:
    source = FakeSource(30, live=True)
    assert [each.frame_index for each in stream(source, pipeline(), mode="every")] == list(range(30))


def test_newest_drops_of_a_file_too() -> None:
    gate = threading.Event()
    source = FakeSource(30)
    results = stream(source, pipeline(gate=gate), mode="newest")
    assert source.closed.wait(HANG_SECONDS)
    gate.set()
    assert len(list(results)) <= 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "latest"}, "a mode is every, newest or budget, got 'latest'"),
        ({"mode": "budget"}, "belong together"),
        ({"mode": "every", "budget": 0.1}, "belong together"),
        ({"budget": 0.0}, "a positive number of seconds, got 0"),
        ({"budget": 0.1}, "those of fake have no age"),
        ({"confidence": 1.5}, "confidence must be from 0 to 1"),
    ],
)
def test_wrong_modes_and_numbers_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        stream(FakeSource(), pipeline(), **changes)  # type: ignore[arg-type]


# ---- How they share the pipeline -------------------------------------------------------------------------------------


class Timed(CpuPosePipeline):
    """Takes the time it is told to, for a frame alone and for a batch, on a clock that nothing else moves."""

    def __init__(self, *, one: float, batch: float, parallel_runs: int = 1) -> None:
        super().__init__(FakeEngine(BATCHES, parallel_runs=parallel_runs))
        self.now = 100.0
        self._one, self._whole = one, batch
        self._all_at_once = threading.Barrier(parallel_runs, timeout=HANG_SECONDS)

    def __call__(self, frame: object) -> Result:
        begun = self.now
        if threading.current_thread() is not threading.main_thread():
            self._all_at_once.wait()  # what is done side by side begins at one time
        self.now = begun + self._one
        return super().__call__(frame)

    def batch(self, frames: object) -> list[Result]:
        self.now += self._whole
        return super().batch(frames)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "batch", "runs", "expected"),
    [
        (0.02, 0.02, 1, "batches of up to 4"),
        (0.005, 0.1, 1, "one after the other"),
        (0.02, 0.1, 3, "3 at once"),
    ],
)
def test_the_fastest_way_is_taken(
    one: float, batch: float, runs: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Timed(one=one, batch=batch, parallel_runs=runs)
    monkeypatch.setattr(arrangement_module, "time", SimpleNamespace(perf_counter=lambda: tried.now))
    assert str(fastest_arrangement(tried, 4, (48, 64))) == expected


def test_what_is_too_slow_to_be_tried_is_given_several_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement_module, "MOST_SECONDS", 0.0)
    slow = pipeline(info=BATCHES, parallel_runs=2)
    assert str(fastest_arrangement(slow, 4, (48, 64))) == "2 at once"


def test_a_network_of_one_image_at_a_time_is_not_given_batches() -> None:
    assert fastest_arrangement(pipeline(parallel_runs=1), 4, (48, 64)).batch == 1


def test_a_batch_finds_what_single_frames_give_whatever_their_sizes() -> None:
    frames = [spot(48, 64, 20, 20), spot(80, 64, 30, 30), spot(48, 64, 40, 30), *[spot(48, 64, 9, 9)] * 9]
    for flip in (False, True):
        engine = FakeEngine(BATCHES)
        found = CpuPosePipeline(engine, flip=flip)
        together = found.batch(frames)
        assert engine.runs == 3  # 8 and 3 of one size, 1 of another
        for frame, result in zip(frames, together, strict=True):
            alone = found(frame)
            assert result.frame is frame
            np.testing.assert_array_equal(result.poses.keypoints, alone.poses.keypoints)
            np.testing.assert_array_equal(result.poses.scores, alone.poses.scores)
