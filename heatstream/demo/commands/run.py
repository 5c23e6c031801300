"""``heatstream run``: people in a camera, video, picture, folder or stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["CONFIDENCE", "run"]

FACE_MODEL = "h3r-mobile-68"

CONFIDENCE = 0.3
"""Score from which people are shown. In a crowded street false people are fewer than right ones then."""


def run(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A camera number (0 is the first), a video, a picture, a folder of pictures, an RTSP or HTTP URL, "
            "or a GStreamer pipeline that ends in appsink.",
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name that `heatstream models` lists, or a model file.")
    ] = "swahr-mobile",
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write the annotated video (.mp4, .avi), or the best picture (.jpg, .png)."),
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option("--jsonl", help="Write one line of JSON per frame, while it runs.")
    ] = None,
    coco: Annotated[Path | None, typer.Option("--coco", help="Write all people as COCO keypoint results.")] = None,
    window: Annotated[
        bool | None,
        typer.Option("--window/--no-window", help="Show a window; by default where there is a display."),
    ] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Stop after so many frames.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads per frame; by default all cores.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or cuda:1 for the second GPU.")] = "auto",
    engine: Annotated[
        str, typer.Option("--engine", help="auto, onnx (CPU), tensorrt, tensorrt-rtx (GPU) or torch.")
    ] = "auto",
    faces: Annotated[bool, typer.Option("--faces", help="Find the landmarks of everyone's face too.")] = False,
    face_model: Annotated[
        str, typer.Option("--face-model", help="With --faces: a name or model file that finds landmarks.")
    ] = FACE_MODEL,
    short_side: Annotated[
        int | None,
        typer.Option(
            "--short-side",
            metavar="PX",
            help="Bring every frame's short side to so many px, a multiple of 64: more finds smaller people and takes "
            "longer. For models of any size.",
            show_default="the model's",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--conf", min=0, max=1, help="Leave out people of a lower score; 0 keeps everybody.")
    ] = CONFIDENCE,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, help="Draw keypoints of at least this score.")
    ] = 0.2,
    color_people: Annotated[
        bool, typer.Option("--color-people", help="Give each person a colour, instead of left and right.")
    ] = False,
) -> None:
    """Find people in SOURCE, show them, and write them down.

    A table of speed and latency is printed at the end. Ctrl-C, q in the window
    or closing it ends the run; the results up to there are kept.

    Examples:

        heatstream run 0

        heatstream run clip.mp4 --save out.mp4 --jsonl out.jsonl

        heatstream run 0 --faces

        heatstream run clip.mp4 --short-side 384 --conf 0.5

        heatstream run photos/ --no-window --coco results.json

        heatstream run rtsp://camera.local/stream --model my-model.onnx

        heatstream run clip.mp4 --device cuda --engine tensorrt
    """
    from heatstream.demo.drawing.overlay import Overlay
    from heatstream.demo.run_loop import RunOptions, run_job
    from heatstream.demo.terminal.build_progress import BuildView
    from heatstream.runtime.load import load
    from heatstream.runtime.sources import open_source

    job = RunOptions(
        saves=() if save is None else (save,),
        jsonl=jsonl,
        coco=coco,
        window=window,
        frames=frames,
        overlay=Overlay(min_score=min_score, colors="person" if color_people else "side"),
    )
    with BuildView() as view:
        pipeline = load(
            model,
            device,
            threads,
            engine=engine,
            short_side=short_side,
            confidence=confidence,
            faces=face_model if faces else None,
            progress=view,
        )
        try:
            opened = open_source(source)
            if opened.size is not None:
                pipeline.warm_up(*opened.size)
        except BaseException:
            pipeline.close()
            raise
    run_job(opened, pipeline, job)
