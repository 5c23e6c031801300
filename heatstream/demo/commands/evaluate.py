"""``heatstream eval``: how good a model is on labelled images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from heatstream import skeletons
from heatstream.demo.terminal.messages import print_message
from heatstream.errors import InputError

if TYPE_CHECKING:
    from heatstream.kernels import DecodeSettings
    from heatstream.model_info import ModelInfo
    from heatstream.models.landmarks.readers import LandmarkDataset
    from heatstream.models.settings import Norm
    from heatstream.runtime.engines.base import Engine

__all__ = ["evaluate"]


class AdjustChoice(str, Enum):
    """Where in a map's pixel a keypoint is."""

    quarter = "quarter"
    h3r = "h3r"
    none = "none"


class NormChoice(str, Enum):
    """What errors of faces are divided by."""

    inter_ocular = "inter-ocular"
    inter_pupil = "inter-pupil"
    box = "box"


class ProtocolChoice(str, Enum):
    """Which boxes of faces are looked at, by the names of H3R's paper."""

    P1 = "P1"
    P2 = "P2"


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name that `heatstream models` lists, a model file (.onnx), or a torch checkpoint (.pt, .pth).",
        ),
    ],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="The folder of the images.")],
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="FILE",
            help="The labels; a relative path is looked up here and in DIR. With DIR/val.json the images may be in "
            "DIR/val.",
            show_default="those of the set in DIR",
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Look at the mirrored image too: better, half as fast.")] = False,
    boxes: Annotated[
        Path | None,
        typer.Option(
            "--boxes",
            metavar="FILE.json",
            help="Bodies in boxes: a detector's results as COCO JSON.",
            show_default="the labelled boxes",
        ),
    ] = None,
    protocol: Annotated[
        ProtocolChoice | None,
        typer.Option(
            "--protocol",
            help="Boxes of faces: P1 is tight around the labelled points, P2 are those that the set gives.",
            show_default="P2 where the set gives boxes",
        ),
    ] = None,
    norm: Annotated[
        NormChoice | None,
        typer.Option(
            "--norm", help="What errors of faces are divided by.", show_default="what the set's papers divide by"
        ),
    ] = None,
    scales: Annotated[
        str,
        typer.Option("--scales", help="Look at each image in these sizes, such as 0.5,1,2. Needs a model of any size."),
    ] = "1",
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Input size of a torch checkpoint, as in `heatstream export`: 256x448, any, or any:384.",
            show_default="that of the training; any with --scales",
        ),
    ] = None,
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="Bring every image's short side to so many px, a multiple of 64. For models of any size, and "
            "checkpoints of networks that find people.",
            show_default="the model's",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only so many images, those with the lowest ids; of faces the first."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.json", help="Write figures and settings.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE.jpg", help="Draw the worst and the best images.")
    ] = None,
    ced: Annotated[
        Path | None,
        typer.Option(
            "--ced",
            metavar="FILE.png",
            help="Where to draw the curve of faces' errors.",
            show_default="MODEL-ced.png",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", metavar="NAME", help="Which network a checkpoint is of that does not say so itself."),
    ] = None,
    adjust: Annotated[
        AdjustChoice | None,
        typer.Option("--adjust", help="Sub-pixel decoding.", show_default="what the model recommends"),
    ] = None,
    detection_threshold: Annotated[
        float | None,
        typer.Option(
            "--detection-threshold",
            min=0,
            max=1,
            help="Heatmap value from which a keypoint counts.",
            show_default="what the model recommends",
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--conf",
            min=0,
            max=1,
            help="Leave out people of a lower score, as `heatstream run` does: how many right and false ones are "
            "left. AP is lower then.",
            show_default="what the model recommends",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads of a model file; by default all cores.")
    ] = None,
) -> None:
    """Measure MODEL on labelled images.

    Networks that find people are measured by average precision and recall
    (COCO, CrowdPose), those that find the landmarks of faces by NME, failure
    rate and AUC, with the CED curve as a picture (WFLW, 300-W, COFW, AFLW,
    LaPa, our faces JSON), those that find bodies in boxes by PCKh (MPII) or
    average precision (COCO). Everything goes through the same pipeline that
    `heatstream run` uses. All figures are in per cent. A checkpoint gives the
    figures of its export. AP needs the extra `eval`,
    a checkpoint the extra `train`.

    Examples:

        heatstream eval swahr-small --data coco/val2017 --annotations coco/annotations/person_keypoints_val2017.json

        heatstream eval swahr-small --data photos --annotations val.json --short-side 384 --conf 0.3

        heatstream eval runs/mine/best.pt --data photos --annotations val.json --sheet sheet.jpg -o results.json

        heatstream eval pose_coco_w32.pth --network swahr-w32 --size any --flip --data val --annotations val.json

        heatstream eval h3r-mobile-68 --data 300w --sheet faces.jpg

        heatstream eval h3r-w32-coco17.onnx --data coco --boxes detections.json
    """
    from heatstream.demo.evaluation.landmarks import measure_landmarks
    from heatstream.demo.evaluation.poses import measure_poses
    from heatstream.demo.evaluation.report import EvaluationReport
    from heatstream.runtime.pipelines.base import surer
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
    from heatstream.runtime.pipelines.pose import CpuPosePipeline

    factors = _parse_scales(scales)
    if factors != (1.0,) and short_side is None and _is_checkpoint(model):
        size = size or "any"
    engine, file = _open_engine(model, network, size, short_side, threads)
    info = engine.info
    try:
        if info.task == "landmarks":
            of_people = {
                "--scales": factors != (1.0,),
                "--adjust": adjust,
                "--detection-threshold": detection_threshold,
                "--conf": confidence,
            }
            _refuse(of_people, f"is for networks that find people; {info.name} finds landmarks in boxes")
            labelled = _find_set(info, data, annotations)
            if labelled.measure != "oks":
                _refuse({"--boxes": boxes}, f"is for COCO's people; {labelled.labels} has its own boxes")
            if labelled.measure != "nme":
                _refuse(
                    {"--norm": norm, "--ced": ced, "--protocol": protocol},
                    f"is for faces; {labelled.labels} labels bodies",
                )
            elif ced is None and find_spec("matplotlib") is None:
                print_message("no error curve is drawn, which needs matplotlib: pip install 'heatstream[plot]'")
            elif ced is None:
                ced = Path(f"{info.name}-ced.png") if output is None else output.with_name(f"{output.stem}-ced.png")
            inputs = {
                "the model": [file],
                "the file of labels": [labelled.labels],
                "the file of boxes": [] if boxes is None else [boxes],
            }
            report = EvaluationReport(output, sheet, ced, inputs=inputs)
            divisor = cast("Norm | None", norm and norm.value)
            landmarks = LandmarkPipeline(engine, flip=flip)
            measured = measure_landmarks(
                landmarks,
                labelled,
                norm=divisor,
                boxes=boxes,
                limit=limit or 0,
                tight=None if protocol is None else protocol is ProtocolChoice.P1,
            )
        else:
            of_boxes = {"--boxes": boxes, "--norm": norm, "--ced": ced, "--protocol": protocol}
            _refuse(of_boxes, f"is for networks that find landmarks in boxes; {info.name} finds people")
            labels, images = _find_people(info, data, annotations)
            inputs = {"the model": [file], "the file of labels": [labels]}
            report = EvaluationReport(output, sheet, inputs=inputs)
            settings = _changed(CpuPosePipeline(engine).settings, adjust, detection_threshold)
            if confidence is not None:
                settings = surer(info, settings, confidence)
            people = CpuPosePipeline(engine, settings, flip=flip, scales=factors)
            measured = measure_poses(people, labels, images, limit=limit or 0)
    finally:
        engine.close()
    report.show(measured, engine)
    report.write(measured, engine, model=file)


def _parse_scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--scales {text!r} is not understood: give numbers such as 0.5,1,2") from None


def _refuse(given: Mapping[str, object], why: str) -> None:
    for flag, value in given.items():
        if value not in (None, False):
            raise InputError(f"{flag} {why}: leave it out")


def _find_set(info: ModelInfo, data: Path, annotations: Path | None) -> LandmarkDataset:
    """The set of faces or bodies in the folder, of the model's skeleton."""
    from heatstream.models.landmarks.readers import detect_dataset

    labelled = detect_dataset(data, annotations, skeleton=skeletons.get(info.skeleton))
    skeleton = labelled.skeleton
    if skeleton.name != info.skeleton:
        raise InputError(
            f"{info.name} finds {info.num_keypoints} points ({info.skeleton}), {labelled.labels} labels "
            f"{skeleton.num_keypoints} ({skeleton.name}): choose a model for these, or other labels"
        )
    return labelled


def _find_people(info: ModelInfo, data: Path, annotations: Path | None) -> tuple[Path, Path]:
    """The file of labels and the folder of its images."""
    if annotations is not None:
        labels = annotations if os.path.exists(annotations) else data / annotations
        inner = data / labels.stem
        return labels, inner if os.path.isdir(inner) else data
    from heatstream.models.landmarks.readers import detect_dataset

    labelled = detect_dataset(data, skeleton=skeletons.get(info.skeleton))
    if labelled.measure != "oks":
        raise InputError(
            f"{info.name} finds people, {labelled.labels} labels {labelled.skeleton.name} in boxes "
            f"({labelled.title}): give COCO or CrowdPose keypoints, or a model of {labelled.skeleton.name}"
        )
    return labelled.labels, labelled.images


def _open_engine(
    model: str, network: str | None, size: str | None, short_side: int | None, threads: int | None
) -> tuple[Engine, Path]:
    """The engine and the file that its weights are in."""
    from heatstream.files import expanded

    file = expanded(model)
    if _is_checkpoint(model):
        from heatstream.model_info import sized
        from heatstream.models.checkpoint_network import open_network
        from heatstream.runtime.engines.torch_engine import TorchEngine

        module, info = open_network(network, file)
        return TorchEngine(module, sized(info, size, short_side)), file
    if network is not None:
        raise InputError(f"--network is for torch checkpoints; {model} says itself what it is: leave it out")
    from heatstream.runtime.engines.onnx_engine import OnnxEngine
    from heatstream.runtime.load import model_path

    file = model_path(model)
    if size is not None:
        raise InputError(
            f"--size is of checkpoints, and {file.name} is a model file: leave it out, or give --short-side if it "
            "takes any size"
        )
    return OnnxEngine(file, threads, short_side=short_side), file


def _is_checkpoint(model: str) -> bool:
    from heatstream.model_info import CHECKPOINT_SUFFIXES

    return model.lower().endswith(CHECKPOINT_SUFFIXES)


def _changed(settings: DecodeSettings, adjust: AdjustChoice | None, threshold: float | None) -> DecodeSettings:
    if adjust is not None:
        settings = replace(settings, adjust=adjust.value)
    if threshold is not None:
        settings = replace(settings, detection_threshold=threshold)
    return settings
