"""Videos: every frame at its time, playable whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks import VideoSink, save_sink
from tests.fakes.runtime import read_video, result, whiten

REPOSITORY = Path(__file__).resolve().parents[3]
BOTH = pytest.mark.parametrize("name", ["out.mp4", "out.avi"])


def noise(result: Result) -> NDArray[np.uint8]:
    """An overlay that takes room."""
    return np.random.default_rng(result.frame_index).integers(0, 255, result.frame.shape, np.uint8)


def write_all(sink: VideoSink, count: int) -> None:
    for number in range(count):
        sink.write(result(number))


def times_of(path: Path) -> list[float]:
    """When each frame of a video is shown, and when the last one ends, s."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert container.duration is not None
        return [float(frame.time or 0) for frame in frames] + [container.duration / 1e6]


def write_times(path: Path, times: Sequence[float], **options: object) -> None:
    sink = VideoSink(path, whiten, **options)  # type: ignore[arg-type]
    for number, time in enumerate(times):
        sink.write(result(number, time=time))
    assert sink.close() == path
    assert sink.close() is None


@pytest.mark.parametrize("name", ["out.mp4", "out.avi", "OUT.AVI", "OUT.MP4"])
@pytest.mark.parametrize("size", [(48, 64), (47, 63), (8, 5)])
def test_a_video_holds_every_drawn_frame(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    sink = save_sink(tmp_path / name, whiten, fps=10.0, live=False)
    for number in range(12):
        sink.write(result(number, size=size))
    assert sink.close() == tmp_path / name
    frames = read_video(tmp_path / name)
    assert len(frames) == 12
    assert all(frame.mean() > 240 for frame in frames)
    shown = frames[0].shape[:2]
    assert shown == size or (name.lower() == "out.mp4" and shown == tuple(side + side % 2 for side in size))


def test_an_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    write_times(tmp_path / "out.mp4", [number / 25 for number in range(30)])
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 30)
        assert stream.profile in ("Constrained Baseline", "Baseline", "Main", "High")


def test_colours_survive(tmp_path: Path) -> None:
    def orange(result: Result) -> NDArray[np.uint8]:
        return np.full_like(result.frame, (20, 120, 230))

    for name in ("out.mp4", "out.avi"):
        sink = VideoSink(tmp_path / name, orange)
        sink.write(result(0))
        sink.close()
        (frame,) = read_video(tmp_path / name)
        assert np.abs(frame.mean(axis=(0, 1)) - (20, 120, 230)).max() < 4


