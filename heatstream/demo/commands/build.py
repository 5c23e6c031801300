"""``heatstream build``: a model file to an engine for NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heatstream.demo.terminal.messages import print_message
from heatstream.errors import EngineError, InputError

if TYPE_CHECKING:
    from heatstream.engine_builder.trt.cache import FoundEngine
    from heatstream.engine_builder.trt.plan_file import EngineRecord
    from heatstream.model_info import ModelInfo

__all__ = ["build"]


FRAMES = ((1280, 720), (640, 480))
"""(width, height) px of what cameras give most."""


class BackendChoice(str, Enum):
    """What builds the engine."""

    auto = "auto"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"


class EnginePrecision(str, Enum):
    """What the engine computes in."""

    fp16 = "fp16"
    fp32 = "fp32"
    int8 = "int8"


def build(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A name whose weights are included, or a file from `heatstream export`."),
    ],
    backend: Annotated[
        BackendChoice,
        typer.Option("--backend", help="What builds and runs it. auto: TensorRT where it and a GPU are, else RTX."),
    ] = BackendChoice.auto,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Input height and width, multiples of 32, for a model of any size.",
            show_default="the model's",
        ),
    ] = None,
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="The same as --size PXxPX, a multiple of 64: the engine that `run --short-side PX` asks for with "
            "square frames. What wide ones need is printed.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, help="Take 1 to N images per run. Exactly 1 is fastest.")
    ] = 1,
    precision: Annotated[
        EnginePrecision | None,
        typer.Option(
            "--precision", help="What the engine computes in.", show_default="int8 of an INT8 model file, else fp16"
        ),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            metavar="sm_89,...",
            help="GPUs that it is for, by compute capability; only TensorRT-RTX can build for others than this "
            "machine's, and never for a Jetson.",
            show_default="TensorRT: this GPU; TensorRT-RTX: 8.6, 8.9, 12.0",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where to keep it.", show_default="the user's cache"),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Show which layers compute in which precision.")] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="DIR",
            help="Run engine and model file on photographs of this folder, show how far they differ, and delete an "
            "engine that differs too much. Needs the GPU.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Keep it all the same.")] = False,
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            help="Then delete MODEL's older engines of this size, batch, precision and backend: of earlier model "
            "files, versions and GPUs.",
        ),
    ] = False,
) -> None:
    """Build the engine of MODEL for NVIDIA GPUs, or find it if it was built before.

    TensorRT-RTX builds without a GPU, for desktop and laptop GPUs; engines for
    a Jetson are built on it, with JetPack's TensorRT. The engine is kept with a sidecar that
    says what it was built from and for; it is built again when the model, the
    library or the GPU has changed, or when a file is damaged.

    Examples:

        heatstream build swahr-small

        heatstream build swahr-small --short-side 384

        heatstream build swahr-w32.onnx --gpu sm_89,sm_120 --output engines
    """
    from heatstream.demo.evaluation.engine import print_verification, verify_engine
    from heatstream.demo.terminal.build_progress import BuildView
    from heatstream.engine_builder.trt.cache import build_engine, remove_relatives
    from heatstream.engine_builder.trt.gpus import local_gpu, parse_targets
    from heatstream.engine_builder.trt.model_source import read_model
    from heatstream.engine_builder.trt.toolkit import check_targets, choose_toolkit, open_toolkit
    from heatstream.model_info import MOST_BATCH, sized
    from heatstream.runtime.load import model_path

    path = model_path(model)
    here = local_gpu()
    if verify is not None and here is None:
        raise EngineError(
            "--verify runs the engine, which needs an NVIDIA GPU, and this machine has none: build without it here, "
            "and verify where the engine will run"
        )
    targets = () if gpu is None else parse_targets(gpu)
    check_targets("tensorrt-rtx" if backend is BackendChoice.auto else backend.value, targets, here)
    if backend is BackendChoice.auto:
        toolkit, why = choose_toolkit(here)
        toolkit.targets(targets, here)  # refused before anything else is said
        print(f"{toolkit.title} is used: {why}")
    else:
        toolkit = open_toolkit(backend.value)
    if batch > MOST_BATCH:
        raise InputError(f"--batch takes numbers from 1 to {MOST_BATCH}, got {batch}")
    if size is not None and short_side is not None:
        raise InputError(f"--short-side {short_side} is --size {short_side}x{short_side}: leave one of them out")
    if size is not None and "any" in size.lower():
        raise InputError(f"--size {size!r}: an engine has one size, give HEIGHTxWIDTH such as 256x448")
    source = read_model(path, short_side=short_side)
    with BuildView() as view:
        found = build_engine(
            source,
            toolkit,
            here,
            size=None if size is None else sized(source.info, size).input_size,
            batch=batch,
            precision=None if precision is None else precision.value,
            targets=targets,
            folder=output,
            progress=view,
            waiting=lambda lock: print_message(
                f"another process is building this engine (it holds {lock}): waiting for it"
            ),
        )
    _print(found)
    if size is None and source.info.any_size:
        _print_wide(source.info)
    if verify is not None:
        print_verification(verify_engine(path, found, toolkit, verify, force=force))
    if clean:
        for other in remove_relatives(found.record.spec, output):
            print(f"  deleted {other}")
    if report:
        _print_layers(found.record)
    elif found.record.spec.precision != "fp32" and found.record.float32_layers:
        print_message(f"warning: {len(found.record.float32_layers)} layers compute in FP32, --report names them")


def _print(found: FoundEngine) -> None:
    record, spec = found.record, found.record.spec
    height, width = spec.size
    images = "1 image" if spec.batch == 1 else f"1 to {spec.batch} images"
    targets = ", ".join(spec.targets) + (f" ({spec.gpu})" if spec.gpu else "")
    made = f"{record.plan_bytes / 1e6:.1f} MB by {spec.backend} {spec.version} in {record.build_seconds:.1f} s"
    print(f"{found.path}: {spec.name}, {height}x{width}, {images}, {spec.precision}, for {targets}")
    if found.reason:
        print(f"  built, {made}: {found.reason}")
    else:
        print(f"  found, {made} on {record.built_at}")


def _print_wide(info: ModelInfo) -> None:
    """What to build for frames that are not square: an engine has one size, and the short side does not say it."""
    from heatstream.runtime.pipelines.base import frame_geometry

    needs = []
    for width, height in FRAMES:
        rows, columns = frame_geometry(info, (height, width)).input_size
        needs.append(f"{width}x{height} px need --size {rows}x{columns}")
    print(f"  for square frames; those of {', of '.join(needs)}")


def _print_layers(record: EngineRecord) -> None:
    _print_counts("layer", record.layers)
    precision = record.spec.precision.upper()
    if precision != "FP32":
        for name in record.float32_layers:
            print(f"  in FP32, though the engine is {precision}: {name}")
    if record.model.quantisation is not None:
        for name in record.model.quantisation["left_out"]:
            print(f"  in FP16, because INT8 would make the maps drift too far: {name}")
    elif precision == "FP16" and not record.float32_layers:
        print("  every layer computes in FP16")
    if record.engine_layers:
        print("  what the builder made of them, fused:")
        _print_counts("kernel", record.engine_layers)


def _print_counts(title: str, layers: Mapping[str, Mapping[str, int]]) -> None:
    from rich.table import Table

    from heatstream.demo.terminal.tables import console_for

    table = Table(title, *layers, box=None)
    for kind in dict.fromkeys(kind for counts in layers.values() for kind in counts):
        table.add_row(kind, *(str(counts.get(kind, "")) for counts in layers.values()))
    table.add_row("all", *(str(sum(counts.values())) for counts in layers.values()), style="bold")
    console_for(table).print(table)
