"""The clock on the screen: read from the side, in the dark, with noise; and a rendered loop whose latency is known."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from heatstream.demo.latency import measure
from heatstream.demo.latency.measure import measure_latency
from heatstream.demo.latency.pattern import CYCLE_SECONDS, draw_pattern, read_pattern
from heatstream.demo.latency.report import print_latency
from heatstream.errors import SourceError
from heatstream.results import Result
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.stream import stream
from heatstream.runtime.timing import StreamSummary
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import FakeSource, NobodyThere
from tests.fakes.runtime import result as seen


def filmed(pattern: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """(360, 640, 3): what a camera makes of it: from the side, smaller, darker, blurred, with noise."""
    ours = np.array([(0, 0), (1280, 0), (1280, 720), (0, 720)], np.float32)
    theirs = np.array([(40, 30), (590, 45), (550, 320), (30, 300)], np.float32) + rng.uniform(-20, 20, (4, 2))
    matrix = cv2.getPerspectiveTransform(ours, theirs.astype(np.float32))
    picture = cv2.warpPerspective(pattern, matrix, (640, 360), flags=cv2.INTER_AREA, borderValue=90)
    picture = cv2.GaussianBlur(picture, (3, 3), 0) * 0.6 + 40 + rng.normal(0, 6, (360, 640))
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_the_pattern_is_read_as_a_camera_sees_it() -> None:
    rng = np.random.default_rng(0)
    moments = rng.uniform(0, CYCLE_SECONDS, 40)
    read = [read_pattern(filmed(draw_pattern(moment), rng)) for moment in moments]
    assert sum(moment is not None for moment in read) >= 36
    for moment, found in zip(moments, read, strict=True):
        assert found is None or found == pytest.approx(int(moment * 1000) / 1000)


def test_what_changed_while_it_was_filmed_is_not_read() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        first, second = (draw_pattern(moment) for moment in rng.uniform(0, CYCLE_SECONDS, 2))
        mixed = (first // 2 + second // 2).astype(np.uint8)
        torn = np.concatenate([first[:360], second[360:]])
        assert read_pattern(filmed(mixed, rng)) is None
        assert read_pattern(filmed(torn, rng)) is None


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_picture_holds_no_pattern(value: int) -> None:
    assert read_pattern(np.full((360, 640, 3), value, np.uint8)) is None


class RenderedLoop:
    """A screen of 60 Hz, a camera of 30 Hz before it, and the results of its frames, on a clock that it moves itself.

    It stands in for a stream and for the clock of the measurement.

    Args:
        delay: from a frame's exposure to its result, in seconds.
    """

    def __init__(self, delay: float) -> None:
        self.now = 100.0
        self.shown_at: list[float] = []  # of the picture that each frame shows
        self.given_at: list[float] = []
        self._delay = delay
        self._rng = np.random.default_rng(2)
        self._exposure = self.now
        self._under_way: deque[Result] = deque()
        self._given: queue.SimpleQueue[Result | None] = queue.SimpleQueue()
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def perf_counter(self) -> float:
        return self.now

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Put a picture on the screen until it is time for the next; what the camera does meanwhile is done here."""
        shown, end = self.now, self.now + 1 / 60
        while (moment := min(self._exposure, self._next_result())) < end:
            self.now = moment
            if moment == self._exposure:
                self._exposure += 1 / 30
                self._film(picture, shown)
            else:
                self.given_at.append(moment)
                self._given.put(self._under_way.popleft())
                self._asked.get(timeout=HANG_SECONDS)  # before time goes on, the measurement has seen it
        self.now = end
        return True

    def __iter__(self) -> Iterator[Result]:
        while (item := self._given.get()) is not None:
            yield item
            self._asked.put(None)

    def close(self) -> None:
        self._given.put(None)

    def _next_result(self) -> float:
        if not self._under_way:
            return np.inf
        assert self._under_way[0].capture_monotonic is not None
        return self._under_way[0].capture_monotonic + self._delay

    def _film(self, picture: NDArray[np.uint8], shown: float) -> None:
        frame = replace(
            seen(len(self.shown_at)),
            frame=filmed(picture, self._rng),
            capture_monotonic=self.now,
            capture_clock="driver",
        )
        self.shown_at.append(shown)
        self._under_way.append(frame)


def test_the_rendered_loops_latency_is_right_to_a_millisecond(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = RenderedLoop(delay=0.12)
    monkeypatch.setattr(measure, "time", loop)
    monkeypatch.setattr(measure, "WAITING", 100)  # none is left out, however slowly they are read
    monkeypatch.setattr(measure, "END_SECONDS", HANG_SECONDS)
    report = measure_latency(loop, loop.show, seconds=2.0)  # type: ignore[arg-type]
    assert len(report.frames) > 50  # of 60; some are blurred
    truth = np.array([loop.given_at[index] - loop.shown_at[index] for index in report.frames])
    assert np.all(np.abs(report.total - truth) <= 0.0011)  # the pattern shows whole milliseconds
    assert np.all(np.abs(report.camera - (truth - 0.12)) <= 0.0011)
    assert len(set(np.round(report.camera, 4))) > 1  # a picture had stood there for up to a sixtieth
    assert report.clock == "driver"
    print_latency(report, StreamSummary(60, 0, 2.0, 30.0, {}), title="fake")
    printed = capsys.readouterr().out
    assert "p95 ms" in printed
    assert f"{np.percentile(report.total, 99) * 1000:.1f}" in printed


def test_a_camera_that_looks_elsewhere_is_told() -> None:
    def show(picture: NDArray[np.uint8]) -> bool:
        time.sleep(1 / 60)
        return True

    results = stream(FakeSource(None, live=True, pace=0.01), CpuPosePipeline(NobodyThere()))
    with pytest.raises(SourceError, match="point the camera at the window"):
        measure_latency(results, show, seconds=0.2)


def test_a_file_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from heatstream.demo.cli import app
    from heatstream.runtime.sinks import window
    from tests.fakes.runtime import write_video

    monkeypatch.setattr(window, "display_trouble", lambda: None)
    ended = CliRunner().invoke(app, ["latency", str(write_video(tmp_path / "clip.avi")), "--model", "swahr-tiny"])
    assert ended.exit_code == 1
    assert "is no camera" in str(ended.exception)
