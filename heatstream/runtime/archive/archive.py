"""The folder of results: which videos are done, what is kept of those that are not, and how segments become a file.

::

    results/
        archive.json            how people are found; another way is refused
        monday/door.mp4.jsonl   a video that is done
        .unfinished/monday/door.mp4/83886080-1764460800000000000/000000000-1000.npz
                                a segment of one that is not: the video's size and time, its first frame, how many
        failures.json           what could not be done, and why

A file is there whole or not at all: it is written beside its place and then renamed. There is no other bookkeeping.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from heatstream.errors import InputError, SinkError
from heatstream.files import make_folder, replacing, write_whole
from heatstream.messages import header_message
from heatstream.model_info import ModelInfo
from heatstream.results import Result
from heatstream.runtime.archive.checkpoint import Found, unpack
from heatstream.runtime.archive.parquet import write_parquet
from heatstream.runtime.archive.plan import Segment, Video
from heatstream.runtime.following import follow

__all__ = ["FORMATS", "Archive", "Format"]

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)

UNFINISHED = ".unfinished"
ABOUT = "archive.json"
FAILURES = "failures.json"
LOCK = ".lock"


class Archive:
    """A folder of results.

    Args:
        folder: made if it is not there.
        format: of the results.
        smooth: whether keypoints are smoothed.
        model: of the network that finds people.
        about: how they are found, ready for JSON; results that were found otherwise are not mixed with these.

    Raises:
        SinkError: the folder cannot be written.
        InputError: it holds results that were found otherwise.
    """

    def __init__(self, folder: Path, *, format: Format, smooth: bool, model: ModelInfo, about: dict[str, Any]) -> None:
        self.folder = folder
        self._model = model
        self._format, self._smooth = format, smooth
        self._unfinished = folder / UNFINISHED
        make_folder(self._unfinished)
        self._check({**about, "format": format, "smooth": smooth})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs from the folder meanwhile.

        Raises:
            SinkError: another one has it.
        """
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise SinkError(
                f"another run writes into {self.folder}: wait for it, or give a folder of its own"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def result_path(self, video: Video) -> Path:
        """Where a video's results are, or will be."""
        return self.folder / f"{video.name}.{self._format}"

    def is_done(self, video: Video) -> bool:
        """Whether its results are there, and not older than the video."""
        try:
            return self.result_path(video).stat().st_mtime_ns >= video.path.stat().st_mtime_ns
        except OSError:
            return False

    def keep(self, segment: Segment, data: bytes) -> None:
        """Keep what was found in a segment.

        Raises:
            SinkError: it cannot be written.
        """
        path = self._checkpoint(segment)
        make_folder(path.parent)
        write_whole(path, data)

    def kept(self, segments: Sequence[Segment]) -> set[int]:
        """The numbers of those of a video's segments that are kept."""
        return {segment.number for segment in segments if self._checkpoint(segment).is_file()}

    def has_kept(self, video: Video) -> bool:
        """Whether anything of a video is kept."""
        return self._folder_of(video).is_dir()

    def finish(self, segments: Sequence[Segment]) -> tuple[int, tuple[str, ...]]:
        """Write a video's results from its segments, all of which are kept; these are deleted then.

        Returns:
            How many frames there are, and what was missing of the video.

        Raises:
            SinkError: the results cannot be written.
        """
        video = segments[0].video
        path = self.result_path(video)
        make_folder(path.parent)
        first = self._found(segments[0])
        warnings: list[str] = []
        frames = 0

        def results() -> Iterator[Result]:
            nonlocal frames
            for number, segment in enumerate(segments):
                found = self._found(segment) if number else first
                warnings.extend(found.warnings)
                frames += len(found.results)
                yield from found.results

        followed = follow(results(), live=False, smooth=self._smooth)
        header = self._header(video, first)
        with replacing(path) as temporary:
            if self._format == "parquet":
                write_parquet(temporary, header, followed)
            else:
                with temporary.open("wb") as file:
                    file.write(json.dumps(header).encode() + b"\n")
                    file.writelines(result.to_json().encode() + b"\n" for result in followed)
        self.forget(video)
        return frames, tuple(warnings)

    def forget(self, video: Video) -> None:
        """Delete what is kept of a video."""
        folder = self._unfinished / video.name
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another video's folder is in there
            while (folder := folder.parent) != self._unfinished:
                folder.rmdir()

    def write_failures(self, failures: dict[str, str]) -> Path | None:
        """Write down what could not be done, by the video's path; without failures no such file stays.

        Raises:
            SinkError: it cannot be written.
        """
        path = self.folder / FAILURES
        if not failures:
            path.unlink(missing_ok=True)
            return None
        write_whole(path, json.dumps(failures, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        return path

    def _header(self, video: Video, found: Found) -> dict[str, Any]:
        first = found.results[0]
        return header_message(
            self._model,
            source=str(video.path),
            live=False,
            frame_size=(first.frame.shape[0], first.frame.shape[1]),
            fps=found.fps,
            face_skeleton=None if first.faces is None else first.faces.skeleton,
        )

    def _found(self, segment: Segment) -> Found:
        path = self._checkpoint(segment)
        try:
            return unpack(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SinkError(f"{path} cannot be read ({error}): delete it and run again") from error

    def _checkpoint(self, segment: Segment) -> Path:
        return self._folder_of(segment.video) / f"{segment.name}.npz"

    def _folder_of(self, video: Video) -> Path:
        try:
            found = video.path.stat()
        except OSError:
            return self._unfinished / video.name / "missing"
        return self._unfinished / video.name / f"{found.st_size}-{found.st_mtime_ns}"

    def _check(self, about: dict[str, Any]) -> None:
        path = self.folder / ABOUT
        try:
            before = json.loads(path.read_bytes())
            assert isinstance(before, dict)
        except FileNotFoundError:
            write_whole(path, json.dumps(about, indent=2).encode() + b"\n")
            return
        except (OSError, ValueError, AssertionError):
            raise InputError(f"{path} is damaged: give another folder with --out, or delete this one") from None
        changed = [
            f"{key} {before.get(key)!r}, now {value!r}" for key, value in about.items() if before.get(key) != value
        ]
        if changed:
            raise InputError(
                f"{self.folder} holds results that were found otherwise ({'; '.join(changed)}): give another folder "
                "with --out, or delete this one"
            )
