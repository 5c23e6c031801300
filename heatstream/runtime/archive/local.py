"""Workers on this machine: processes, each with a finder, that may be killed without anything being lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from heatstream.errors import EngineError
from heatstream.runtime.archive.finder import Finder, FinderSettings, Outcome
from heatstream.runtime.archive.plan import Segment, Video, plan_segments, whole

__all__ = ["look_on_cores"]

TRIES = 2
"""How often a video may take its worker down, by a decoder that crashes or for memory, before it is given up."""

POLL_SECONDS = 0.5


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    task: Video | Segment | None = None
    ready: bool = False


def look_on_cores(
    tasks: Sequence[Video | Segment], settings: FinderSettings, *, workers: int, frames: int
) -> Iterator[Outcome | None]:
    """Look at segments in processes of their own, one for each worker.

    Args:
        tasks: segments, and videos that are still to be cut into some.
        settings: how people are found.
        workers: how many processes at most; no more than there is something to do for.
        frames: of a segment, as of :func:`plan_segments`.

    Yields:
        Outcomes as they come, and None every half second, so that the caller can stop; all processes end then.

    Raises:
        EngineError: no worker can be made ready.
    """
    waiting: deque[Video | Segment] = deque(tasks)
    deaths: dict[Video | Segment, int] = {}
    started: list[_Worker] = []
    try:
        while True:
            while len(started) < workers and len(waiting) > sum(worker.task is None for worker in started):
                started.append(_start(settings, frames))
            for worker in started:
                if worker.ready and worker.task is None and waiting:
                    worker.task = waiting.popleft()
                    _send(worker, worker.task)
            if not waiting and not any(worker.task for worker in started):
                return
            heard = wait([worker.pipe for worker in started], POLL_SECONDS)
            if not heard:
                yield None
            for worker in [worker for worker in started if worker.pipe in heard]:
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    started.remove(worker)
                    yield from _bury(worker, waiting, deaths)
                    continue
                if isinstance(message, EngineError):
                    raise message
                if isinstance(message, Outcome):
                    worker.task = None
                    yield message
                elif worker.task is None:
                    worker.ready = True
                    for text in message:
                        warnings.warn(text, RuntimeWarning, stacklevel=2)
                else:
                    worker.task = None
                    waiting.extendleft(reversed(message))
    finally:
        for worker in started:
            worker.process.kill()
            worker.pipe.close()
        for worker in started:
            worker.process.join()


def _start(settings: FinderSettings, frames: int) -> _Worker:
    context = multiprocessing.get_context("spawn")  # a fork would share OpenCV's and ONNX Runtime's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, frames), name="heatstream-finder", daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _send(worker: _Worker, task: Video | Segment) -> None:
    try:
        worker.pipe.send(task)
    except OSError:  # it is dead, which its end of the pipe tells next
        return


def _bury(worker: _Worker, waiting: deque[Video | Segment], deaths: dict[Video | Segment, int]) -> Iterator[Outcome]:
    """A worker died: its task is done again, or given up."""
    worker.pipe.close()
    worker.process.join()
    code = worker.process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    task = worker.task
    if task is None:
        if not worker.ready:
            raise EngineError(
                f"a process that finds people ended while it was made ready ({how}): give fewer --workers, "
                "memory may be short, or look what `heatstream doctor` says"
            )
        return
    deaths[task] = deaths.get(task, 0) + 1
    if deaths[task] < TRIES:
        waiting.appendleft(task)
        return
    segment = whole(task) if isinstance(task, Video) else task
    yield Outcome(
        segment,
        failure=f"{segment.video.path} ended the process that looked at it {TRIES} times ({how}): it is damaged, or "
        "memory is short",
    )


def _work(pipe: Connection, settings: FinderSettings, frames: int) -> None:
    """A worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; ours are told by the first
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def end_with_parent() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            finder = Finder(settings)
        except Exception as error:
            pipe.send(EngineError(str(error)))
            return
    pipe.send([str(each.message) for each in told])
    while True:
        task = pipe.recv()
        pipe.send(plan_segments(task, frames) if isinstance(task, Video) else finder(task))
