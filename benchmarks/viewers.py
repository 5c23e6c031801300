"""What viewers of the live page cost the run: its rate with ten that keep up, its latency with fifty that do not.

::

    python -m benchmarks.viewers [--model swahr-tiny] [--size 1280x720] [--pairs 6] [--measure rate,latency]

The page is served in both turns of a pair, once with viewers and once without; which comes first changes. Viewers are
raw sockets in one process of lower priority, as what they do is not the run's cost: those that keep up take whatever is
there and answer every result, as the page does; how many they get is told. The others read nothing, with the system's
least buffer.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import heatstream
from heatstream.demo.web.server import WebSink
from heatstream.messages import header_message
from heatstream.runtime.health import health_message
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.sinks import Recorder
from heatstream.runtime.sources import Frame
from heatstream.runtime.timing import StreamClock

__all__ = ["Turn", "main", "run", "watch"]

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "astronaut.jpg"
QUICK, SLOW = 10, 50  # viewers
TURN_SECONDS = 5.0
LOWER = 10  # a tenth of the share of a core that the run has, where both want it: enough to read, not to disturb
RESULT = b'"type": "result"'
LOOK_SECONDS = 0.01  # between two looks at what has come, so that each costs little
ANSWER = b"\x81\x81\0\0\0\x001"  # a WebSocket's text message, masked with zeros
LIVE_FPS = 20.0
"""Of a camera that the pipeline keeps up with, so that its latency is its own and no queue's."""


class Frames:
    """One picture again and again, for so many seconds.

    Args:
        frame: the picture.
        fps: as a camera gives them; as fast as they are taken when None.
    """

    frame_count: int | None = None
    fps: float | None = None
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    name = "memory"

    def __init__(self, frame: NDArray[np.uint8], fps: float | None) -> None:
        self._frame = frame
        self._seconds_per_frame = 0.0 if fps is None else 1 / fps
        self.live = fps is not None
        self.size: tuple[int, int] | None = (frame.shape[0], frame.shape[1])

    def __iter__(self) -> Iterator[Frame]:
        begin = due = time.perf_counter()
        number = 0
        while time.perf_counter() < begin + TURN_SECONDS:
            due += self._seconds_per_frame
            time.sleep(max(0.0, due - time.perf_counter()))
            yield Frame(self._frame, number, time.time())
            number += 1

    def close(self) -> None: ...


def watch(port: int, count: int, slow: bool, ready: Event, received: Synchronized[int]) -> None:
    """Be viewers, until the process is ended.

    Args:
        port: of the page on this machine.
        count: how many.
        slow: whether they read nothing.
        ready: is set when all are let in.
        received: counts the results.
    """
    os.nice(LOWER)
    selector = selectors.DefaultSelector()
    for _ in range(count):
        viewer = socket.socket()
        if slow:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        viewer.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        viewer.sendall(
            f"GET /ws?answers=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += viewer.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        selector.register(viewer, selectors.EVENT_READ, b"")
    ready.set()
    if slow:
        threading.Event().wait()
    while True:
        for key_of, _ in selector.select():
            sock = key_of.fileobj
            assert isinstance(sock, socket.socket)
            data = key_of.data + sock.recv(1 << 18)
            results = data.count(RESULT)
            selector.modify(sock, selectors.EVENT_READ, data[1 - len(RESULT) :])
            if results:
                sock.sendall(results * ANSWER)
            with received.get_lock():
                received.value += results
        time.sleep(LOOK_SECONDS)


@contextmanager
def _viewers(port: int, count: int, slow: bool) -> Iterator[Synchronized[int]]:
    """So many in a process of their own; what is given counts the results that they have got."""
    context = multiprocessing.get_context("spawn")
    ready, received = context.Event(), context.Value("q", 0)
    process = context.Process(target=watch, args=(port, count, slow, ready, received), daemon=True)
    process.start()
    try:
        if not ready.wait(30):
            raise RuntimeError("the viewers were not let in")
        yield received
    finally:
        process.kill()
        process.join()


@dataclass(frozen=True)
class Turn:
    """What one run came to.

    Attributes:
        rate: results per second.
        latencies: of each, in seconds.
        cpu: seconds of all cores per result, of the run's process alone.
        page_cpu: of which the threads that make messages and send them.
        received: results per second that each viewer got.
    """

    rate: float
    latencies: list[float]
    cpu: float
    page_cpu: float
    received: float


def run(pipeline: PosePipeline, frame: NDArray[np.uint8], *, fps: float | None, viewers: int, slow: bool) -> Turn:
    """One run with the page served, for so many viewers."""
    source = Frames(frame, fps)
    clock = StreamClock(time.perf_counter(), remembered=300)
    header = header_message(pipeline.info, source=source.name, live=source.live, frame_size=source.size)
    page = WebSink(header, port=0, most_viewers=SLOW, health=lambda: health_message(clock.summary()))
    latencies: list[float] = []
    with ExitStack() as stack:
        recorder = stack.enter_context(Recorder([page]))
        received = stack.enter_context(_viewers(page.port, viewers, slow)) if viewers else None
        begin, cpu, page_cpu = time.perf_counter(), time.process_time(), _page_seconds()
        for result in heatstream.stream(source, pipeline):
            clock.add(result.timing, time.perf_counter())
            recorder.write(result)
            latencies.append(result.timing.latency)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        page_cpu = _page_seconds() - page_cpu
        each = 0.0 if received is None else received.value / viewers / seconds
    count = len(latencies)
    return Turn(count / seconds, latencies, cpu / count, page_cpu / count, each)


def _page_seconds() -> float:
    """The CPU time so far of the threads of the recorder and of the page's server."""
    threads = [one for one in threading.enumerate() if one.name in ("heatstream-record", "heatstream-web")]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(one.ident)) for one in threads if one.ident is not None)


