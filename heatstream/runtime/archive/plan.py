"""Which videos there are, and into which segments each is cut.

A segment begins at a key frame, from which a decoder can start, and is known by the times of its first and last frame:
numbers of frames are guesses in many containers, times are not. The times come from the packets, without decoding.
Whoever reads a segment checks them. A video whose packets tell too little is one segment.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from heatstream.errors import InputError, SourceError
from heatstream.files import expanded
from heatstream.runtime.sources.images import natural_order

__all__ = ["VIDEO_SUFFIXES", "Segment", "Video", "find_videos", "plan_segments", "whole"]

VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
        *(".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    }
)
"""What counts as a video in a folder; files that are named, or match a pattern, need no such name."""

WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Video:
    """A video of an archive.

    Attributes:
        path: of the file.
        name: what its results are called, relative to the folder of results: the path below the folder or pattern by
            which it was found.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Segment:
    """Frames of a video that follow each other.

    Attributes:
        video: whose.
        number: from 0.
        count: how many segments the video has.
        first: number of its first frame in the video.
        frames: how many; None for the whole video, however many that are.
        start: time of the first frame, in seconds since the video's start.
        end: time of the last frame.
        share: of the video's frames, 0..1.
    """

    video: Video
    number: int
    count: int
    first: int
    frames: int | None
    start: float
    end: float
    share: float

    @property
    def name(self) -> str:
        """Of its checkpoint."""
        return "whole" if self.frames is None else f"{self.first:09}-{self.frames}"


def find_videos(sources: Sequence[str | Path]) -> list[Video]:
    """The videos that are meant, in natural order, each once.

    Args:
        sources: files, folders, which are looked through with all folders in them, and patterns such as
            ``"videos/**/*.mp4"``.

    Raises:
        SourceError: something is not there, or holds no video.
        InputError: two videos' results would have the same name.
    """
    found: dict[Path, Video] = {}
    for source in sources:
        for path, base in _matching(str(source)):
            place = path.resolve()
            found.setdefault(place, Video(path, path.relative_to(base).as_posix()))
    by_path = {video.path: video for video in found.values()}
    videos = [by_path[path] for path in natural_order(by_path)]
    names: dict[str, Path] = {}
    for video in videos:
        other = names.setdefault(video.name, video.path)
        if other != video.path:
            raise InputError(
                f"{other} and {video.path} would have results of the same name: give their folder, or a pattern in "
                "quotes, so that the names of folders are kept"
            )
    return videos


def _matching(source: str) -> list[tuple[Path, Path]]:
    """Files, each with the folder that its name is relative to."""
    path = expanded(source)
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()]
        if not files:
            raise SourceError(f"there is no video in {path}: give a folder, files or a pattern of videos")
        return [(file, path) for file in files]
    if path.exists():
        return [(path, path.parent)]
    if not WILD.search(source):
        raise SourceError(f"there is no file or folder {path}: check the path")
    parts = path.parts
    fixed = next(number for number, part in enumerate(parts) if WILD.search(part))
    base = Path(*parts[:fixed])
    files = [Path(name) for name in glob.glob(str(path), recursive=True)]
    files = [file for file in files if file.is_file()]
    if not files:
        raise SourceError(f"no file matches {source}: check the pattern")
    return [(file, base) for file in files]


def whole(video: Video) -> Segment:
    """The whole video as one segment."""
    return Segment(video, 0, 1, 0, None, 0.0, 0.0, 1.0)


def plan_segments(video: Video, frames: int) -> list[Segment]:
    """Cut a video at key frames; the same video is always cut in the same way.

    Args:
        video: the video; one that cannot be read is one segment, and whoever reads that says what is wrong.
        frames: how many each segment has at least, but for the last one.
    """
    packets = _packets(video.path, frames)
    times = [time for time, _ in packets]
    keys = [index for index, (_, key) in enumerate(packets) if key]
    if not keys or keys[0] != 0 or any(later <= earlier for earlier, later in pairwise(times)):
        return [whole(video)]
    starts = [0]
    for index in keys:
        if index - starts[-1] >= frames:
            starts.append(index)
    if len(starts) == 1:
        return [whole(video)]
    return [
        Segment(
            video, number, len(starts), first, end - first, times[first], times[end - 1], (end - first) / len(times)
        )
        for number, (first, end) in enumerate(pairwise([*starts, len(times)]))
    ]


def _packets(path: Path, frames: int) -> list[tuple[float, bool]]:
    """Of every frame, in the order they are seen, its time in seconds and whether it is a key frame.

    Empty where they are not worth reading, because the video is short, or do not tell.
    """
    import av  # OpenCV is there already, with the sources: the other way round its windows hang on Linux

    try:
        with av.open(os.fspath(path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            expected = stream.frames
            if not expected and stream.duration and stream.time_base and stream.average_rate:
                expected = int(stream.duration * stream.time_base * stream.average_rate)
            if 0 < expected <= frames or stream.time_base is None:
                return []
            begin = stream.start_time or 0
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            if any(pts is None for pts, _ in packets):
                return []
            ticks = sorted((pts, key) for pts, key in packets if pts is not None)
            return [(float((pts - begin) * stream.time_base), key) for pts, key in ticks]
    except (av.FFmpegError, OSError, IndexError, UnicodeEncodeError):
        return []
