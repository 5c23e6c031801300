"""`heatstream eval` of networks that find landmarks in boxes: NME of faces, PCKh of MPII's bodies, AP of COCO's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heatstream.demo.evaluation.report import Measured, progress_bar, rounded
from heatstream.errors import DatasetError, InputError

if TYPE_CHECKING:
    from heatstream.models.landmarks.evaluation import ExampleScore
    from heatstream.models.landmarks.metrics import LandmarkScores
    from heatstream.models.landmarks.readers import LandmarkAnnotation, LandmarkDataset
    from heatstream.models.settings import Norm
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline

__all__ = ["measure_landmarks"]


def measure_landmarks(
    pipeline: LandmarkPipeline,
    labelled: LandmarkDataset,
    *,
    norm: Norm | None,
    boxes: Path | None,
    limit: int,
    tight: bool | None = None,
) -> Measured:
    """Find the landmarks in every box of a set, and measure them as its papers do.

    Args:
        pipeline: finds them.
        labelled: the set; of the model's skeleton.
        norm: what errors of faces are divided by; as the set's papers have it when None.
        boxes: of people, a detector's file; the labelled boxes when None.
        limit: only so many of the first faces, bodies or images; all when 0.
        tight: of faces, look at the boxes around the labelled points rather than at those that the set gives; what
            the set gives when None.

    Raises:
        DatasetError: the labels or photos are missing or damaged.
        InputError: the faces have no such norm, or the set gives no boxes of its own.
        MissingExtraError: faster-coco-eval is needed and not installed.
    """
    if labelled.measure == "oks":
        return _people(pipeline, labelled, boxes, limit)
    examples = labelled.read()[: limit or None]
    if labelled.measure == "pckh":
        return _bodies(pipeline, labelled, examples)
    from heatstream.models.landmarks.readers.example import tight_box

    tight = labelled.tight if tight is None else tight
    if labelled.tight and not tight:
        raise InputError(f"{labelled.title} gives no boxes of its own, which P2 needs: measure it with --protocol P1")
    if tight:
        examples = [replace(each, box=tight_box(each.points[each.visibility > 0])) for each in examples]
    return _faces(pipeline, labelled, examples, norm or labelled.norm, tight)


def _faces(
    pipeline: LandmarkPipeline,
    labelled: LandmarkDataset,
    examples: list[LandmarkAnnotation],
    norm: Norm,
    tight: bool,
) -> Measured:
    from heatstream.models.landmarks.evaluation import evaluate_landmarks

    with progress_bar("finding landmarks") as progress:
        result = evaluate_landmarks(
            _finder(pipeline),
            examples,
            labelled.skeleton,
            norm=norm,
            workers=pipeline.engine.parallel_runs,
            progress=progress,
        )
    every = {"all": result.scores, **result.scores.subsets}
    limits = tuple(result.scores.auc)
    shares = [f"{measure} {100 * limit:g} %" for measure in ("FR", "AUC") for limit in limits]
    rows = {
        name: [
            f"{part.count}",
            f"{part.nme:.2f}",
            *(f"{value:.2f}" for value in (*part.failure_rate.values(), *part.auc.values())),
        ]
        for name, part in every.items()
    }
    errors = result.errors
    members = {name: [name in face.example.subsets for face in result.faces] for name in result.scores.subsets}
    return Measured(
        columns=[labelled.title, "faces", "NME %", *shares],
        rows=rows,
        facts={
            "labels": f"{labelled.labels}, {labelled.skeleton.name}",
            "input": _input(pipeline),
            "boxes": "P1, tight around the labelled points" if tight else "P2, those that the set gives",
            "norm": f"{norm}; NME and FR: less is better, AUC: more, 100 at best",
            "faces": f"{len(examples)} in {result.seconds:.1f} s",
        },
        content={
            "metrics": _numbers(result.scores),
            "subsets": {name: _numbers(part) for name, part in result.scores.subsets.items()},
            "set": labelled.title,
            "norm": norm,
            "protocol": "P1" if tight else "P2",
            "settings": _settings(pipeline),
            "faces": len(examples),
            "seconds": round(result.seconds, 3),
            "per_face": [_entry(face, "nme") for face in result.faces],
        },
        labels=labelled.labels,
        images=labelled.images,
        pictures=_photos(examples),
        sheet=lambda: _sheet(result.faces, labelled, "NME"),
        curves={f"{name}: NME {every[name].nme:.2f} %": errors[members.get(name, slice(None))] for name in every},
    )


def _bodies(pipeline: LandmarkPipeline, labelled: LandmarkDataset, examples: list[LandmarkAnnotation]) -> Measured:
    from heatstream.models.landmarks.evaluation import evaluate_bodies

    with progress_bar("finding joints") as progress:
        result = evaluate_bodies(_finder(pipeline), examples, workers=pipeline.engine.parallel_runs, progress=progress)
    tables = {f"PCKh@{threshold:g}": table for threshold, table in result.pckh.items()}
    return Measured(
        columns=[labelled.title, *next(iter(tables.values()))],
        rows={
            name: ["-" if np.isnan(value) else f"{value:.2f}" for value in table.values()]
            for name, table in tables.items()
        },
        facts={
            "labels": f"{labelled.labels}, {labelled.skeleton.name}",
            "input": _input(pipeline),
            "bodies": f"{len(examples)} in {result.seconds:.1f} s",
            "PCKh@0.1": "within a tenth of a head's length; HRNet's published tables count 0.11 of it under this name",
        },
        content={
            "metrics": {name: {joint: rounded(v) for joint, v in table.items()} for name, table in tables.items()},
            "set": labelled.title,
            "settings": _settings(pipeline),
            "bodies": len(examples),
            "seconds": round(result.seconds, 3),
            "per_body": [_entry(body, "error_in_heads") for body in result.bodies],
        },
        labels=labelled.labels,
        images=labelled.images,
        pictures=_photos(examples),
        sheet=lambda: _sheet(result.bodies, labelled, "mean error / head"),
    )


def _people(pipeline: LandmarkPipeline, labelled: LandmarkDataset, boxes: Path | None, limit: int) -> Measured:
    from heatstream.demo.evaluation.poses import precision_table
    from heatstream.models.landmarks.body_evaluation import evaluate_in_boxes
    from heatstream.models.landmarks.readers import read_person_boxes

    found = None if boxes is None else read_person_boxes(boxes, labelled.labels, labelled.images)
    if found == []:
        raise DatasetError(f"{boxes} holds no box of a person: give a detector's results for these images")
    many = pipeline.for_throughput()

    def find(frame: NDArray[np.uint8], places: NDArray[np.float64]) -> tuple[Any, Any]:
        faces = many(frame, places + 0.5)  # labels of bodies count pixel centres from 0
        return faces.landmarks - 0.5, faces.scores

    with progress_bar("finding keypoints") as progress:
        evaluation = evaluate_in_boxes(
            find,
            labelled.labels,
            labelled.images,
            found,
            aspect=pipeline.info.input_size[1] / pipeline.info.input_size[0],
            skeleton=pipeline.info.skeleton,
            limit=limit,
            workers=pipeline.engine.parallel_runs,
            progress=progress,
        )
    whose = "labelled boxes" if boxes is None else f"boxes of {boxes}"
    settings = {**_settings(pipeline), "boxes": None if boxes is None else str(boxes)}
    return precision_table(
        evaluation, labelled.labels, labelled.images, looked_at=f"{_input(pipeline)}, {whose}", settings=settings
    )


def _photos(examples: list[LandmarkAnnotation]) -> list[Path]:
    """Their files; COFW has its photos inside its file."""
    return [example.picture for example in examples if isinstance(example.picture, Path)]


def _finder(pipeline: LandmarkPipeline) -> Any:
    """Landmarks in boxes, both in px whose centres lie at whole numbers, as in the labels."""
    many = pipeline.for_throughput()
    return lambda frame, boxes: many(frame, boxes + 0.5).landmarks - 0.5


def _input(pipeline: LandmarkPipeline) -> str:
    height, width = pipeline.info.input_size
    parts = [f"{height}x{width} px", *(["flip test"] if pipeline.flip else []), f"top {pipeline.settings.topk}"]
    return ", ".join(parts)


def _settings(pipeline: LandmarkPipeline) -> dict[str, object]:
    return {"flip": pipeline.flip, "input_size": pipeline.info.input_size, "topk": pipeline.settings.topk}


def _numbers(scores: LandmarkScores) -> dict[str, float | int | None]:
    """In per cent, but the count."""
    shares = {
        f"{name}@{100 * limit:g}": rounded(value)
        for name, values in (("FR", scores.failure_rate), ("AUC", scores.auc))
        for limit, value in values.items()
    }
    return {"faces": scores.count, "NME": rounded(scores.nme), **shares}


def _entry(score: ExampleScore, name: str) -> dict[str, object]:
    """An example's line in the JSON; NME in per cent, errors of bodies in heads."""
    example = score.example
    factor = 100 if name == "nme" else 1
    return {
        "file": example.picture.name if isinstance(example.picture, Path) else None,
        "label": example.where,
        name: rounded(factor * score.error),
        **({"subsets": list(example.subsets)} if example.subsets else {}),
    }


def _sheet(scores: tuple[ExampleScore, ...], labelled: LandmarkDataset, title: str) -> NDArray[np.uint8]:
    from heatstream.demo.drawing.contact_sheet import landmark_sheet

    return landmark_sheet(scores, labelled.skeleton, title)
