"""An engine on disk: the plan ``NAME.engine`` beside its sidecar ``NAME.json``, which says all about it.

A plan is a program for a GPU: it is handed to TensorRT only after its SHA-256, and what its sidecar says of machine
and version, have been checked. The sidecar carries a digest of itself, so that an edited one is seen too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from heatstream.engine_builder.trt.gpus import Gpu
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.engine_builder.trt.verification import Verification
from heatstream.errors import EngineFileError, ModelFileError, SinkError
from heatstream.files import replacing
from heatstream.model_info import METADATA_KEY, ModelInfo
from heatstream.version import __version__

__all__ = [
    "EngineRecord",
    "EngineSpec",
    "Plan",
    "load_plan",
    "read_record",
    "remove_engine",
    "sidecar_path",
    "write_engine",
    "write_record",
]

FORMAT = 2
"""Version of the sidecar; plans of format 1 for TensorRT-RTX lack the runtime's own memory."""

KEY_LENGTH = 16


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is found by: were any of it different, it would be another engine.

    Attributes:
        name: of the network.
        model_sha256: of the model file.
        backend: ``"tensorrt"`` or ``"tensorrt-rtx"``.
        version: of that library, in full.
        targets: compute capabilities that it is for, for example ``("sm_89",)``.
        gpu: name of the GPU that it was tuned on; None for TensorRT-RTX, which tunes when the engine is loaded.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        size: (height, width) in px.
        batch: 1 for exactly one image per run; N for 1 to N.
    """

    name: str
    model_sha256: str
    backend: str
    version: str
    targets: tuple[str, ...]
    gpu: str | None
    precision: str
    size: tuple[int, int]
    batch: int

    @property
    def family(self) -> str:
        """What the names of all engines begin with that differ only in versions and machines."""
        batch = "" if self.batch == 1 else f"-b{self.batch}"
        name = re.sub(r"[^\w.-]", "_", self.name)
        return f"{name}-{self.size[0]}x{self.size[1]}{batch}-{self.precision}-{self.backend}-"

    @property
    def file_name(self) -> str:
        """Name of the plan's file: the family, and a digest of everything."""
        content = json.dumps([FORMAT, asdict(self)], sort_keys=True)
        return f"{self.family}{hashlib.sha256(content.encode()).hexdigest()[:KEY_LENGTH]}.engine"

    def difference(self, wanted: EngineSpec) -> str:
        """Why an engine is not the wanted one, human-readable; empty if it is."""
        reasons = {
            "model_sha256": "the model file has changed",
            "version": f"it was built with {self.backend} {self.version}, and this is {wanted.version}",
            "targets": f"it was built for {', '.join(self.targets)}, not for {', '.join(wanted.targets)}",
            "gpu": f"it was built on {self.gpu}, and this machine has {wanted.gpu}",
        }
        for name, reason in reasons.items():
            if getattr(self, name) != getattr(wanted, name):
                return reason
        return "" if self == wanted else "it was built with other settings"


@dataclass(frozen=True)
class EngineRecord:
    """What a sidecar says.

    Attributes:
        spec: what the engine is found by.
        model: how the engine is fed and its outputs are read; its batch is None where there may be several images.
        shapes: name of every input and output -> shape, -1 where the number of images is free; all are float32.
        layers: precision -> kind of layer -> how many.
        engine_layers: the same of the finished engine, whose layers are fused, if its inspector lists them.
        float32_layers: names of those that an FP16 engine computes in float32.
        plan_sha256: of the plan, hexadecimal.
        plan_bytes: size of the plan.
        built_at: date and time of the build, ISO 8601, UTC.
        build_seconds: how long it took.
        verification: how far it is from the model file, where that was measured.
        heatstream_version: of the heatstream that built it.
    """

    spec: EngineSpec
    model: ModelInfo
    shapes: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, Mapping[str, int]]
    engine_layers: Mapping[str, Mapping[str, int]]
    float32_layers: tuple[str, ...]
    plan_sha256: str
    plan_bytes: int
    built_at: str
    build_seconds: float
    verification: Verification | None = None
    heatstream_version: str = field(default=__version__)

    def to_json(self) -> str:
        """The text of the sidecar."""
        content: dict[str, Any] = {"format": FORMAT, **asdict(self.spec)}
        content |= {name: value for name, value in vars(self).items() if name not in ("spec", "model")}
        content["model"] = json.loads(self.model.to_metadata()[METADATA_KEY])
        content["verification"] = None if self.verification is None else asdict(self.verification)
        content["digest"] = _digest(content)
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, path: Path) -> EngineRecord:
        """Read what :meth:`to_json` wrote.

        Raises:
            EngineFileError: the text is damaged, edited, or of another format.
        """
        damaged = EngineFileError(f"the sidecar {path} is damaged or was edited")
        try:
            content = json.loads(text)
            number, digest = content["format"], content.pop("digest", None)
            if number != FORMAT:
                raise EngineFileError(f"the sidecar {path} has format {number!r} and this heatstream reads {FORMAT}")
            if digest != _digest(content):
                raise damaged
            spec = {item.name: content[item.name] for item in fields(EngineSpec)}
            spec |= {"targets": tuple(spec["targets"]), "size": tuple(spec["size"])}
            own = {item.name: content[item.name] for item in fields(cls) if item.name not in ("spec", "model")}
            own |= {"shapes": {name: tuple(shape) for name, shape in own["shapes"].items()}}
            own |= {"float32_layers": tuple(own["float32_layers"])}
            if own["verification"] is not None:
                own |= {"verification": Verification.from_json(own["verification"])}
            model = ModelInfo.from_metadata({METADATA_KEY: json.dumps(content["model"])}, path=path)
            return cls(spec=EngineSpec(**spec), model=model, **own)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, ModelFileError):
            raise damaged from None


