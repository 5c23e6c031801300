"""Engines found again, or built: the folder of them, and who may write in it.

Engines lie in the user's cache folder unless another one is named, under a name that holds a digest of everything they
depend on. One process builds an engine at a time: a lock of the operating system, which drops it when its holder ends
in whatever way, so that no lock can be left behind.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import filelock
import platformdirs

from heatstream.engine_builder.trt.compile import Progress, compile_engine
from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.layers import count_layers, float32_layers
from heatstream.engine_builder.trt.model_source import ModelSource
from heatstream.engine_builder.trt.plan_file import (
    EngineRecord,
    EngineSpec,
    Plan,
    load_plan,
    read_record,
    remove_engine,
    write_engine,
)
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import BuildError, EngineFileError, SinkError
from heatstream.model_info import ModelInfo, Precision

__all__ = ["FoundEngine", "build_engine", "engine_folder", "engine_spec", "find_engine", "remove_relatives"]

LOCK_SECONDS = 3600.0
"""How long to wait for another process that builds the same engine; on a small board a build takes many minutes."""

PATIENCE_SECONDS = 0.5
"""How long to wait for it before saying so."""


@dataclass(frozen=True)
class FoundEngine:
    """An engine that is ready.

    Attributes:
        path: of the plan; :func:`heatstream.engine_builder.trt.plan_file.load_plan` reads it.
        record: what its sidecar says.
        reason: why it was built now; empty where it was there already.
    """

    path: Path
    record: EngineRecord
    reason: str


def build_engine(
    source: ModelSource,
    toolkit: Toolkit,
    gpu: Gpu | None,
    *,
    size: tuple[int, int] | None = None,
    batch: int = 1,
    precision: Precision | None = None,
    targets: Sequence[str] = (),
    folder: Path | None = None,
    progress: Progress | None = None,
    waiting: Callable[[Path], object] = lambda lock: None,
    lock_seconds: float = LOCK_SECONDS,
) -> FoundEngine:
    """Find the engine of a model file, or build it.

    Args:
        source: the model file, as `read_model` has read it.
        toolkit: what builds it and will run it.
        gpu: of this machine.
        size: (height, width) in px; the model's own when left out.
        batch: 1 for exactly one image per run, which is fastest; N for 1 to N.
        precision: what it computes in; INT8 for a model file in INT8 and FP16 for all others when left out.
        targets: compute capabilities; the toolkit's choice when empty.
        folder: where engines are kept, made if need be; the user's cache when left out.
        progress: called with how far a build is.
        waiting: is called once with the lock's path when another process is building this engine.
        lock_seconds: how long to wait for it.

    Raises:
        ModelFileError: the model file has changed since it was read.
        InputError: the model or the toolkit cannot give such an engine.
        BuildError: the toolkit refuses or fails, or another process builds for too long.
        SinkError: the folder cannot be written.
        MissingExtraError: the model has to be cast to FP16, and onnx is not installed.
    """
    info = source.shaped(size=size, batch=batch, precision=precision)
    spec = engine_spec(source, info, toolkit, gpu, batch=batch, targets=targets)
    folder = engine_folder() if folder is None else folder
    path = folder / spec.file_name
    try:
        return FoundEngine(path, find_engine(spec, folder).record, "")
    except EngineFileError:
        pass
    with _locked(folder, spec, waiting, lock_seconds):
        try:  # another process may have built it meanwhile
            return FoundEngine(path, find_engine(spec, folder).record, "")
        except EngineFileError as error:
            reason = error.reason
        start = time.perf_counter()
        engine = compile_engine(
            toolkit,
            source.graph(info),
            info,
            batch=batch,
            targets=spec.targets,
            timings=engine_folder() / _timings_name(spec),
            progress=progress,
        )
        record = EngineRecord(
            spec=spec,
            model=info,
            shapes=engine.shapes,
            layers=count_layers(engine.layers),
            engine_layers=count_layers(engine.fused),
            float32_layers=tuple(layer.name for layer in float32_layers(engine.layers)),
            plan_sha256=hashlib.sha256(engine.plan).hexdigest(),
            plan_bytes=len(engine.plan),
            built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            build_seconds=round(time.perf_counter() - start, 3),
        )
        write_engine(path, engine.plan, record)
    return FoundEngine(path, record, reason)


def engine_spec(
    source: ModelSource,
    info: ModelInfo,
    toolkit: Toolkit,
    gpu: Gpu | None,
    *,
    batch: int = 1,
    targets: Sequence[str] = (),
) -> EngineSpec:
    """What an engine is found by.

    Args:
        source: the model file.
        info: how the engine is fed, as :meth:`ModelSource.shaped` gives it.
        toolkit: what builds it and will run it.
        gpu: of this machine.
        batch: as for :func:`build_engine`.
        targets: as for :func:`build_engine`.

    Raises:
        InputError: the toolkit does not build for these targets.
        BuildError: the toolkit builds only on a GPU, and there is none.
    """
    return EngineSpec(
        name=info.name,
        model_sha256=source.sha256,
        backend=toolkit.backend,
        version=toolkit.version,
        targets=toolkit.targets(targets, gpu),
        gpu=gpu.name if gpu is not None and toolkit.backend == "tensorrt" else None,
        precision=info.precision,
        size=info.input_size,
        batch=batch,
    )


def engine_folder() -> Path:
    """Where engines are kept unless another folder is named; it need not exist."""
    return Path(platformdirs.user_cache_path("heatstream")) / "engines"


def find_engine(spec: EngineSpec, folder: Path | None = None) -> Plan:
    """The engine that was built before, checked and ready to be deserialised.

    Args:
        spec: what it is found by.
        folder: where to look; the user's cache when left out.

    Raises:
        EngineFileError: there is none, or it is damaged, or what is there is another model's, version's or machine's;
            the message says which.
    """
    folder = engine_folder() if folder is None else folder
    path = folder / spec.file_name
    if os.path.exists(path):
        plan = load_plan(path)
        if plan.record.spec != spec:
            raise EngineFileError(f"{path} is another engine under this name: {plan.record.spec.difference(spec)}")
        return plan
    for other in _relatives(spec, folder):
        try:
            difference = read_record(other).spec.difference(spec)
        except EngineFileError:
            continue
        raise EngineFileError(f"{other} cannot be used: {difference}")
    raise EngineFileError(f"there is no engine of {spec.name} in {folder} yet")


def remove_relatives(spec: EngineSpec, folder: Path | None = None) -> list[Path]:
    """Delete the engines that this one takes the place of: those of other models, versions and machines.

    Engines of another size, batch, precision or toolkit are left alone. Nothing deletes engines unasked: two versions
    of a library, or two machines, may share a folder.

    Args:
        spec: of the engine to keep.
        folder: where engines are kept; the user's cache when left out.

    Returns:
        Those that were deleted.

    Raises:
        SinkError: the folder cannot be written.
    """
    folder = engine_folder() if folder is None else folder
    others = [path for path in _relatives(spec, folder) if path.name != spec.file_name]
    for path in others:
        remove_engine(path)
    return others


def _relatives(spec: EngineSpec, folder: Path) -> list[Path]:
    """Engines that differ only in model, version or machine, the newest first."""
    found = [path for path in folder.glob("*.engine") if path.name.startswith(spec.family)]
    return sorted(found, key=lambda path: path.lstat().st_mtime, reverse=True)  # of a dangling link its own


def _timings_name(spec: EngineSpec) -> str:
    return re.sub(r"[^\w.-]", "_", f"timings-{spec.version}-{spec.gpu}.cache")


@contextmanager
def _locked(folder: Path, spec: EngineSpec, waiting: Callable[[Path], object], seconds: float) -> Iterator[None]:
    path = folder / f".{spec.file_name}.lock"
    lock = filelock.FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # of others no engine is loaded
        try:
            lock.acquire(timeout=min(PATIENCE_SECONDS, seconds))
        except filelock.Timeout:
            waiting(path)
            lock.acquire(timeout=seconds)
    except filelock.Timeout:
        raise BuildError(
            f"another process has been building {spec.name} for more than {seconds:g} s (it holds {path}): wait for "
            "it, or end it"
        ) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(f"cannot keep engines in {folder}: {reason}; name another folder with --output") from error
    try:
        yield
    finally:
        lock.release()
