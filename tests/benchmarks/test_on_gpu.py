"""The script for a machine with a GPU, walked through without one, and the page that is made of what it brings back."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.gpu_page import gpu_page

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = ["machine", "smoke", "kernels", "runtime", "bench", "decode", "drift", "memcheck", "racecheck"]


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.skipif(sys.platform != "linux", reason="it is a shell script for Linux")
def test_a_dry_run_walks_through_every_step_and_leaves_one_archive(tmp_path: Path) -> None:
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (160, 120))
    for level in (0, 60, 120):
        writer.write(np.full((120, 160, 3), level, np.uint8))
    writer.release()
    out = tmp_path / "out"
    done = subprocess.run(
        ["tools/on_gpu.sh", "--dry", str(out)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHON": sys.executable, "DRY_CLIP": str(clip)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == STEPS
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = out.iterdir()
    page = gpu_page(archive)
    assert "a frame was not on a GPU." in page
    assert "| 32² | 0 |" in page
    assert "in 2 frames." in page
    assert all(f"\n{name} " in page for name in STEPS)


def test_the_page_holds_figures_against_their_goals(tmp_path: Path) -> None:
    times = {"median": 90.0, "p10": 80.0, "p90": 100.0}
    smoke = {"engine": "PyTorch, cuda:0 (H200), fp16", "graph_refusal": "", "frame_over_engine": 1.04}
    decode = {"cases": [{"side": 256, "people": count, "decode": times} for count in (5, 30)]}
    files = {
        "machine.log": "|   0  NVIDIA H200            On |\ntorch 2.11.0\nother 1\n",
        "smoke.json": json.dumps({**smoke, "stages_us": {"engine": times, "frame": times}}),
        "decode-gpu.json": json.dumps(decode),
        "kernels.log": "...\n3 passed in 1 s",
    }
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    page = gpu_page(tmp_path / "a.tar.gz")
    for expected in (
        "NVIDIA H200; torch 2.11.0.",
        "a frame is one graph",
        "Frame over engine: 1.040; the goal of 1.05 is reached.",
        "| 256² | 5 | 90.0 | 80.0-100.0 | 80 |",
        "| 256² | 30 | 90.0 | 80.0-100.0 | 300 |",
        "It was not compared.",
        "kernels: 3 passed in 1 s",
        "racecheck: no log",
    ):
        assert expected in page
