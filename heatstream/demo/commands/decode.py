"""``heatstream decode``: a recording's people made anew, with other thresholds, in a fraction of the time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["decode"]


def decode(
    recording: Annotated[Path, typer.Argument(help="A recording of `heatstream run --mcap FILE --raw-peaks`.")],
    jsonl: Annotated[Path, typer.Option("--jsonl", help="Write the results here, one line each; - is stdout.")] = Path(
        "-"
    ),
    confidence: Annotated[
        float | None,
        typer.Option("--conf", min=0, max=1, help="Leave out people of a lower score.", show_default="the run's"),
    ] = None,
    detection_threshold: Annotated[
        float | None,
        typer.Option("--detection-threshold", help="Heights of heatmaps that count.", show_default="the run's"),
    ] = None,
    tag_threshold: Annotated[
        float | None,
        typer.Option("--tag-threshold", help="Joints of nearer tags join a person.", show_default="the run's"),
    ] = None,
    max_people: Annotated[
        int | None,
        typer.Option("--max-people", min=1, help="Take so many people into account.", show_default="the run's"),
    ] = None,
    smooth: Annotated[
        bool | None, typer.Option("--smooth/--no-smooth", help="Smooth keypoints.", show_default="as the run")
    ] = None,
) -> None:
    """Make the people of a recording anew, without the network.

    With nothing changed they are those of the run, but for joints that the run
    had filled in from whole maps, which are not recorded. Ids are made anew.

    Examples:

        heatstream run clip.mp4 --mcap out.mcap --raw-peaks

        heatstream decode out.mcap --conf 0.5 --tag-threshold 0.5 --jsonl out.jsonl
    """
    from heatstream.demo.outputs import check_outputs
    from heatstream.runtime.redecode import decode_recording
    from heatstream.runtime.sinks import JsonLinesSink

    check_outputs([jsonl], {"the recording": [recording]})
    named = {
        "detection_threshold": detection_threshold,
        "tag_threshold": tag_threshold,
        "max_people": max_people,
    }
    changes = {name: value for name, value in named.items() if value is not None}
    decoded = decode_recording(recording, changes, confidence=confidence, smooth=smooth)
    sink = JsonLinesSink(jsonl, decoded.header)
    try:
        for result in decoded.results:
            sink.write(result)
    finally:
        sink.close()
