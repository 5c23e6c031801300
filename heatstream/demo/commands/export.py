"""``heatstream export``: a network and a checkpoint to one model file."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heatstream import catalog
from heatstream.demo.skeleton_option import SKELETON_HELP, read_skeleton
from heatstream.demo.terminal.messages import print_message
from heatstream.errors import InputError
from heatstream.model_info import sized
from heatstream.models.checkpoint_file import weights_file
from heatstream.models.checkpoint_network import RANDOM, open_network

if TYPE_CHECKING:
    from heatstream.engine_builder.export.model import ExportReport

__all__ = ["export"]


class PrecisionChoice(str, Enum):
    """What the exported network computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


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
            help="Weights: ours, official SWAHR, HigherHRNet or H3R, or a backbone.",
            show_default="those that come with NAME, or random ones",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Input height and width, multiples of 32; or `any` to leave both free, any:384 with a short side of "
            "384 px in mind.",
            show_default="that of the training",
        ),
    ] = None,
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="The same as --size any:PX, a multiple of 64: height and width are free, and frames are brought to a "
            "short side of PX unless `run --short-side` says otherwise.",
            show_default=False,
        ),
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            "--skeleton",
            help=f"Of a checkpoint that does not say it. {SKELETON_HELP}",
            show_default="the network's",
        ),
    ] = None,
    precision: Annotated[
        PrecisionChoice, typer.Option("--precision", help="What the network computes in.")
    ] = PrecisionChoice.fp32,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Leave the number of images per run free.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DIR",
            help="For int8: photographs of what the network will see (for landmarks: of one face or body each). "
            "Labels are not needed.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", metavar="N", min=1, help="How many of them, spread evenly over the folder.")
    ] = 64,
) -> None:
    """Write the network NAME to a model file that describes itself.

    The file is checked against torch; how far it drifts is printed and stored
    in it. Skeleton and size are those the checkpoint was trained with if it
    is ours, else what `heatstream models` lists. Needs the extra `train`.

    INT8 is for engines of NVIDIA GPUs. Layers that make the maps drift too far
    are left in FP16; each is tried alone, which takes a while for large ones.

    Examples:

        heatstream export swahr-w32 --checkpoint pose_coco_w32.pth -o swahr-w32.onnx

        heatstream export swahr-small -c mine.pt --size 256x448 --precision fp16 -o mine.onnx

        heatstream export swahr-w32 -c pose_coco_w32.pth --short-side 384 -o swahr-w32-any.onnx

        heatstream export swahr-w32 -c pose_coco_w32.pth --precision int8 --calibrate photos -o swahr-w32-int8.onnx
    """
    from heatstream.demo.evaluation.photographs import calibration_photographs
    from heatstream.demo.outputs import check_outputs
    from heatstream.demo.terminal.export_progress import ExportView
    from heatstream.engine_builder.export.model import export_model

    if precision is PrecisionChoice.int8 and calibrate is None:
        raise InputError(
            "INT8 is calibrated on photographs, and none come with heatstream: give a folder of what the network will "
            "see, --calibrate DIR"
        )
    if checkpoint is None and os.path.isfile(own := weights_file(name)):
        checkpoint = own
    output = output or Path(f"{name}.onnx")
    check_outputs([output], {"the checkpoint": [] if checkpoint is None else [checkpoint]})
    named = None if skeleton is None else read_skeleton(skeleton)
    network, info = open_network(name, checkpoint, skeleton=named)
    entry = catalog.get(info.name)
    unsized = size is None and short_side is None
    if checkpoint is not None and unsized and entry.other_sizes and info.input_size == entry.input_size:
        sizes = " and ".join(f"{height}x{width}" for height, width in entry.other_sizes)
        print_message(f"there are official checkpoints of {info.name} for {sizes} too: if this is one, give its --size")
    info = sized(info, size, short_side)
    with ExportView() as view:
        report = export_model(
            network,
            info,
            output,
            precision=precision.value,
            dynamic_batch=dynamic_batch,
            photographs=None if calibrate is None else calibration_photographs(calibrate, images, info),
            started=view.started,
            progress=view.tried,
        )
    _print(report)
    if RANDOM in info.weights:
        print_message(
            f"warning: the weights of {report.path} are {info.weights}: it will find nobody; give a --checkpoint"
        )


def _print(report: ExportReport) -> None:
    info = report.info
    height, width = info.input_size
    size = f"any size, short side {height} px" if info.any_size else f"{height}x{width}"
    kept = f", {report.float32_operators} operators kept in float32" if report.float32_operators else ""
    batch = "any number of images" if info.batch is None else "1 image"
    print(f"{report.path}: {info.name}, {size}, {batch}, {info.precision}{kept}")
    print(f"  weights: {info.weights}")
    if info.quantisation is not None:
        origin, left_out = info.quantisation, info.quantisation["left_out"]
        named = f": {', '.join(left_out)}" if left_out else ""
        print(f"  calibrated on {len(origin['images'])} photographs of {origin['folder']}")
        print(f"  {report.int8_layers} convolutions in INT8, {len(left_out)} left in FP16{named}")
    for output, drift in report.drift.items():
        print(f"  {output}: drifts from torch by {drift:.1e} of its range")
