"""What a source is, and the deadline that opening one is held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SourceError
from heatstream.results import Gap
from heatstream.runtime.threads import start_thread

__all__ = ["OPEN_SECONDS", "Frame", "Interruptible", "Source", "within"]

OPEN_SECONDS = 4.5  # a person waits this long for a camera or an address before being told

Opened = TypeVar("Opened")


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) uint8, BGR; the frame's own memory.
        index: number of the frame in its source, from 0. A picture of a folder that could not be read leaves a gap.
        capture_time: when it was taken, in seconds, since the epoch for live sources, since the start of the clip for
            files.
        picture: file name of a picture; None for frames of a video or camera.
        image_id: of COCO results, the picture's; None where the index is.
        capture_monotonic: when it was taken, in seconds of ``time.perf_counter()``; None for files.
        capture_clock: who said when, see :class:`heatstream.Result`.
        arrival: when it reached this machine, in seconds of ``time.perf_counter()``; None for files.
        gap: the latest interruption of its source; None where there was none yet.
    """

    image: NDArray[np.uint8]
    index: int
    capture_time: float
    picture: str | None = None
    image_id: int | None = None
    capture_monotonic: float | None = None
    capture_clock: str = "file"
    arrival: float | None = None
    gap: Gap | None = None


@runtime_checkable
class Source(Protocol):
    """A camera, file or stream that is open. Iterate over it once, then close it, on the same thread.

    Iterating raises SourceError when a source fails with nothing more to come; every frame up to there was given. A
    live source that comes back gives a :class:`heatstream.Gap` when its frames stop coming, and another when they do.
    """

    @property
    def name(self) -> str:
        """The source, for people; passwords left out."""
        ...

    @property
    def live(self) -> bool:
        """Whether frames come at their own pace, and are lost when nobody takes them."""
        ...

    @property
    def fps(self) -> float | None:
        """Frames per second as announced, None where there is no such thing."""
        ...

    @property
    def frame_count(self) -> int | None:
        """How many frames it announces, None where it cannot know."""
        ...

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) in px, None where pictures differ."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it is read from, which nothing may be written over; empty for devices and the network."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong so far without ending the stream, one sentence each."""
        ...

    def __iter__(self) -> Iterator[Frame | Gap]: ...

    def close(self) -> None:
        """Give the device or file back; harmless when repeated."""
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A source whose next frame may be long in coming."""

    def interrupt(self) -> None:
        """End the iteration soon, whoever waits in it. Any thread may call this, at any moment, also repeatedly."""
        ...


def within(seconds: float, work: Callable[[], Opened], *, late: str, discard: Callable[[Opened], None]) -> Opened:
    """Do something that may hang in a library, and stop waiting for it after ``seconds``.

    Args:
        work: what to do; when it hangs it keeps a thread, which ends with the process.
        late: the error's message when time is up.
        discard: takes care of a result that comes too late.

    Raises:
        SourceError: time is up; or whatever ``work`` raised.
    """
    future: Future[Opened] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it is raised where the result is awaited
            future.set_exception(error)

    start_thread("open", run)
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        future.add_done_callback(lambda done: None if done.exception() else discard(done.result()))
        raise SourceError(late) from None
