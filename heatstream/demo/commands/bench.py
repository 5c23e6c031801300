"""``heatstream bench``: how fast models are on this machine, and what the time goes to."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatstream.demo.options import MODEL, DeviceOption, EngineOption, ThreadsOption
from heatstream.demo.terminal.messages import print_message
from heatstream.errors import HeatstreamError, InputError
from heatstream.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatstream.demo.benchmark.cases import CaseConfig
    from heatstream.demo.benchmark.frames import FrameFeed
    from heatstream.demo.benchmark.record import Record, Run
    from heatstream.demo.terminal.signals import StopSignals

__all__ = ["bench"]

EXIT_REGRESSED = 1
TABLE_COLUMNS = 90


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names whose weights are included, or model files. swahr-small when left out.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="F",
            help="A video or folder, which is read again and again as part of the pipeline; or a camera, whose first "
            "frames are kept. Without it a photograph in memory, so that no decompression is measured.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW,...",
            help="Input sizes to measure, for models of any size.",
            show_default="what the model makes of the frames",
        ),
    ] = None,
    short_side: Annotated[
        str | None,
        typer.Option(
            "--short-side",
            metavar="PX,...",
            help="Measure with the frames' short side brought to so many px, multiples of 64, for models of any size.",
            show_default="the model's",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch",
            metavar="N,...",
            help="Images per run to measure the engine alone with.",
            show_default="1, and 4 and 16 faces for landmarks",
        ),
    ] = None,
    people: Annotated[
        str | None,
        typer.Option(
            "--people",
            metavar="N,...",
            help="Made-up crowds of so many people in view: the network runs, then their maps take its maps' place.",
            show_default="those in the frames",
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="For each model, size and crowd. More seconds, less spread.")
    ] = 10.0,
    fps: Annotated[
        float, typer.Option("--fps", min=0.1, max=1000, help="Of the camera behind which latency is measured.")
    ] = 30.0,
    json: Annotated[Path | None, typer.Option("--json", metavar="F", help="Write everything for a script.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="F.png", help="Draw it for a report.")] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="OLD.json",
            help="Hold it against an earlier --json of the same machine and models. Exit code 1 if anything is slower "
            "beyond the noise.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Measure how fast MODELs are here, and what the time goes to.

    For each: the engine alone, one image at a time and side by side as the
    stream uses it; the pipeline one frame at a time with every stage, as a
    stream at full speed, and behind a camera, with the latency from capture to
    result. All of them take turns of a fraction of a second, so that their
    ratios hold on a machine that does other things too; figures are medians
    over the turns. Ctrl-C keeps what was measured.

    Examples:

        heatstream bench

        heatstream bench swahr-small --people 1,5,15,30 --plot people.png

        heatstream bench swahr-w32.onnx --source clip.mp4 --seconds 30 --json new.json --compare old.json

        heatstream bench swahr-small --short-side 256,384

        heatstream bench swahr-small --size 256x256,384x640 --threads 4
    """
    from heatstream.demo.benchmark.chart import draw
    from heatstream.demo.benchmark.compare import compare as compare_records
    from heatstream.demo.benchmark.frames import open_feed
    from heatstream.demo.benchmark.record import Record
    from heatstream.demo.benchmark.table import print_comparison, print_record
    from heatstream.demo.terminal.signals import SIGNAL_EXIT, StopSignals
    from heatstream.demo.terminal.tables import console_for
    from heatstream.model_info import MOST_BATCH

    _check_outputs(json, plot, compare, models or [])
    old = None if compare is None else Record.read(compare)
    configs = _configs(
        models or [MODEL],
        sizes=size,
        short_sides=short_side,
        crowds=people,
        batches=() if batch is None else _numbers("--batch", batch, least=1, most=MOST_BATCH),
        fps=fps,
        device=device,
        engine=engine,
        threads=threads,
    )
    feed = open_feed(source)
    with StopSignals() as stop:
        record, error = _measure(configs, feed, seconds, stop)
    console = console_for(least=TABLE_COLUMNS)
    if record.runs:
        print_record(record, console)
        for path, write in ((json, record.write), (plot, lambda path: draw(record, path))):
            if path is not None:
                write(path)
                console.print(f"\nwritten  {path}", markup=False, highlight=False, soft_wrap=True)
    if error is not None:
        raise error
    regressed = False
    if old is not None and record.runs:
        comparison = compare_records(old, record)
        print_comparison(comparison, console)
        regressed = comparison.regressed
    if stop.received is not None:
        raise typer.Exit(SIGNAL_EXIT + stop.received)
    if regressed:
        print_message("slower than before, beyond the noise")
        raise typer.Exit(EXIT_REGRESSED)


