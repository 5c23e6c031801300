"""``heatstream describe``: a network of somebody else's becomes a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heatstream.demo.skeleton_option import SKELETON_HELP, read_skeleton
from heatstream.errors import InputError

__all__ = ["describe"]

IMAGENET_MEAN = "0.485,0.456,0.406"
IMAGENET_STD = "0.229,0.224,0.225"


def describe(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The network, as its owner exported it.")],
    heatmaps: Annotated[
        str,
        typer.Option(
            "--heatmaps",
            metavar="NAME",
            help="The output with a heatmap per keypoint, NAME[0:17] for some of its channels; of two resolutions "
            "both, the coarser first, with a comma between them.",
        ),
    ],
    skeleton: Annotated[str, typer.Option("--skeleton", help=SKELETON_HELP)],
    tags: Annotated[
        str | None,
        typer.Option(
            "--tags",
            metavar="NAME",
            help="The output with a tag map per keypoint; the same name as the heatmaps' where they come behind these. "
            "Without it the network finds one face or body in a box.",
        ),
    ] = None,
    stride: Annotated[int, typer.Option("--stride", help="Px of the input per px of the (coarser) heatmaps.")] = 4,
    mean: Annotated[
        str, typer.Option("--mean", help="What is taken from the three colours, of values to 1, or to 255.")
    ] = IMAGENET_MEAN,
    std: Annotated[str, typer.Option("--std", help="What they are divided by then.")] = IMAGENET_STD,
    bgr: Annotated[
        bool, typer.Option("--bgr", help="It takes blue first; --mean and --std are in that order too.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="It takes and gives (B, H, W, channels).")
    ] = False,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Base size of a network that takes any, multiples of 64."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What it is called.", show_default="that of the file")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Of its weights.")] = "unknown",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The model file to write.", show_default="FILE-described.onnx"),
    ] = None,
) -> None:
    """Make a model file of a network that heatstream has not got.

    It may be any with heatmaps, and with tags of associative embedding where
    it finds several people. It is run once; where it is not what was said,
    nothing is written and what was found is told. Needs the extra `train`.

    Examples:

        heatstream describe pose.onnx --heatmaps hm --tags ae --stride 4 --skeleton coco-17

        heatstream describe pose.onnx --heatmaps 'out[0:17]' --tags 'out[17:34]' --skeleton coco-17 --bgr \\
            --mean 0,0,0 --std 1,1,1

        heatstream describe higher.onnx --heatmaps 'stage0[0:9],stage1' --tags 'stage0[9:18]' --skeleton mine.json
    """
    from heatstream.engine_builder.describe import Foreign, Part, describe_model

    target = output or file.with_name(f"{file.stem}-described.onnx")
    info, ranges = describe_model(
        file,
        Foreign(
            heatmaps=tuple(Part.parse(part.strip()) for part in heatmaps.split(",")),
            tags=None if tags is None else Part.parse(tags),
            stride=stride,
            skeleton=read_skeleton(skeleton),
            mean=_colour("--mean", mean),
            std=_colour("--std", std),
            bgr=bgr,
            channels_last=channels_last,
            size=None if size is None else _size(size),
            name=name,
            licence=licence,
        ),
        target,
    )
    height, width = info.input_size
    taken = f"any size, short side {height} px" if info.any_size else f"{height}x{width} px"
    print(f"{target}: {info.name}, {info.skeleton}, {taken}")
    for output_name, (low, high) in ranges.items():
        print(f"  {output_name}: from {low:.3g} to {high:.3g} on a made-up picture")


def _colour(option: str, text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r} is not understood: give three numbers, such as {IMAGENET_MEAN}") from None
    return red, green, blue


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if not all(side.isdecimal() and int(side) % 64 == 0 and int(side) for side in sides) or len(sides) > 2:
        raise InputError(f"--size {text!r} is not understood: give multiples of 64, such as 256x448")
    return int(sides[0]), int(sides[-1])
