"""Engines built in a process of their own, so that whoever needs them goes on meanwhile, and outlives a failure.

``python -m heatstream.engine_builder.trt.build_process`` reads what to build as JSON from its standard input and leaves
the engines in the user's cache; a build that fails is its last line on the standard error stream.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from heatstream.engine_builder.trt.cache import build_engine, engine_spec, find_engine
from heatstream.engine_builder.trt.gpus import Gpu, local_gpu
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.engine_builder.trt.toolkit import BACKENDS, Toolkit, open_toolkit
from heatstream.errors import EngineFileError, HeatstreamError

__all__ = ["BuildJob", "BuildProcess", "build_all"]

STOP_SECONDS = 5.0


@dataclass(frozen=True)
class BuildJob:
    """One engine to build, in the precision that its model file recommends.

    Attributes:
        model: the model file.
        size: (height, width) in px.
        batch: as of :func:`heatstream.engine_builder.trt.cache.build_engine`.
        targets: likewise.
    """

    model: str
    size: tuple[int, int]
    batch: int = 1
    targets: tuple[str, ...] = ()

    def is_built(self, toolkit: Toolkit, gpu: Gpu) -> bool:
        """Whether it lies in the user's cache, and fits.

        Raises:
            ModelFileError: the model file is missing, damaged, or not ours.
        """
        source = read_model(Path(self.model))
        info = source.shaped(size=self.size, batch=self.batch, precision=None)
        try:
            find_engine(engine_spec(source, info, toolkit, gpu, batch=self.batch, targets=self.targets))
        except EngineFileError:
            return False
        return True


class BuildProcess:
    """A process that builds engines; it ends with :meth:`stop`, or by itself.

    Args:
        jobs: what it builds, one after the other.
        backend: ``"tensorrt"`` or ``"tensorrt-rtx"``.
        index: number of the GPU, as CUDA counts in this process.
        module: what the process runs; it takes the place of this one in tests.
    """

    def __init__(self, jobs: Sequence[BuildJob], backend: str, index: int = 0, *, module: str = __name__) -> None:
        visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part.strip()]
        chosen = visible[index] if index < len(visible) else str(index)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": chosen},
        )
        self._asked = json.dumps({"backend": backend, "jobs": [asdict(job) for job in jobs]}).encode()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait(self) -> str:
        """Why it failed, in one line; empty where all engines are built."""
        _, errors = self._process.communicate(self._asked)
        if self._process.returncode == 0:
            return ""
        lines = errors.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the build ended with exit code {self._process.returncode}"

    def stop(self) -> None:
        """End it, in whatever state the build is; the cache keeps whole engines alone."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        killer = threading.Timer(STOP_SECONDS, self._process.kill)
        killer.daemon = True
        killer.start()


def build_all(text: str, toolkit: Toolkit | None = None, gpu: Gpu | None = None) -> None:
    """Build what is asked for.

    Args:
        text: what :class:`BuildProcess` writes.
        toolkit: what builds; the backend that is asked for when left out.
        gpu: it is for; this machine's when left out.

    Raises:
        HeatstreamError: as of :func:`heatstream.engine_builder.trt.cache.build_engine`.
    """
    asked = json.loads(text)
    toolkit = toolkit or open_toolkit(BACKENDS[BACKENDS.index(asked["backend"])])
    for job in asked["jobs"]:
        build_engine(
            read_model(Path(job["model"])),
            toolkit,
            gpu or local_gpu(),
            size=tuple(job["size"]),
            batch=job["batch"],
            targets=tuple(job["targets"]),
        )


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(10)  # the stream comes first
    try:
        build_all(sys.stdin.read())
    except HeatstreamError as failure:
        sys.exit(str(failure))
