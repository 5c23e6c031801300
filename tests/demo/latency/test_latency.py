"""The clock on the screen: read from the side, in the dark, with noise; and a rendered loop whose latency is known."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from heatstream.demo.latency.measure import measure_latency
from heatstream.demo.latency.pattern import CYCLE_SECONDS, draw_pattern, read_pattern
from heatstream.demo.latency.report import print_latency
from heatstream.errors import SourceError
from heatstream.results import Result
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import Frame
from heatstream.runtime.stream import Stream, stream
from tests.fakes.runtime import NobodyThere


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
    """A screen of 60 Hz and the camera before it: 30 frames per second that come a known time after their exposure.

    Args:
        delay: from exposure to the frame's arrival, in seconds.
        readable: whether the camera looks at the screen.
    """

    name, live, frame_count, size = "rendered loop", True, None, (360, 640)
    fps: float | None = 30.0
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self, delay: float, *, readable: bool = True) -> None:
        self.shown_at: dict[int, float] = {}  # of the picture that a frame shows
        self._delay = delay
        self._readable = readable
        self._screen: tuple[NDArray[np.uint8], float] | None = None
        self._stopped = False

    def show(self, picture: NDArray[np.uint8]) -> bool:
        self._screen = picture, time.perf_counter()
        time.sleep(1 / 60)
        return True

    def interrupt(self) -> None:
        self._stopped = True

    def __iter__(self) -> Iterator[Frame]:
        rng = np.random.default_rng(2)
        under_way: deque[tuple[float, NDArray[np.uint8]]] = deque()
        index, exposure = 0, time.perf_counter()
        while not self._stopped:
            exposure += 1 / 30
            while under_way and under_way[0][0] + self._delay < exposure:
                taken, image = under_way.popleft()
                time.sleep(max(0.0, taken + self._delay - time.perf_counter()))
                arrival = time.perf_counter()
                yield Frame(image, index, 0.0, capture_monotonic=taken, capture_clock="driver", arrival=arrival)
                index += 1
            time.sleep(max(0.0, exposure - time.perf_counter()))
            if self._screen is not None:
                picture, shown = self._screen
                self.shown_at[index + len(under_way)] = shown
                under_way.append((time.perf_counter(), filmed(picture if self._readable else picture * 0, rng)))

    def close(self) -> None:
        pass


class Recorded:
    """A stream that notes when it gave which frame."""

    def __init__(self, results: Stream) -> None:
        self.given_at: dict[int, float] = {}
        self._results = results

    def __iter__(self) -> Iterator[Result]:
        for result in self._results:
            self.given_at[result.frame_index] = time.perf_counter()
            yield result

    def close(self) -> None:
        self._results.close()


def test_the_rendered_loops_latency_is_right_to_5_ms(capsys: pytest.CaptureFixture[str]) -> None:
    loop = RenderedLoop(delay=0.12)
    results = stream(loop, CpuPosePipeline(NobodyThere()))
    recorded = Recorded(results)
    report = measure_latency(recorded, loop.show, seconds=2.0)  # type: ignore[arg-type]
    truth = np.array([recorded.given_at[index] - loop.shown_at[index] for index in report.frames])
    assert len(truth) > 15
    # The slowest few also have what a busy machine put between the two looks at the clock.
    for share, tolerance in ((50, 0.005), (95, 0.03), (99, 0.03)):
        assert np.percentile(report.total, share) == pytest.approx(np.percentile(truth, share), abs=tolerance)
    assert report.total.min() > 0.12
    assert report.clock == "driver"
    assert 0 <= np.median(report.camera) < 0.1  # a picture had stood there for up to a sixtieth, or while others worked
    print_latency(report, results.summary(), title="fake")
    printed = capsys.readouterr().out
    assert "p95 ms" in printed
    assert f"{np.percentile(report.total, 99) * 1000:.1f}" in printed


def test_a_camera_that_looks_elsewhere_is_told() -> None:
    loop = RenderedLoop(delay=0.02, readable=False)
    results = stream(loop, CpuPosePipeline(NobodyThere()))
    with pytest.raises(SourceError, match="point the camera at the window"):
        measure_latency(results, loop.show, seconds=0.2)


def test_a_file_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from heatstream.demo.cli import app
    from heatstream.runtime.sinks import window
    from tests.fakes.runtime import write_video

    monkeypatch.setattr(window, "display_trouble", lambda: None)
    ended = CliRunner().invoke(app, ["latency", str(write_video(tmp_path / "clip.avi")), "--model", "swahr-tiny"])
    assert ended.exit_code == 1
    assert "is no camera" in str(ended.exception)
