"""Several pieces of work at once, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Work on several items at once, and give the results in the items' order; the first error ends it.

    At most twice as many items as workers are under way, so that results do not pile up.

    Args:
        work: called from `workers` threads.
        items: what to work on.
        workers: how many threads.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="heatstream-evaluate") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            pending.extend(pool.submit(work, item) for item in islice(remaining, 2 * workers))
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(work, item) for item in islice(remaining, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
