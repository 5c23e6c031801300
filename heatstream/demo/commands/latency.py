"""``heatstream latency``: how old results are, from the screen through the camera."""

from __future__ import annotations

from typing import Annotated

import typer

from heatstream.demo.options import MODEL, DeviceOption, ModelOption, ThreadsOption
from heatstream.errors import InputError

__all__ = ["latency"]


def latency(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="The camera that films the screen: a number, a URL, or screen.")
    ],
    model: ModelOption = MODEL,
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=3600, help="How long to measure.")] = 10.0,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Show a clock in a window, film it with SOURCE, and print how old it is when its result is there.

    Point the camera at the window, so that the pattern fills most of the
    picture. What is measured begins when the picture is handed to the screen
    and ends when the loop over the stream has the result: the screen's own
    delay, often one to two of its periods, is in it.

    Examples:

        heatstream latency 0

        heatstream latency rtsp://camera.local/stream --seconds 30
    """
    from heatstream.demo.latency.measure import measure_latency
    from heatstream.demo.latency.report import print_latency
    from heatstream.results import Poses, Result, StageTimes
    from heatstream.runtime.load import load
    from heatstream.runtime.sinks import WindowSink
    from heatstream.runtime.sources import open_source
    from heatstream.runtime.stream import stream

    window = WindowSink(lambda result: result.frame, title="heatstream latency")
    nobody = Poses.empty("coco-17")
    try:
        with load(model, device, threads) as pipeline:
            opened = open_source(source)
            if not opened.live:
                opened.close()
                raise InputError(f"{source} is no camera: give one that films the screen, or screen itself")
            if opened.size is not None:
                pipeline.warm_up(*opened.size)

            def show(picture: object) -> bool:
                window.write(Result(nobody, StageTimes({}, latency=0.0), frame=picture))  # type: ignore[arg-type]
                return not window.closed

            results = stream(opened, pipeline)
            report = measure_latency(results, show, seconds=seconds)
            print_latency(report, results.summary(), title=str(pipeline))
    finally:
        window.close()
