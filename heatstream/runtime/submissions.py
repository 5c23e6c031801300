"""Frames that a program pushes into a pipeline, and the futures of their results.

::

    submit ── frames that wait, at most four ──> one worker ──> future.set_result
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from heatstream.errors import EngineError, InputError
from heatstream.results import Result
from heatstream.runtime.threads import start_thread

__all__ = ["Mode", "Submissions", "check_mode"]

Mode: TypeAlias = Literal["every", "newest", "budget"]
"""Which frames are worked on: every one, for which whoever gives them waits; the newest ones; or the newest ones as
long as they are not older than a budget."""

MOST_WAITING = 4
"""Frames that wait for the worker, at most; one that is submitted beyond waits itself, or takes their place."""


def check_mode(mode: str | None, budget: float | None) -> None:
    """Refuse a mode that there is not, and one without the budget that it needs.

    Raises:
        InputError: it is so.
    """
    if mode not in (None, "every", "newest", "budget"):
        raise InputError(f"a mode is every, newest or budget, got {mode!r}")
    if (mode == "budget" and budget is None) or (mode in ("every", "newest") and budget is not None):
        raise InputError("the mode budget and a budget in seconds belong together: mode='budget', budget=0.1")
    if budget is not None and not 0 < budget < float("inf"):
        raise InputError(f"a budget is a positive number of seconds, got {budget}")


@dataclass(eq=False)
class _Submitted:
    find: Callable[[object], Result]
    frame: object
    stamp: float
    mode: Mode
    budget: float | None
    number: int
    since: float  # time.perf_counter()
    future: Future[Result] = field(default_factory=Future)


class Submissions:
    """The frames of one pipeline that were submitted; see :meth:`heatstream.PosePipeline.submit`. For any threads."""

    def __init__(self) -> None:
        self._waiting: deque[_Submitted] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._submitted = 0
        self._dropped = 0
        self._closed = False

    def submit(
        self, find: Callable[[object], Result], frame: object, stamp: float, mode: Mode, budget: float | None
    ) -> Future[Result]:
        """Put a frame among those that wait.

        Args:
            find: the pipeline; it is kept as long as one of its frames waits.
            frame: for it.
            stamp: the result's capture time.
            mode: as of :meth:`heatstream.PosePipeline.submit`.
            budget: likewise.

        Raises:
            EngineError: the pipeline is closed.
        """
        overtaken: list[_Submitted] = []
        with self._changed:
            if mode == "every":
                self._changed.wait_for(lambda: self._closed or len(self._waiting) < MOST_WAITING)
            if self._closed:
                raise EngineError("the pipeline is closed: load the model again")
            if mode != "every":
                overtaken = [each for each in self._waiting if each.mode != "every"]
                self._waiting = deque(each for each in self._waiting if each.mode == "every")
            submitted = _Submitted(find, frame, stamp, mode, budget, self._submitted, time.perf_counter())
            self._submitted += 1
            self._dropped += len(overtaken)
            self._waiting.append(submitted)
            if self._thread is None:
                self._thread = start_thread("submit", self._work, stop=self.stop)
            self._changed.notify_all()
        for each in overtaken:  # outside of the lock: it calls back
            each.future.cancel()
        return submitted.future

    def close(self) -> None:
        """Wait until every frame that waits is done; further ones are refused. Harmless when repeated."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():  # a callback may close the pipeline
            thread.join()

    def stop(self) -> None:
        """Give up what waits, and let the worker go after the frame that it is at."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
            self._changed.notify_all()
        for each in waiting:
            each.future.cancel()

    def _work(self) -> None:
        """The worker's thread."""
        while self._work_on_next():
            pass  # between two frames no local name keeps a frame or the pipeline alive

    def _work_on_next(self) -> bool:
        """Wait for the next frame and find its people; False when there is no more."""
        submitted = self._next()
        if submitted is None:
            return False
        late = submitted.budget is not None and time.perf_counter() - submitted.since > submitted.budget
        if late and submitted.future.cancel():
            self._dropped += 1
        if not submitted.future.set_running_or_notify_cancel():  # whoever submitted it may have cancelled it too
            return True
        try:
            found = submitted.find(submitted.frame)
        except BaseException as error:  # every error reaches whoever waits
            submitted.future.set_exception(error)
            return True
        latency = time.perf_counter() - submitted.since
        submitted.future.set_result(
            replace(
                found,
                timing=replace(found.timing, latency=latency),
                frame_index=submitted.number,
                capture_time=submitted.stamp,
                dropped=self._dropped,
            )
        )
        return True

    def _next(self) -> _Submitted | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            if not self._waiting:
                return None
            submitted = self._waiting.popleft()
            self._changed.notify_all()
            return submitted
