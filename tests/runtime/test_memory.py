"""Memory that is freed after a frame is there for the next one."""

from __future__ import annotations

import os
import platform
import threading

import numpy as np
import pytest

from heatstream.runtime.memory import keep_freed_memory

ROUNDS = 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back on every thread")
@pytest.mark.skipif(any(name.startswith("MALLOC_") for name in os.environ), reason="glibc has been told what to keep")
def test_a_thread_that_takes_and_frees_arrays_meets_few_page_faults() -> None:
    import resource

    faults: list[int] = []

    def frames() -> None:
        for _ in range(ROUNDS):
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            arrays = [np.ones(1 << 20, np.uint8) for _ in range(4)]
            del arrays
            faults.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

    keep_freed_memory()
    thread = threading.Thread(target=frames)
    thread.start()
    thread.join()
    pages = (4 << 20) // resource.getpagesize()
    assert faults[0] > pages / 2  # what the first round takes is new
    assert sum(faults[1:]) < pages / 2
