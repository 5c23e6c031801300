"""``heatstream export``: a network and a checkpoint to one model file."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heatstream.demo.messages import tell
from heatstream.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from heatstream.engine_builder.export import ExportReport

__all__ = ["export"]

RANDOM = "random"
"""What a model file says of weights that nobody trained."""


class PrecisionChoice(str, Enum):
    """What the exported network computes in."""

    fp32 = "fp32"
    fp16 = "fp16"


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `heatstream models` lists.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The model file to write.", show_default="NAME.onnx"),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            "-c",
            help="Weights: ours, official SWAHR or HigherHRNet, or an HRNet backbone. Random without it.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Input height and width, multiples of 32, or `any` to leave both free.",
            show_default="as `heatstream models` lists",
        ),
    ] = None,
    precision: Annotated[
        PrecisionChoice, typer.Option("--precision", help="What the network computes in.")
    ] = PrecisionChoice.fp32,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Leave the number of images per run free.")
    ] = False,
) -> None:
    """Write the network NAME to a model file that describes itself.

    The file is checked against torch; how far it drifts is printed and stored
    in it. Needs the extra `train`.

    Examples:

        heatstream export swahr-w32 --checkpoint pose_coco_w32.pth -o swahr-w32.onnx

        heatstream export swahr-mobile -c mine.pt --size 256x448 --precision fp16 -o mine.onnx
    """
    from heatstream.engine_builder import catalog
    from heatstream.engine_builder.export import export_model
    from heatstream.models import create

    entry = catalog.get(name)
    chosen = _parse_size(size)
    network = create(name)
    weights = RANDOM if checkpoint is None else _load(network, checkpoint)
    report = export_model(
        network,
        entry.info(weights=weights),
        output or Path(f"{name}.onnx"),
        precision=precision.value,
        size=chosen,
        dynamic_batch=dynamic_batch,
    )
    _print(report)
    if RANDOM in weights:
        tell(f"warning: the weights of {report.path} are {weights}: it will find nobody; give a --checkpoint")


def _parse_size(text: str | None) -> tuple[int, int] | Literal["any"] | None:
    """(height, width) px, ``"any"``, or None for the network's own."""
    if text is None:
        return None
    from heatstream.engine_builder.model_file import SIZE_MULTIPLE

    if text.lower() == "any":
        return "any"
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if match is None:
        raise InputError(f"--size {text!r} is not understood: give HEIGHTxWIDTH such as 256x448, or any")
    height = int(match[1])
    width = int(match[2] or height)
    nearest = [max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in (height, width)]
    if nearest != [height, width]:
        raise InputError(f"--size {text!r} is not made of multiples of {SIZE_MULTIPLE}: try {nearest[0]}x{nearest[1]}")
    return height, width


def _load(network: nn.Module, checkpoint: Path) -> str:
    """Fill the network; where its weights come from, for the model file."""
    from heatstream.models import load_checkpoint

    report = load_checkpoint(network, checkpoint)
    if report.coverage == "backbone":
        return f"{checkpoint.name} (backbone alone) and {RANDOM} (heads)"
    return checkpoint.name


def _print(report: ExportReport) -> None:
    info = report.info
    height, width = ("any", "any") if info.any_size else info.input_size
    kept = f", {report.float32_operators} operators kept in float32" if report.float32_operators else ""
    batch = "any number of images" if info.batch is None else "1 image"
    print(f"{report.path}: {info.name}, {height}x{width}, {batch}, {info.precision}{kept}")
    print(f"  weights: {info.weights}")
    for output, drift in report.drift.items():
        print(f"  {output}: drifts from torch by {drift:.1e} of its range")
