"""A GPU for tests that run everywhere, and whether a test's threads have ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gpu import FakeGpu, make_gpu
from tests.fakes.patience import HANG_SECONDS
from tests.kernels.conftest import fake  # noqa: F401 (a fixture)


@pytest.fixture
def gpu(
    fake: tuple[Any, Counter[str]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> FakeGpu:
    """A GPU with TensorRT and CuPy, all of them fakes."""
    return make_gpu(fake, monkeypatch, tmp_path)


@pytest.fixture
def threads_ended() -> Callable[[], bool]:
    """``threads_ended()``: all threads of ours, and of event loops, that the test started end without more being done.

    Those that were there before the test are another's: a test that fails takes no other along.
    """
    before = set(threading.enumerate())

    def left() -> bool:
        names = (thread.name for thread in threading.enumerate() if thread not in before)
        return any(name.startswith(("heatstream-", "asyncio_")) for name in names)

    def ended() -> bool:
        deadline = time.monotonic() + HANG_SECONDS
        while left() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not left()

    return ended


@pytest.fixture
def no_thread_is_left(threads_ended: Callable[[], bool]) -> Iterator[None]:
    """The test ends with none of its threads running."""
    yield
    assert threads_ended()
