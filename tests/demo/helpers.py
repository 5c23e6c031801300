"""How the tests run commands and read what they leave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from tests.fakes.messages import check_message
from tests.fakes.patience import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


def in_a_process(*arguments: str | Path) -> Ended:
    """Run the command line in a process of its own, where messages of OpenCV and FFmpeg would show too."""
    result = subprocess.run(
        [sys.executable, "-m", "heatstream", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=HANG_SECONDS,
        check=False,
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file, every line of which must be complete and as the format says."""
    text = path.read_text()
    assert text.endswith("\n")
    messages = [json.loads(line) for line in text.splitlines()]
    for message in messages:
        check_message(message)
    return messages


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results of a file of ``--jsonl``, whose first line must be a header, and the only one."""
    header, *results = read_lines(path)
    assert header["type"] == "header"
    assert {result["type"] for result in results} == {"result"}
    return results


def count_frames(path: Path) -> int:
    """How many frames a video plays."""
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count
