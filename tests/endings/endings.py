"""A hundred endings, by hand: ``python -m tests.endings.endings --streams 50 --signals 50 --kills 20``.

Every one is a process of its own: a program that leaves a stream in one of seven ways, or ``heatstream run`` that gets
a signal at a random moment, with a network of seconds per frame or a quick one. What is looked at: the exit code, that
nothing but the documented was printed, and that every file is whole.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cv2

from tests.demo.conftest import SIZE, spot, write_model
from tests.demo.helpers import REPOSITORY
from tests.endings.slow_model import write_slow_model
from tests.fakes.patience import HANG_SECONDS, until
from tests.fakes.runtime import read_video

WAYS = {
    "break": ("for result in results: break", 0),
    "exception": ("for result in results: raise ValueError('of the user')", 1),
    "one next": ("next(results)", 0),
    "never read": ("pass", 0),
    "sys.exit": ("for result in results: sys.exit(3)", 3),
    "with": ("with results:\n    for result in results: break", 0),
    "ctrl-c": ("threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()\nlist(results)", -signal.SIGINT),
}
"""What a program does with its stream, and the exit code that Python documents for it."""

PROGRAM = """
import faulthandler, os, signal, sys, threading
faulthandler.dump_traceback_later(250, exit=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal: `&` in a script ignores Ctrl-C
import heatstream
pipeline = heatstream.load(sys.argv[2])
results = heatstream.stream(sys.argv[1], pipeline)
"""

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@dataclass(frozen=True)
class Ingredients:
    """What runs are made of.

    Attributes:
        clip: a video of 2000 frames.
        slow: a model file that takes about a second a frame, and several where other programs run.
        quick: one that takes milliseconds.
    """

    clip: Path
    slow: Path
    quick: Path

    @classmethod
    def make(cls, folder: Path) -> Ingredients:
        """Write them into a folder."""
        clip = folder / "clip.avi"
        writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE[::-1])
        frame = spot(90, 60)
        for _ in range(2000):
            writer.write(frame)
        writer.release()
        return cls(clip, write_slow_model(folder / "slow.onnx", 40), write_model(folder / "quick.onnx"))


def leave_stream(way: str, model: Path, clip: Path) -> str:
    """Run a program that leaves a stream in one of the :data:`WAYS`.

    Returns:
        What was wrong; empty if nothing.
    """
    code, expected = WAYS[way]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code, str(clip), str(model)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=HANG_SECONDS,
        check=False,
    )
    if done.returncode != expected:
        return f"{way}: exit code {done.returncode} instead of {expected}, {done.stderr[-3000:]}"
    if expected == 0 and done.stderr:
        return f"{way}: {done.stderr[-300:]}"
    return ""


def signal_run(number: signal.Signals, *, twice: bool, after: float, model: Path, clip: Path, folder: Path) -> str:
    """Run ``heatstream run`` and send it a signal.

    Args:
        number: the signal.
        twice: send it again at once.
        after: seconds after our code began; within Python's own start a signal does what it does to any program.
        model: what it runs.
        clip: what it reads.
        folder: where it writes.

    Returns:
        What was wrong; empty if nothing.
    """
    process = _start(model, clip, folder)
    _wait_for_our_code(process.pid)
    time.sleep(after)
    process.send_signal(number)
    if twice:
        time.sleep(0.05)
        process.send_signal(number)
    _, err = _communicate(process)
    told = f"{number.name} after {after:.2f} s{' twice' if twice else ''}: exit code {process.returncode}, {err[-300:]}"
    if process.returncode != SIGNALS[number]:
        return told
    lines, entries, frames = whole_files(folder)
    if not twice and not lines == entries == frames:
        return f"{told}: {lines} lines, {entries} entries, {frames} frames"
    return "" if not err else told


def kill_run(after: float, model: Path, clip: Path, folder: Path) -> str:
    """Run ``heatstream run`` and end it with SIGKILL.

    Returns:
        What was wrong; empty if nothing.
    """
    process = _start(model, clip, folder)
    lines = folder / "out.jsonl"
    until(lambda: lines.exists() and lines.stat().st_size)
    time.sleep(after)
    last_second = _count_lines(lines)
    time.sleep(1)
    until(lambda: _count_lines(lines) > last_second or process.poll() is not None)  # a busy machine's second is short
    process.kill()
    _communicate(process)
    counts = whole_files(folder)
    if min(counts) < last_second or not last_second:
        return f"killed {after:.2f} s after its first line: {last_second} lines a second before, then {counts}"
    return ""


def whole_files(folder: Path) -> tuple[int, int, int]:
    """How many lines, COCO entries and frames there are, all of them whole; a file that is not there has none."""
    from pycocotools.coco import COCO

    lines, coco, video = (folder / name for name in ("out.jsonl", "out.json", "out.mp4"))
    if not lines.exists():
        return 0, 0, 0
    texts = lines.read_text().splitlines(keepends=True)
    assert all(text.endswith("\n") for text in texts)
    records = [json.loads(text) for text in texts]
    assert all(record["type"] == "header" for record in records[:1])  # it comes with the first result
    results = records[1:]
    indices = [result["frame_index"] for result in results]
    assert indices == list(range(len(indices)))
    entries = json.loads(coco.read_text()) if coco.exists() and coco.stat().st_size else []
    if entries:
        truth = COCO()
        images = [{"id": number} for number in {entry["image_id"] for entry in entries}]
        truth.dataset = {"images": images, "annotations": [], "categories": [{"id": 1}], "info": {}}
        with redirect_stdout(io.StringIO()):
            truth.createIndex()
            assert len(truth.loadRes(str(coco)).getAnnIds()) == len(entries)
    frames = read_video(video) if video.exists() else []
    assert all(frame.max() > 100 for frame in frames)
    return len(results), len(entries), len(frames)


def _start(model: Path, clip: Path, folder: Path) -> subprocess.Popen[str]:
    files = ("--save", folder / "out.mp4", "--jsonl", folder / "out.jsonl", "--coco", folder / "out.json")
    return subprocess.Popen(
        [sys.executable, "-m", "heatstream", "run", *map(str, (clip, "-m", model, "--no-window", *files))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )


def _wait_for_our_code(pid: int) -> None:
    """Until the process catches SIGTERM, which Python does not by itself; at once where that cannot be seen."""
    status = Path(f"/proc/{pid}/status")
    deadline = time.monotonic() + HANG_SECONDS
    while status.exists() and time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught is None or int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)


def _communicate(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return out, f"{err}; it did not end"


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") - 1  # the first one is the header


def main() -> None:
    """Run so many endings of each kind, and tell what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, count in (("streams", 50), ("signals", 50), ("kills", 20), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=count)
    wanted = parser.parse_args()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)  # what nohup and `&` ignore, their children ignore too
    choice = random.Random(wanted.seed)
    ended: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        made = Ingredients.make(Path(name))
        for index in range(wanted.streams):
            way = list(WAYS)[index % len(WAYS)]
            model = made.slow if index // len(WAYS) % 2 == 0 else made.quick
            _note(ended, f"stream, {way}, {model.stem}", leave_stream(way, model, made.clip))
        for index in range(wanted.signals):
            folder = Path(name) / f"signal-{index}"
            folder.mkdir()
            number = choice.choice(list(SIGNALS))
            twice = choice.random() < 0.3
            model = choice.choice([made.slow, made.quick])
            after = choice.uniform(0.0, 12.0)
            wrong = signal_run(number, twice=twice, after=after, model=model, clip=made.clip, folder=folder)
            _note(ended, f"{number.name}, {model.stem}{', twice' if twice else ''}", wrong)
        for index in range(wanted.kills):
            folder = Path(name) / f"kill-{index}"
            folder.mkdir()
            _note(ended, "SIGKILL", kill_run(choice.uniform(1, 6), made.quick, made.clip, folder))
    for kind, count in sorted(ended.items()):
        print(f"{count:4d}  {kind}")


def _note(ended: Counter[str], kind: str, wrong: str) -> None:
    ended[kind + (" WRONG" if wrong else "")] += 1
    if wrong:
        print(wrong, flush=True)


if __name__ == "__main__":
    os.environ.pop("DISPLAY", None)
    main()