def _pairs(
    pipeline: PosePipeline, frame: NDArray[np.uint8], count: int, *, fps: float | None, viewers: int, slow: bool
) -> list[tuple[Turn, Turn]]:
    """So many pairs of a turn without and one with viewers; every second pair begins with the latter."""
    pairs = []
    for number in range(count):
        order = (0, viewers) if number % 2 == 0 else (viewers, 0)
        turns = {wanted: run(pipeline, frame, fps=fps, viewers=wanted, slow=slow) for wanted in order}
        pairs.append((turns[0], turns[viewers]))
    return pairs


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="swahr-tiny")
    parser.add_argument("--size", default="1280x720", help="of the frames")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--measure", default="rate,latency")
    wanted = parser.parse_args()
    width, height = map(int, wanted.size.split("x"))
    frame = np.asarray(cv2.resize(cv2.imread(str(PICTURE)), (width, height)), np.uint8)
    pipeline = heatstream.load(wanted.model, "cpu")
    run(pipeline, frame, fps=None, viewers=0, slow=False)  # everything is warm then
    if "rate" in wanted.measure:
        pairs = _pairs(pipeline, frame, wanted.pairs, fps=None, viewers=QUICK, slow=False)
        received = np.median([beside.received for _, beside in pairs])
        print(f"{QUICK} viewers that read all, each {received:.1f} results per second")
        _print("results per second", [(alone.rate, beside.rate) for alone, beside in pairs])
        _print("CPU ms per result", [(1e3 * alone.cpu, 1e3 * beside.cpu) for alone, beside in pairs])
        shares = [(beside.page_cpu - alone.page_cpu) / alone.cpu for alone, beside in pairs]
        low, median, high = 100 * np.percentile(shares, (25, 50, 75))
        print(f"  of which the page's threads: {median:.1f} % more (quartiles {low:.1f}, {high:.1f})", flush=True)
    if "latency" in wanted.measure:
        pairs = _pairs(pipeline, frame, wanted.pairs, fps=LIVE_FPS, viewers=SLOW, slow=True)
        print(f"{SLOW} viewers that read nothing, {LIVE_FPS:.0f} frames per second")
        for percent in (50, 99):
            times = [[1e3 * float(np.percentile(turn.latencies, percent)) for turn in pair] for pair in pairs]
            _print(f"latency p{percent}, ms", [(alone, beside) for alone, beside in times])


def _print(title: str, pairs: list[tuple[float, float]]) -> None:
    alone, beside = np.array(pairs).T
    low, median, high = np.percentile(beside / alone, (25, 50, 75))
    print(
        f"  {title}: {np.median(alone):.1f} without, {np.median(beside):.1f} with; "
        f"ratio {median:.3f} (quartiles {low:.3f}, {high:.3f}; {len(pairs)} pairs)",
        flush=True,
    )


if __name__ == "__main__":
    main()
