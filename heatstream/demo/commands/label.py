"""``heatstream label``: photographs to labels that people correct, or that training takes as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heatstream.demo.options import MODEL, ModelOption, ShortSideOption
from heatstream.demo.terminal.messages import print_message
from heatstream.demo.terminal.signals import SIGNAL_EXIT, StopSignals
from heatstream.errors import InputError

if TYPE_CHECKING:
    from heatstream.results import Result
    from heatstream.runtime.pipelines.base import PosePipeline
    from heatstream.runtime.sources import Source

__all__ = ["label"]

SCALES = (0.5, 1.0, 2.0)

# Of what swahr-small writes on 50 training photographs of COCO, 77 % are right from 0.35 on, 45 % from 0.2 to there
# (within the distance of an OKS of 0.5; all those of people whom nobody has labelled count as wrong).
SURE, DOUBTFUL = 0.35, 0.2


def label(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="A folder of photographs.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.json", help="COCO keypoint JSON, for CVAT and for training.")
    ],
    label_studio: Annotated[
        Path | None,
        typer.Option(
            "--label-studio",
            metavar="FILE.json",
            help="Tasks for Label Studio as well, and beside them its labelling interface, FILE.xml.",
        ),
    ] = None,
    model: ModelOption = MODEL,
    short_side: ShortSideOption = None,
    sure: Annotated[
        float, typer.Option("--sure", min=0, max=1, help="Keypoints of at least this score are trained on.")
    ] = SURE,
    doubtful: Annotated[
        float,
        typer.Option(
            "--doubtful", min=0, max=1, help="From this score on they are written, and training ignores the place."
        ),
    ] = DOUBTFUL,
) -> None:
    """Label the people in PHOTOS with a network: a start for people who correct it, or for training.

    Every photograph is looked at in three sizes, each mirrored too, which takes
    ten times as long as once and finds more. Keypoints that the network is not
    sure of are written as hidden ones: whoever corrects the labels sees them, and
    a training on labels that nobody has corrected ignores those places.

    Examples:

        heatstream label photos/ --out labels.json

        heatstream label photos/ --out labels.json --label-studio tasks.json

        heatstream label photos/ --out labels.json --model best.onnx --sure 0.6
    """
    from heatstream import skeletons
    from heatstream.demo.labelling.coco import Band, coco_labels
    from heatstream.demo.labelling.label_studio import label_studio_interface, label_studio_tasks
    from heatstream.files import write_whole
    from heatstream.runtime.load import load
    from heatstream.runtime.sources import open_source

    if doubtful > sure:
        raise InputError(f"--doubtful {doubtful:g} is above --sure {sure:g}: give a lower one")
    if not photos.is_dir():
        raise InputError(f"{photos} is no folder: give the folder that the photographs are in")
    with load(model, short_side=short_side, flip=True, scales=SCALES) as pipeline, StopSignals() as stop:
        found = _look(open_source(photos), pipeline, stop)
        info = pipeline.info
    if stop.received is not None:
        raise typer.Exit(SIGNAL_EXIT + stop.received)
    skeleton = skeletons.get(info.skeleton)
    labels = coco_labels(_upright(found, photos), info, skeleton, Band(doubtful, sure))
    write_whole(out, json.dumps(labels).encode())
    if label_studio is not None:
        tasks = label_studio_tasks(labels, photos.resolve().name, info.name)
        write_whole(label_studio, json.dumps(tasks).encode())
        write_whole(label_studio.with_suffix(".xml"), label_studio_interface(skeleton).encode())
    visible = [value for person in labels["annotations"] for value in person["keypoints"][2::3]]
    print(
        f"{out}: {len(labels['annotations'])} people in {len(labels['images'])} photographs, "
        f"{visible.count(2)} keypoints and {visible.count(1)} doubtful ones"
    )


def _look(source: Source, pipeline: PosePipeline, stop: StopSignals) -> list[Result]:
    """What is in every picture; their pixels are let go."""
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from heatstream.runtime.stream import stream

    console = Console(stderr=True)
    results = []
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        stream(source, pipeline, track=False) as found,
    ):
        task = progress.add_task("labelling", total=source.frame_count)
        for result in stop.until_signalled(found):
            results.append(replace(result, frame=np.broadcast_to(np.uint8(0), result.frame.shape)))
            progress.advance(task)
        warnings = source.warnings
    for warning in warnings:
        print_message(f"warning: {warning}")
    return results


def _upright(results: list[Result], folder: Path) -> list[Result]:
    """Those whose pixels are stored upright: a label is where a pixel is stored, and tools disagree on turned ones."""
    from heatstream.picture_header import read_header

    upright = []
    for result in results:
        assert result.picture is not None
        header = read_header((folder / result.picture).read_bytes())
        if header is not None and (header.height, header.width) != result.frame.shape[:2]:
            print_message(
                f"warning: {result.picture} is left out, its EXIF entry turns it: save it upright, for example with "
                "`exiftran -ai`"
            )
            continue
        upright.append(result)
    return upright
