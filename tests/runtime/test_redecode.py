"""Recordings decoded again: the same people with the same settings, others with others, and what cannot be changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels import DecodeSettings, decode_poses
from heatstream.kernels.reference.peak_list import decode_peaks, list_peaks
from heatstream.results import Peaks
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.recordings import read_recording
from heatstream.runtime.redecode import decode_recording, decoding_of
from heatstream.runtime.sinks.foxglove import PEAKS_TOPIC, FoxgloveChannels
from heatstream.runtime.sinks.mcap import McapSink
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import stream
from tests.fakes.messages import HEADER
from tests.fakes.runtime import FakeEngine, FakeSource, spot

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def crowd(seed: int, people: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps (17, 64, 96) and tags of people with random joints, some of them faint, some missing."""
    random = np.random.default_rng(seed)
    heatmaps = np.zeros((17, 64, 96), np.float32)
    tags = random.normal(0, 5, (17, 64, 96, 1)).astype(np.float32)
    for person in range(people):
        for joint in np.flatnonzero(random.random(17) < 0.8):
            x, y = random.integers(3, 93), random.integers(3, 61)
            height = random.uniform(0.04, 0.9)
            rows, columns = np.mgrid[:64, :96]
            spot = height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4)
            heatmaps[joint] = np.maximum(heatmaps[joint], spot)
            tags[joint, y - 2 : y + 3, x - 2 : x + 3] = person + random.normal(0, 0.1)
    return heatmaps, tags


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "settings",
    [
        DecodeSettings(refine=False, skeleton="coco-17"),
        DecodeSettings(refine=False, skeleton="coco-17", adjust="h3r", max_people=4, person_threshold=0.1),
        DecodeSettings(refine=False, skeleton="coco-17", detection_threshold=0.07, tag_threshold=0.2, adjust="none"),
    ],
)
def test_people_of_peaks_are_those_of_the_maps(seed: int, settings: DecodeSettings) -> None:
    heatmaps, tags = crowd(seed, people=2 + 2 * seed)
    with np.errstate(all="raise"):
        peaks = list_peaks(heatmaps, tags, settings, IDENTITY)
    peaks = Peaks.from_bytes(peaks.to_bytes())  # bit by bit, through a file
    for changed in (
        settings,
        replace(settings, tag_threshold=0.5),
        replace(settings, detection_threshold=0.3, max_people=3),
        replace(settings, detection_threshold=0.5 * settings.detection_threshold),
    ):
        (expected,) = decode_poses(heatmaps[None], tags[None], changed)
        found = decode_peaks(peaks, changed)
        assert len(expected) > 0
        for name in ("keypoint_scores", "scores"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name
        # H3R's expectation is a sum, which NumPy takes in another order when it is of more peaks at once.
        tolerance = 1e-5 if settings.adjust == "h3r" else 0
        np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=0, atol=tolerance)


def test_peaks_of_nothing_and_of_nonsense() -> None:
    heatmaps, tags = crowd(0, people=0)
    settings = DecodeSettings(skeleton="coco-17")
    nothing = list_peaks(heatmaps, tags, settings, IDENTITY)
    assert len(decode_peaks(Peaks.from_bytes(nothing.to_bytes()), settings)) == 0
    heatmaps[3, 3, 3] = np.nan
    assert len(list_peaks(heatmaps, tags, settings, IDENTITY).joints) == 0
    data = nothing.to_bytes()
    for damaged in (b"", data[:-1], data + b"x", b"HSP2" + data[4:]):
        with pytest.raises(InputError, match="no peaks of a recording"):
            Peaks.from_bytes(damaged)
    with pytest.raises(InputError, match="name it in the settings"):
        decode_peaks(nothing, DecodeSettings())
    some = list_peaks(*crowd(1, people=3), settings, IDENTITY)
    with pytest.raises(InputError, match="crowdpose-14 has 14"):
        decode_peaks(some, DecodeSettings(skeleton="crowdpose-14"))


class Spots(FakeSource):
    """A bright spot that moves to the right: somebody whom the fake engine sees."""

    def __iter__(self) -> Iterator[Frame]:
        for number in range(10):
            yield Frame(spot(48, 64, 15.3 + 2 * number, 20.7), number, number / 25)


@pytest.fixture
def recording(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A recording with peaks, and the results that the run gave."""
    path = tmp_path / "out.mcap"
    pipeline = CpuPosePipeline(FakeEngine(), {"refine": False}, peaks=True)
    how = decoding_of(pipeline, confidence=0.0, smooth=False)
    sink = McapSink(path, FoxgloveChannels(HEADER, peaks=how), tell=pytest.fail)
    results = []
    for result in stream(Spots(10), pipeline):
        sink.write(result)
        results.append(json.loads(result.to_json()))
    sink.close()
    return path, results


def test_with_nothing_changed_the_results_are_those_of_the_run(recording: tuple[Path, list[dict[str, Any]]]) -> None:
    path, results = recording
    decoded = decode_recording(path)
    assert decoded.header == HEADER
    assert [json.loads(result.to_json()) for result in decoded.results] == results
    assert any(result["people"] for result in results)
    sizes = [len(message.data) for message in read_recording(path) if message.topic == PEAKS_TOPIC]
    assert len(sizes) == 10
    nobody = decode_recording(path, confidence=1.0)
    assert all(not len(result.poses) for result in nobody.results)


def test_what_cannot_be_changed_any_more_is_told(recording: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    path, _ = recording
    for changes, told in (
        ({"adjust": "h3r"}, "adjust was at work"),
        ({"detection_threshold": 0.01}, "recorded from 0.05 on"),
        ({"max_people": 60}, "max_people cannot be more"),
    ):
        with pytest.raises(InputError, match=told):
            decode_recording(path, changes)
    bare = tmp_path / "bare.mcap"
    sink = McapSink(bare, FoxgloveChannels(HEADER), tell=pytest.fail)
    for result in stream(FakeSource(2), CpuPosePipeline(FakeEngine())):
        sink.write(result)
    sink.close()
    with pytest.raises(InputError, match="record with --mcap FILE --raw-peaks"):
        decode_recording(bare)
    with pytest.raises(InputError, match="peaks=True"):
        decoding_of(CpuPosePipeline(FakeEngine()), confidence=0, smooth=False)
