"""Batches of samples, made by forked workers in the order of their global numbers."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

import cv2

from heatstream.errors import DatasetError
from heatstream.models.torch_import import torch


class Samples(Protocol):
    """An endless sequence of training samples, each a named tuple of arrays with a field `index`."""

    def __getitem__(self, number: int, /) -> Any:
        """Sample `number` >= 0: a pure function of the number."""

    def photo_name(self, index: int, /) -> str:
        """The file that a sample with this `index` is of, for messages."""


def loader(
    training_set: Samples,
    *,
    batch: int,
    start_step: int,
    steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 2,
) -> Generator[Any, None, None]:
    """Yield this process's share of the batches of steps `start_step` to `steps` - 1.

    Rank r takes the numbers from step * batch + r * batch / world on. Workers are forked at the first batch, pin one
    thread each, and end with the iterator. Batches lie in page-locked memory where a GPU is.

    Args:
        training_set: what to draw from, its frames preloaded.
        batch: samples per step over all processes, a multiple of `world`.
        start_step: the first step.
        steps: the step after the last.
        rank: this process.
        world: how many processes there are.
        workers: processes that make samples; 0 makes them in this one.

    Yields:
        A sample of tensors with a batch axis in front.

    Raises:
        DatasetError: a worker met a bad photo, or was killed.
    """
    share = batch // world
    first = range(start_step * batch + rank * share, steps * batch, batch)
    others = active_children()
    batches = _start(training_set, first, share, workers)
    started = [process for process in active_children() if process not in others]
    try:
        for _ in first:
            try:
                result = next(batches)
            except (RuntimeError, OSError, EOFError) as error:
                if not _tells_of_a_death(error, workers):
                    raise
                cause = "a process that makes samples was killed, perhaps for memory"
                raise DatasetError(f"{cause}: lower data.cache_gb or data.workers") from error
            if isinstance(result, DatasetError):
                raise result
            yield result
    finally:
        _end(started)


def _start(training_set: Samples, first: range, share: int, workers: int) -> Iterator[Any]:
    """Return torch's iterator of `share` samples from each number on, its workers started."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores, as asked
        warnings.filterwarnings("ignore", ".*use of fork", DeprecationWarning)  # they share the frames that way
        batches: Any = torch.utils.data.DataLoader(
            _Batches(training_set, share),  # type: ignore[arg-type]
            batch_size=None,
            sampler=first,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # or else every start of a loader would draw from the global one
            pin_memory=torch.cuda.is_available(),
        )
        return iter(batches)


class _Batches:
    """Collated batches by their first sample's number; an error is returned, since torch would wrap a raised one."""

    def __init__(self, training_set: Samples, size: int) -> None:
        self._training_set, self._size = training_set, size

    def __getitem__(self, first: int) -> Any:
        try:
            samples = [self._training_set[number] for number in range(first, first + self._size)]
        except DatasetError as error:
            return error
        return torch.utils.data.default_collate(samples)


def _start_worker(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to every process of a group, and the training's to handle
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _end(workers: Sequence[BaseProcess]) -> None:
    """Kill the workers: they do not hear a polite signal, and may wait for ever for a lock that a dead one held."""
    in_main = threading.current_thread() is threading.main_thread()  # no other may set a handler, or has torch's called
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if in_main else None  # torch's would raise for each
    try:
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.join()
    finally:
        if in_main:
            signal.signal(signal.SIGCHLD, handler)


def _tells_of_a_death(error: Exception, workers: int) -> bool:
    """Whether torch says that a worker is gone; what a worker itself raised comes as "Caught ... in"."""
    if not workers or "Caught" in str(error):
        return False
    return not isinstance(error, RuntimeError) or str(error).startswith("DataLoader worker")