def test_frames_of_other_sizes_are_fitted_into_the_video(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.avi", whiten)
    for size in ((48, 64), (96, 64), (10, 300), (48, 64)):
        sink.write(result(size=size))
    sink.close()
    frames = read_video(tmp_path / "out.avi")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    tall = frames[1].mean(axis=(0, 2))  # of each column
    assert tall[20:44].min() > 200
    assert max(tall[:8].max(), tall[-8:].max()) < 50


@pytest.mark.parametrize("fps", [1e-3, 66.667, 119.987, 30000 / 1001, 999.0])
@BOTH
def test_every_frame_rate_can_be_written(name: str, fps: float, tmp_path: Path) -> None:
    times = [number / fps for number in range(4)]
    write_times(tmp_path / name, times, fps=fps)
    assert times_of(tmp_path / name) == pytest.approx([*times, 4 / fps], rel=1e-3, abs=2e-3)


def test_frames_of_a_variable_rate_last_as_long_as_they_did(tmp_path: Path) -> None:
    times = [7.0, 7.02, 7.04, 7.2, 7.4, 8.4, 9.4]
    write_times(tmp_path / "out.mp4", times, fps=9.0)
    assert times_of(tmp_path / "out.mp4") == pytest.approx([time - 7.0 for time in times] + [3.4], abs=1e-3)


@BOTH
def test_a_rate_and_gaps_that_cannot_be_are_not_believed(name: str, tmp_path: Path) -> None:
    write_times(tmp_path / name, [number * 259_522.6 for number in range(5)], fps=3.85e-6)
    assert times_of(tmp_path / name) == pytest.approx([number / 25 for number in range(6)], abs=1e-3)


def test_pictures_have_no_time_and_follow_each_other(tmp_path: Path) -> None:
    write_times(tmp_path / "out.mp4", [0.0] * 5)
    assert times_of(tmp_path / "out.mp4") == pytest.approx([number / 25 for number in range(6)], abs=1e-3)


@pytest.mark.parametrize(("name", "frames"), [("out.mp4", 4), ("out.avi", 11)])
def test_a_live_video_keeps_the_pace_of_the_world(name: str, frames: int, tmp_path: Path) -> None:
    write_times(tmp_path / name, (100.0, 100.01, 100.5, 101.0), fps=10.0, live=True)
    times = times_of(tmp_path / name)
    assert len(times) - 1 == frames
    assert times[-2] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@BOTH
def test_a_clock_that_jumps_does_not_stop_or_flood_a_live_video(name: str, jump: float, tmp_path: Path) -> None:
    times = [100.0 + number / 10 + (jump if number >= 10 else 0.0) for number in range(20)]
    write_times(tmp_path / name, times, fps=10.0, live=True)
    assert times_of(tmp_path / name) == pytest.approx([number / 10 for number in range(21)], abs=0.15)


def test_only_known_kinds_are_videos(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"\.mp4, \.avi"):
        VideoSink(tmp_path / "out.mkv", whiten)
    assert list(tmp_path.iterdir()) == []


# Trouble on the way


KILLED = """
import os, sys
from pathlib import Path
from heatstream.runtime.sinks import VideoSink
from tests.fakes.runtime import result, whiten
sinks = [VideoSink(Path(name), whiten) for name in sys.argv[1:]]
for number in range(40):
    for sink in sinks:
        sink.write(result(number, time=number / 25))
os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_a_video_of_all_frames_but_the_last(tmp_path: Path) -> None:
    paths = [tmp_path / "out.mp4", tmp_path / "out.avi"]
    subprocess.run([sys.executable, "-c", KILLED, *map(str, paths)], cwd=REPOSITORY, check=False)
    for path in paths:
        frames = read_video(path)
        assert 39 <= len(frames) <= 40
        assert all(frame.mean() > 240 for frame in frames)


@BOTH
@pytest.mark.parametrize("more", [0, 20_000, 40_000])
def test_a_video_that_may_not_grow_plays_up_to_there(
    name: str, more: int, tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    sink = VideoSink(tmp_path / name, noise)
    write_all(sink, 5)
    size = (tmp_path / name).stat().st_size + more
    with file_limit(size):
        with pytest.raises(SinkError, match=r"may not grow further.*it ends after \d+ frames and plays") as caught:
            write_all(sink, 100)
        sink.close()
    told = int(str(caught.value).partition("ends after ")[2].split()[0])
    assert told >= 4
    assert 0 <= len(read_video(tmp_path / name)) - told <= 1
    assert (tmp_path / name).stat().st_size <= size


@BOTH
def test_a_disk_full_at_the_very_end_keeps_a_video(
    name: str, tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    sink = VideoSink(tmp_path / name, noise)
    write_all(sink, 20)
    with file_limit((tmp_path / name).stat().st_size + 100), pytest.raises(SinkError, match="it ends after 19 frames"):
        sink.close()
    assert len(read_video(tmp_path / name)) >= 19


@BOTH
def test_where_not_even_a_frame_fits_nothing_is_left(
    name: str, tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    sink = VideoSink(tmp_path / name, noise)
    with file_limit(200), pytest.raises(SinkError, match="nothing of it is left"):
        write_all(sink, 2)
    sink.close()
    assert list(tmp_path.iterdir()) == []
