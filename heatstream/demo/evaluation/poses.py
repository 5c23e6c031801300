"""`heatstream eval` of networks that find the people of a frame: AP on COCO's and CrowdPose's labels."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from heatstream.demo.evaluation.report import Measured, progress_bar, rounded

if TYPE_CHECKING:
    from heatstream.models.pose.evaluation import Evaluation
    from heatstream.runtime.pipelines.pose import CpuPosePipeline

__all__ = ["measure_poses", "precision_table"]


def measure_poses(pipeline: CpuPosePipeline, labels: Path, images: Path, *, limit: int) -> Measured:
    """Find the people of every image, and score them.

    Raises:
        DatasetError: labels or images are missing, damaged or of another skeleton.
        MissingExtraError: faster-coco-eval is not installed.
    """
    from heatstream.models.pose.evaluation import evaluate

    many = pipeline.for_throughput()
    with progress_bar("finding people") as progress:
        evaluation = evaluate(
            lambda frame: many(frame).poses,
            labels,
            images,
            skeleton=pipeline.info.skeleton,
            limit=limit,
            workers=pipeline.engine.parallel_runs,
            progress=progress,
        )
    settings = {
        "flip": pipeline.flip,
        "scales": pipeline.scales,
        "input_size": pipeline.info.input_size,
        "any_size": pipeline.info.any_size,
        "project": pipeline.info.project,
        "decode": asdict(pipeline.settings),
    }
    return precision_table(evaluation, labels, images, looked_at=_input(pipeline), settings=settings)


def precision_table(
    evaluation: Evaluation, labels: Path, images: Path, *, looked_at: str, settings: dict[str, object]
) -> Measured:
    """Average precision as it is shown.

    Args:
        evaluation: what it came to.
        labels: the annotations.
        images: the folder of the images.
        looked_at: how the images were looked at, human-readable.
        settings: the same, for the JSON file.
    """
    from heatstream.demo.drawing.contact_sheet import contact_sheet

    scores = evaluation.images
    people = sum(len(image.ground_truth) for image in scores)
    missed = sum(image.missed for image in scores)
    values = ["-" if math.isnan(value) else f"{value:.1f}" for value in evaluation.metrics.values()]
    return Measured(
        columns=["", *evaluation.metrics],
        rows={"": values},
        facts={
            "labels": f"{labels}",
            "input": looked_at,
            "images": f"{len(scores)} in {evaluation.seconds:.1f} s",
            "labelled people": f"{people}, of whom {people - missed} found at OKS 0.5",
            "false people": f"{sum(image.false for image in scores)}",
        },
        content={
            "metrics": {name: rounded(value) for name, value in evaluation.metrics.items()},
            "settings": settings,
            "images": len(scores),
            "seconds": round(evaluation.seconds, 3),
            "per_image": [
                {
                    "file": image.path.name,
                    "image_id": image.image_id,
                    "score": rounded(image.score),
                    "people": len(image.ground_truth),
                    "missed": image.missed,
                    "false": image.false,
                }
                for image in scores
            ],
        },
        labels=labels,
        images=images,
        pictures=[image.path for image in scores],
        sheet=lambda: contact_sheet(scores),
    )


def _input(pipeline: CpuPosePipeline) -> str:
    """How the images were looked at, human-readable."""
    height, width = pipeline.info.input_size
    parts = [f"short side {height} px" if pipeline.info.any_size else f"{height}x{width} px"]
    if pipeline.flip:
        parts.append("flip test")
    if pipeline.scales != (1.0,):
        parts.append("scales " + ", ".join(f"{scale:g}" for scale in pipeline.scales))
    decode = pipeline.settings
    thresholds = f"detection threshold {decode.detection_threshold:g}, person threshold {decode.person_threshold:g}"
    return ", ".join([*parts, f"adjust {decode.adjust}", thresholds])
