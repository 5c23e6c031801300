"""Whether streams come back, how soon, and at what cost: ``python -m tests.reconnect --times 20``.

Servers in processes of their own are killed, stopped, started again at another size, replaced by noise and by nobody,
while one stream is read. It prints for each kind of server and of fault how often the stream came back, how long it
took to notice and to come back, whether a result was old, double, out of order or of no frame, what memory grew by, and
how long closing took. It exits with 1 if one of them is beyond its bound, or if one takes so long that something hangs;
then it prints what every thread was doing. A quick form of it runs with the tests.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import psutil

from heatstream.results import Gap, Result
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources import open_source
from heatstream.runtime.stream import Stream, stream
from tests.fakes.clock_code import made_at
from tests.fakes.runtime import NobodyThere
from tests.fakes.video_server import has_rtsp_server, start

FPS = 25
GOP_SECONDS = 1.0
NOTICE_BOUND = 1 + 2 / FPS
BACK_BOUND = 1.5 + GOP_SECONDS
HANGS_SECONDS = 150.0  # for one fault; the longest back-off is 60
SETTLING = 1.3  # seconds of results between two faults
SIZES = ((240, 320), (480, 640))
FAULTS = ("killed", "stopped", "resized", "noise", "absent")


@dataclass
class Findings:
    """What came of one fault, many times."""

    tried: int = 0
    back: int = 0
    notice: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    close: list[float] = field(default_factory=list)
    growth: float = 0.0


class Camera:
    """A server that is there, or not."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])
        self.url = f"{'rtsp' if kind == 'rtsp' else 'http'}://127.0.0.1:{self.port}/live"
        self.process: subprocess.Popen[str] | None = None

    def start(self, kind: str | None = None, size: tuple[int, int] = SIZES[0]) -> None:
        self.process = start(kind or self.kind, self.port, size=size, fps=FPS)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)


class Watched:
    """A stream's items, each looked at."""

    def __init__(self, results: Stream, findings: Findings) -> None:
        self._items: Iterator[Result | Gap] = results.with_gaps()
        self._findings = findings
        self._made = 0.0
        self._index = -1
        self._silent = False

    def next(self) -> Result | Gap:
        item = next(self._items)
        if isinstance(item, Gap):
            self._silent = not item.over
        else:
            made = made_at(item.frame)
            if made is None:
                self._findings.wrong.append("invented")
            elif made <= self._made:
                self._findings.wrong.append("double or out of order")
            elif item.capture_monotonic is None or item.capture_monotonic < made - 0.01:
                self._findings.wrong.append("stamped before it was made")
            self._made = made or self._made
            if item.frame_index <= self._index:
                self._findings.wrong.append("index")
            self._index = item.frame_index
        return item

    def results_for(self, seconds: float) -> None:
        """Look at results, and go on until none is missing: a gap that is told already is not told again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or self._silent:
            self.next()

    def gap(self, *, over: bool) -> Gap:
        while not (isinstance(item := self.next(), Gap) and item.over == over):
            pass
        return item


def try_faults(kind: str, fault: str, times: int) -> Findings:
    """One kind of fault, many times in one stream; ``absent`` with a stream each."""
    findings = Findings()
    camera = Camera(kind)
    pipeline = CpuPosePipeline(NobodyThere())
    process = psutil.Process()
    sizes = list(SIZES)
    try:
        if fault != "absent":
            camera.start()
            results = stream(open_source(camera.url, wait=True), pipeline)  # a busy machine may begin late
            watched = Watched(results, findings)
        before = 0
        for number in range(times):
            findings.tried += 1
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)
            if fault == "absent":
                results = stream(open_source(camera.url, wait=True), pipeline)
                watched = Watched(results, findings)
                watched.gap(over=False)
                time.sleep(1.5)
            else:
                watched.results_for(SETTLING)
                if number == min(3, times - 1):
                    before = process.memory_info().rss
                broken = time.monotonic()
                if fault == "stopped":
                    camera.signal(signal.SIGSTOP)
                else:
                    camera.kill()
                watched.gap(over=False)
                findings.notice.append(time.monotonic() - broken)
                time.sleep(0.3)
                if fault == "noise":
                    camera.start("garbage")
                    time.sleep(1.0)
                    camera.kill()
            if fault == "stopped":
                camera.signal(signal.SIGCONT)
            else:
                if fault == "resized":
                    sizes.reverse()
                camera.start(size=sizes[0])
            there = time.monotonic()
            watched.gap(over=True)
            while not isinstance(item := watched.next(), Result):
                pass
            findings.first.append(time.monotonic() - there)
            findings.back += item.frame.shape[:2] == sizes[0]
            if fault == "absent":
                _close(results, findings)
                camera.kill()
                if number == min(3, times - 1):
                    before = process.memory_info().rss
        findings.growth = process.memory_info().rss / before - 1
        if fault != "absent":
            camera.signal(signal.SIGSTOP)  # closing must not wait for it
            time.sleep(0.1)
            _close(results, findings)
    finally:
        faulthandler.cancel_dump_traceback_later()
        camera.kill()
    return findings


def _close(results: Stream, findings: Findings) -> None:
    begun = time.monotonic()
    results.close()
    findings.close.append(time.monotonic() - begun)


def main() -> None:
    """Try everything and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", default=["mjpeg", "mpegts", *(["rtsp"] if has_rtsp_server() else [])])
    parser.add_argument("--faults", nargs="+", default=FAULTS, choices=FAULTS)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {FPS} frames per second, a GOP of {GOP_SECONDS:g} s")
    print(f"bounds: noticed {NOTICE_BOUND:.2f} s, first result {BACK_BOUND:.2f} s, closed 1 s")
    print("kind    fault    back   noticed p50/max s  first p50/max s  wrong  RSS      closed max s", flush=True)
    good = True
    for kind in options.kinds:
        for fault in options.faults:
            found = try_faults(kind, fault, options.times)
            notice, first = (values or [0.0] for values in (found.notice, found.first))
            good &= found.back == found.tried and not found.wrong and max(found.close) < 1.1
            good &= max(notice) <= NOTICE_BOUND and max(first) <= BACK_BOUND
            print(
                f"{kind:7} {fault:8} {found.back}/{found.tried}  {np.median(notice):7.2f} {max(notice):7.2f}"
                f"    {np.median(first):7.2f} {max(first):7.2f}   {len(found.wrong):4}   {found.growth:+.1%}"
                f"  {max(found.close):8.2f}  {', '.join(sorted(set(found.wrong)))}",
                flush=True,
            )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