@dataclass(frozen=True)
class Plan:
    """A plan that may be deserialised.

    Attributes:
        path: of its file.
        data: its bytes, checked.
        record: what its sidecar says.
    """

    path: Path
    data: bytes
    record: EngineRecord


def sidecar_path(path: Path) -> Path:
    """Of the engine in `path`."""
    return path.with_suffix(".json")


def write_engine(path: Path, plan: bytes, record: EngineRecord) -> None:
    """Write plan and sidecar, each whole or not at all; the sidecar last, because a plan without one is ignored.

    Raises:
        SinkError: the folder cannot be written, or the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(plan)
    write_record(path, record)


def write_record(path: Path, record: EngineRecord) -> None:
    """Write the sidecar of the engine in `path`, whole or not at all.

    Raises:
        SinkError: the folder cannot be written, or the disk is full.
    """
    with replacing(sidecar_path(path)) as temporary:
        temporary.write_text(record.to_json(), encoding="utf-8")


def remove_engine(path: Path) -> None:
    """Delete an engine; the sidecar first, because a plan without one is ignored.

    Raises:
        SinkError: the folder cannot be written.
    """
    try:
        for file in (sidecar_path(path), path, *path.parent.glob(f"{path.stem}.*.kernels")):
            file.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SinkError(f"the engine {path} cannot be deleted: {reason}; delete it yourself") from error


def load_plan(path: str | Path, toolkit: Toolkit | None = None, gpu: Gpu | None = None) -> Plan:
    """Read an engine and check everything that can be known before it is deserialised.

    Args:
        path: of the plan; its sidecar lies beside it.
        toolkit: what is to run it; not checked when left out.
        gpu: that is to run it; not checked when left out.

    Raises:
        EngineFileError: plan or sidecar is missing, damaged or edited, the engine is for another version or GPU, or
            somebody else could have put it there. The message says which.
    """
    path = Path(path)
    _check_trust(path)
    record = read_record(path)
    if toolkit is not None:
        _check_machine(path, record.spec, toolkit, gpu)
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise EngineFileError(f"the engine {path} cannot be read ({error.strerror})") from None
    if hashlib.sha256(plan).hexdigest() != record.plan_sha256:
        raise EngineFileError(
            f"the engine {path} is damaged (its {len(plan)} bytes have another SHA-256 than its sidecar says)"
        )
    return Plan(path, plan, record)


def read_record(path: Path) -> EngineRecord:
    """The sidecar of an engine.

    Raises:
        EngineFileError: it is missing, damaged or edited.
    """
    sidecar = sidecar_path(path)
    try:
        return EngineRecord.from_json(sidecar.read_text(encoding="utf-8", errors="replace"), path=sidecar)
    except FileNotFoundError:
        if not os.path.exists(path):
            raise EngineFileError(f"there is no engine {path}", "make one with `heatstream build`") from None
        raise EngineFileError(f"the engine {path} has no sidecar {sidecar.name}") from None
    except OSError as error:
        raise EngineFileError(f"the sidecar {sidecar} cannot be read ({error.strerror})") from None


def _check_trust(path: Path) -> None:
    """Refuse an engine that somebody else could have put there: a plan is a program, and its digest has no key.

    Raises:
        EngineFileError: plan, sidecar or folder belongs to another user, or others may write in the folder.
    """
    if not hasattr(os, "geteuid"):
        return
    trusted = (os.geteuid(), 0)
    advice = "build it again into a folder of your own"
    for file in (path, sidecar_path(path), path.absolute().parent):
        try:
            status = file.stat()
        except OSError:
            continue  # what is missing is told by who reads it
        if status.st_uid not in trusted:
            raise EngineFileError(f"{file} belongs to another user, and an engine is a program", advice)
        others = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != os.getegid())
        if others:
            raise EngineFileError(f"others may write {file}, and an engine is a program", advice)


def _check_machine(path: Path, spec: EngineSpec, toolkit: Toolkit, gpu: Gpu | None) -> None:
    if (spec.backend, spec.version) != (toolkit.backend, toolkit.version):
        built, here = f"{spec.backend} {spec.version}", f"{toolkit.backend} {toolkit.version}"
        raise EngineFileError(f"the engine {path} was built with {built}, and this is {here}")
    if gpu is not None and gpu.target not in spec.targets:
        targets = ", ".join(spec.targets)
        raise EngineFileError(f"the engine {path} was built for {targets}, and this GPU is {gpu.target} ({gpu.name})")
    if gpu is not None and spec.gpu not in (None, gpu.name):
        raise EngineFileError(f"the engine {path} was tuned on {spec.gpu}, and this GPU is {gpu.name}")


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
