"""Which videos are meant, and that their segments hold every frame once, to the last bit."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heatstream.errors import InputError, SourceError
from heatstream.runtime.archive.plan import Video, find_videos, plan_segments, whole
from heatstream.runtime.archive.section import MisfitError, Section
from heatstream.runtime.sources.video import open_video
from tests.fakes.videos import write_video

FRAMES = 75


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("plain.mp4", "libx264", {"bf": "0"}),
        ("reordered.mp4", "libx264", {"bf": "3"}),
        ("open.mp4", "libx264", {"bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
        ("reordered.mkv", "libx264", {"bf": "2"}),
        ("broadcast.ts", "libx264", {"bf": "2"}),
        ("old.avi", "mpeg4", {}),
    ],
)
def test_segments_hold_every_frame_once(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    video = Video(write_video(tmp_path / name, FRAMES, codec=codec, **options), name)
    segments = plan_segments(video, 20)
    assert len(segments) == 4
    assert sum(segment.share for segment in segments) == pytest.approx(1)
    source = open_video(video.path)
    expected = list(source)
    source.close()
    assert len(expected) == FRAMES
    found = []
    for segment in segments:
        section = Section(segment)
        found += list(section)
        section.close()
    assert [frame.index for frame in found] == [frame.index for frame in expected]
    assert [frame.capture_time for frame in found] == [frame.capture_time for frame in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_short_video_and_one_without_key_frames_are_one_segment(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", 30), "a.mp4")
    assert plan_segments(video, 30) == [whole(video)]
    video = Video(write_video(tmp_path / "b.mp4", 30, gop=300), "b.mp4")
    assert plan_segments(video, 10) == [whole(video)]
    damaged = tmp_path / "c.mp4"
    damaged.write_bytes(b"no video at all")
    assert plan_segments(Video(damaged, "c.mp4"), 10) == [whole(Video(damaged, "c.mp4"))]


def test_what_was_not_planned_is_a_misfit(tmp_path: Path) -> None:
    video = Video(write_video(tmp_path / "a.mp4", FRAMES), "a.mp4")
    first, second, *_, last = plan_segments(video, 20)
    with pytest.raises(MisfitError, match="has no frame at"):
        Section(replace(second, start=second.start + 0.01))
    with pytest.raises(MisfitError, match="s, not at"):
        list(Section(replace(first, end=first.end + 0.01)))
    with pytest.raises(MisfitError, match="more frames"):
        list(Section(replace(last, frames=3, end=last.start + 2 / 25)))
    with pytest.raises(MisfitError, match="cannot be read"):
        list(Section(replace(last, frames=1000)))


def test_folders_files_and_patterns_keep_the_names_of_folders(tmp_path: Path) -> None:
    for name in ("videos/a/1.mp4", "videos/a/10.mp4", "videos/a/2.MP4", "videos/b/1.mp4", "videos/b/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    videos = tmp_path / "videos"
    found = find_videos([videos])
    assert [video.name for video in found] == ["a/1.mp4", "a/2.MP4", "a/10.mp4", "b/1.mp4"]
    assert [video.name for video in find_videos([str(videos / "**" / "*.mp4")])] == ["a/1.mp4", "a/10.mp4", "b/1.mp4"]
    assert [video.name for video in find_videos([videos / "b" / "1.mp4", videos / "b"])] == ["1.mp4"]
    with pytest.raises(InputError, match="results of the same name"):
        find_videos([videos / "a" / "1.mp4", videos / "b" / "1.mp4"])
    for nothing in ("none.mp4", "*.mp5", os.fspath(videos / "b" / "*.avi")):
        with pytest.raises(SourceError):
            find_videos([nothing])
