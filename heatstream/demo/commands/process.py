"""``heatstream process``: an archive of videos to a folder of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heatstream.demo.options import (
    CONFIDENCE,
    FACE_MODEL,
    MODEL,
    ConfidenceOption,
    DeviceOption,
    EngineOption,
    FaceModelOption,
    FacesOption,
    ModelOption,
    ShortSideOption,
)
from heatstream.demo.terminal.signals import SIGNAL_EXIT, StopSignals
from heatstream.errors import InputError

if TYPE_CHECKING:
    from heatstream.runtime.archive import FinderSettings, Video
    from heatstream.runtime.archive.finder import Outcome
    from heatstream.runtime.archive.plan import Segment

__all__ = ["process"]

SEGMENT_FRAMES = 1000

WORKERS_PER_CORE = 4
"""At most; each is a process with a network of its own."""


def process(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="VIDEOS...", help="Videos, folders, or patterns in quotes such as 'videos/**/*.mp4'."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results, made if it is not there.")
    ],
    model: ModelOption = MODEL,
    result_format: Annotated[
        Literal["jsonl", "parquet"],
        typer.Option("--format", help="JSON Lines, or Parquet with the same fields (extra `parquet`)."),
    ] = "jsonl",
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Segments at once.", show_default="one per core, or per GPU"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Use a Ray cluster; `local` makes one of this machine."),
    ] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    faces: FacesOption = False,
    face_model: FaceModelOption = FACE_MODEL,
    short_side: ShortSideOption = None,
    confidence: ConfidenceOption = CONFIDENCE,
    smooth: Annotated[bool, typer.Option("--smooth", help="Smooth keypoints, without any lag.")] = False,
    max_people: Annotated[
        int | None, typer.Option("--max-people", min=1, help="Look for so many people; by default the model's, 30.")
    ] = None,
    segment_frames: Annotated[
        int,
        typer.Option(
            "--segment-frames",
            min=1,
            help="Long videos are cut into segments of about so many frames, which is also what an interruption costs.",
        ),
    ] = SEGMENT_FRAMES,
) -> None:
    """Find people in many VIDEOS: a file of results for each.

    All cores work, also on one long video. Whatever interrupts it, Ctrl-C, kill
    -9 or a power cut, the same command goes on where it was. A video that cannot
    be read does not stop the others: failures.json says what failed and why, and
    the exit code is 1 then. Results are those of `heatstream run --jsonl`
    without the times that frames took.

    Examples:

        heatstream process 'videos/**/*.mp4' --out results/

        heatstream process videos/ --out results/ --format parquet --short-side 384

        heatstream process videos/ --out results/ --ray local

        heatstream process /nfs/videos --out /nfs/results --ray ray://head:10001 --device cuda
    """
    from heatstream.demo.terminal.archive_progress import ArchiveView
    from heatstream.engine_builder.trt.model_source import read_model
    from heatstream.extras import require
    from heatstream.runtime.archive import Archive, FinderSettings, find_videos, process_videos
    from heatstream.runtime.load import model_path
    from heatstream.version import __version__

    if result_format == "parquet":
        require("pyarrow", extra="parquet", purpose="results in Parquet")
    if workers is not None and ray in (None, "local"):
        _check_workers(workers)
    videos = find_videos(sources)
    settings = FinderSettings(
        model=model_path(model).resolve(),
        device=device,
        engine=engine,
        short_side=short_side,
        confidence=confidence,
        max_people=max_people,
        faces=model_path(face_model).resolve() if faces else None,
    )
    network = read_model(settings.model, short_side=short_side)
    archive = Archive(
        out,
        format=result_format,
        smooth=smooth,
        model=network.info,
        about={
            "heatstream": __version__,
            "model": network.sha256,
            "faces": None if settings.faces is None else read_model(settings.faces).sha256,
            "short_side": short_side,
            "confidence": confidence,
            "max_people": max_people,
        },
    )
    with StopSignals() as stop, ArchiveView() as view:
        report = process_videos(
            videos,
            archive,
            partial(_look, settings=settings, workers=workers, ray=ray, frames=segment_frames),
            view,
            frames=segment_frames,
            stopping=lambda: stop.received is not None,
        )
    view.print_report(report, out)
    if report.stopped:
        raise typer.Exit(SIGNAL_EXIT + (stop.received or 0))
    if report.failures:
        raise typer.Exit(1)


def _check_workers(workers: int) -> None:
    from heatstream.runtime.engines.onnx_engine import usable_cores

    most = WORKERS_PER_CORE * usable_cores()
    if workers > most:
        raise InputError(f"--workers {workers} would take this machine's memory and be no faster: give at most {most}")


def _look(
    tasks: Sequence[Video | Segment], *, settings: FinderSettings, workers: int | None, ray: str | None, frames: int
) -> Iterable[Outcome | None]:
    """Look at segments where it was asked for."""
    from heatstream.engine_builder.trt.gpus import local_gpu
    from heatstream.runtime.archive.local import look_on_cores
    from heatstream.runtime.archive.ray_cluster import look_on_ray
    from heatstream.runtime.engines.onnx_engine import usable_cores

    if ray is not None:
        gpus = 1.0 if settings.device.startswith("cuda") else 0.0  # `auto` cannot know what other machines have
        return look_on_ray(tasks, settings, address=ray, workers=workers, gpus=gpus, frames=frames)
    on_gpu = settings.device != "cpu" and settings.engine != "onnx" and local_gpu(0) is not None
    return look_on_cores(tasks, settings, workers=workers or (1 if on_gpu else usable_cores()), frames=frames)