def _measure(
    configs: Sequence[CaseConfig], feed: FrameFeed, seconds: float, stop: StopSignals
) -> tuple[Record, HeatstreamError | None]:
    """Everything that was measured until the end, a signal or an error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from heatstream.demo.benchmark.machine import describe_machine, software
    from heatstream.demo.benchmark.measure import Measurement
    from heatstream.demo.benchmark.record import Record

    machine = describe_machine()
    runs: list[Run] = []
    error: HeatstreamError | None = None
    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for config in configs:
            if stop.received is not None:
                break
            task = bar.add_task(f"{config.model}: making it ready", total=None)
            try:
                with Measurement(config, feed, seconds=seconds) as measurement:
                    bar.update(task, total=len(measurement))
                    for scenario in stop.until_signalled(measurement):
                        bar.update(task, advance=1, description=f"{config.model}: {scenario.title}")
                    run = measurement.run()
            except HeatstreamError as failure:  # reported after the results so far have been shown
                error = failure
                break
            if run is not None:
                runs.append(run)
            bar.remove_task(task)
    record = Record(
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine.to_json(),
        software=software(),
        settings={"seconds": seconds},
        interrupted=stop.received is not None or error is not None,
        runs=tuple(runs),
    )
    return record, error


def _configs(
    models: Sequence[str],
    *,
    sizes: str | None,
    short_sides: str | None,
    crowds: str | None,
    batches: tuple[int, ...],
    **rest: Any,
) -> list[CaseConfig]:
    """Every model in every size with every crowd; models that are not there, or not so, are refused at once."""
    from heatstream.demo.benchmark.cases import CaseConfig
    from heatstream.engine_builder.trt.model_source import read_model
    from heatstream.kernels.settings import MOST_PEOPLE
    from heatstream.model_info import LONGEST_SHORT_SIDE
    from heatstream.runtime.load import model_path

    paths = [model_path(model) for model in models]
    if sizes is not None and short_sides is not None:
        raise InputError("--size is the whole input and --short-side what frames make of it: leave one of them out")
    chosen_short_sides = (
        [None] if short_sides is None else list(_numbers("--short-side", short_sides, least=1, most=LONGEST_SHORT_SIDE))
    )
    for path in paths if short_sides is not None else ():
        for short_side in chosen_short_sides:
            read_model(path, short_side=short_side)
    chosen_sizes = [None] if sizes is None else [_size(text) for text in sizes.split(",")]
    chosen_crowds = [None] if crowds is None else list(_numbers("--people", crowds, least=0, most=MOST_PEOPLE))
    return [
        CaseConfig(model, size=size, short_side=short_side, crowd=crowd, batches=batches, **rest)
        for model in models
        for size in chosen_sizes
        for short_side in chosen_short_sides
        for crowd in chosen_crowds
    ]


def _size(text: str) -> tuple[int, int]:
    from heatstream.model_info import FREE_SIZE_MULTIPLE as MULTIPLE

    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if match is None:
        raise InputError(f"--size {text!r} is not understood: give HEIGHTxWIDTH such as 256x448")
    height, width = int(match[1]), int(match[2] or match[1])
    if height % MULTIPLE or width % MULTIPLE or not height or not width:
        raise InputError(f"--size {text!r} is not made of multiples of {MULTIPLE}")
    return height, width


def _numbers(option: str, text: str, *, least: int, most: int) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text!r} is not understood: give numbers such as 1,4,8") from None
    for number in numbers:
        if not least <= number <= most:
            raise InputError(f"{option} takes numbers from {least} to {most}, got {number}")
    return numbers


def _check_outputs(json: Path | None, plot: Path | None, compare: Path | None, models: Sequence[str]) -> None:
    """Refuse before the measuring what could not be written after it."""
    from heatstream.demo.outputs import check_outputs, model_files
    from heatstream.runtime.sinks.base import check_writable

    if plot is not None and plot.suffix.lower() != ".png":
        raise InputError(f"--plot writes a PNG: name it {plot.stem}.png")
    if plot is not None:
        require("matplotlib", extra="plot", purpose="drawing charts")
    outputs = [path for path in (json, plot) if path is not None]
    for path in outputs:
        check_writable(path)
    read = {"the model": [file for model in models for file in model_files(model)]}
    check_outputs(outputs, {**read, "the old record": [] if compare is None else [compare]})
