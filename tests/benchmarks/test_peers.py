"""The page that compares with others: ratios turn by turn, and what was not measured."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the official post-processing is measured in PyTorch")

from benchmarks import peers
from benchmarks.peers import Result, report, take_turns, yolo_ways
from heatstream.demo.benchmark.frames import FrameFeed
from heatstream.demo.benchmark.sampling import TimedWindow
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.fakes.runtime import FakeEngine, spot

FEED = FrameFeed("a spot", (spot(64, 96, 40.3, 30.7),))


def test_ways_take_turns_there_and_back() -> None:
    order: list[str] = []

    def way(name: str, images: int) -> peers.RunOptions:
        def run(seconds: float) -> TimedWindow:
            order.append(name)
            return TimedWindow(images, seconds, seconds / 2)

        return run

    results = take_turns({"a": way("a", 4), "b": way("b", 8)}, turns=3, seconds=2.0, moved=lambda: None)
    assert "".join(order) == "abbaab"
    assert results["a"] == Result((2.0,) * 3, (250.0,) * 3)


def test_ratios_are_taken_within_each_turn() -> None:
    """The machine was half as fast in the second turn; the ratio does not care."""
    fast, slow = Result((100.0, 50.0), (10.0, 20.0)), Result((20.0, 10.0), (100.0, 200.0))
    frame = {peers.OURS: fast, peers.ALONE: fast, "yolo11n-pose": slow, "another": slow}
    decode = {1: {"heatstream": fast, "official way": slow}}
    page = report(["On an abacus."], decode, {"1 person": frame}, ["mmpose: no wheel"], "swahr-tiny")
    for way, accuracy in ((peers.ALONE, "29.1 at 256 px"), ("yolo11n-pose", "50.0 at 640 px"), ("another", "unknown")):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {way} |")]
        assert row.endswith(f"| {accuracy} |")
    assert "| heatstream | 75.0 (55.0-95.0) | 15.0 |  |  |" in page
    assert "| official way | 15.0 (11.0-19.0) | 150.0 | **5.00** (5.00-5.00) | **10.00** (10.00-10.00) |" in page
    assert "- mmpose: no wheel" in page


def test_both_ways_find_the_same_people_on_a_made_up_crowd() -> None:
    ways = peers.decode_ways(CpuPosePipeline(FakeEngine(), peers.SETTINGS), 3, "cpu")
    assert all(way(0).images > 0 for way in ways.values())
    maps = peers.StubPeopleEngine(FakeEngine(), 3).run(np.zeros((1, 3, 256, 256), np.float32))
    (people,) = peers.parse_officially(maps, "cpu")
    assert people.shape[1:] == (17, 3)
    assert 3 <= len(people) <= 5


def test_a_rival_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("YOLO_AUTOINSTALL", "YOLO_CONFIG_DIR"):
        monkeypatch.setenv(name, "")  # so that what it sets is taken back
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    ways, missing = yolo_ways(FEED, 256, None, "cpu", tmp_path)
    assert ways == {}
    assert len(missing) == 1
    assert missing[0].startswith("ultralytics: ")
