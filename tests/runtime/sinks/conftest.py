"""What the tests of sinks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

import pytest

from heatstream.runtime.sinks import CocoSink, JsonLinesSink, PictureSink, Sink, VideoSink
from tests.fakes.messages import HEADER
from tests.fakes.runtime import whiten

# `make test-lowest` installs the core alone: what needs an extra is not looked at there.
collect_ignore = [
    test
    for test, library in (("test_mcap.py", "foxglove"), ("test_foxglove.py", "foxglove"), ("test_send.py", "zenoh"))
    if find_spec(library) is None
]

MAKERS: dict[str, Callable[..., Sink]] = {
    "out.jsonl": lambda path: JsonLinesSink(path, HEADER),
    "out.json": CocoSink,
    "out.mp4": lambda path: VideoSink(path, whiten),
    "out.avi": lambda path: VideoSink(path, whiten),
    "out.jpg": lambda path: PictureSink(path, whiten),
}


@pytest.fixture
def file_limit() -> Callable[[int], AbstractContextManager[None]]:
    """``file_limit(size)``: a statement in which no file may grow beyond so many bytes, as with a quota."""
    resource = pytest.importorskip("resource", reason="limits of this kind exist on POSIX systems alone")

    @contextmanager
    def limit(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
