"""Memory that is freed after a frame is there for the next one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = """
import resource, sys, threading
import numpy as np
from heatstream.runtime.memory import keep_freed_memory

def frames():
    for number in range(21):
        if number == 1:  # what the first round takes is new
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        arrays = [np.ones(1 << 20, np.uint8) for _ in range(4)]
        del arrays
    print((resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) * resource.getpagesize() / (80 << 20))

if "keep" in sys.argv:
    keep_freed_memory()
thread = threading.Thread(target=frames)
thread.start()
thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back on every thread")
@pytest.mark.parametrize(("argument", "low", "high"), [("", 0.5, 2.0), ("keep", 0.0, 0.1)])
def test_a_thread_that_takes_and_frees_arrays_meets_few_page_faults(argument: str, low: float, high: float) -> None:
    """In a process of its own: what is told to the C library holds for good."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], capture_output=True, text=True, cwd=REPOSITORY, env=environment
    )
    share = float(ended.stdout)  # of the memory touched in rounds 2 to 21 that had to be fetched anew
    assert low <= share <= high, ended.stderr
