"""A record as human-readable tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from heatstream.demo.benchmark.record import Rate, Record, Run, Stage, median, spread
from heatstream.demo.benchmark.scenarios import CAMERA, ENGINE, PIPELINE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from heatstream.demo.benchmark.compare import Comparison

__all__ = ["print_comparison", "print_record"]

METERS = {
    "memory_mib": ("memory of the process", "MiB", "peak"),
    "gpu_memory_mib": ("GPU memory", "MiB", "peak"),
    "gpu_percent": ("GPU busy", "%", "mean"),
    "gpu_clock_mhz": ("GPU clock", "MHz", "mean"),
    "gpu_power_w": ("GPU power", "W", "mean"),
    "board_power_w": ("board power", "W", "mean"),
}
"""Title, unit, and which of a meter's readings says most, in the order of the table."""


def print_record(record: Record, console: Console) -> None:
    """Print every run, and what it was measured on."""
    for run in record.runs:
        console.print(f"\n[bold]{run.title}[/bold], {run.precision}, on {run.engine}", highlight=False)
        for line in _headline(run):
            console.print(line, highlight=False, soft_wrap=True)
        console.print(f"{_frames(run)}\n", highlight=False, markup=False)
        console.print(_rates(run))
        for line in (*_ratios(run), *_camera(run), *_rest(run)):
            console.print(line, highlight=False, soft_wrap=True)
        for title, stages in (("one frame", run.stages), ("one frame on the GPU's clock", run.gpu_stages)):
            if stages:
                console.print()
                console.print(_stages(title, stages))
    console.print(f"\n{machine_line(record)}", highlight=False, markup=False)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print every figure then and now, and what could not be compared."""
    table = _table(
        ("then and now", ""), ("then", "right"), ("now", "right"), ("change", "right"), ("noise", "right"), ("", "")
    )
    styles = {"same": "", "better": "green", "worse": "bold red"}
    title = None
    for change in comparison.changes:
        if change.run != title:
            title = change.run
            table.add_section()
            table.add_row(f"[bold]{title}[/bold]")
        figures = (f"{change.old:.3g}", f"{change.new:.3g}", f"{change.change:+.1%}", f"±{change.noise:.1%}")
        table.add_row(f"  {change.figure}", *figures, change.verdict, style=styles[change.verdict])
    console.print()
    console.print(table)
    for line in (*comparison.notes, *(f"not compared: {reason}" for reason in comparison.left_out)):
        console.print(f"  {line}", highlight=False, markup=False)


def machine_line(record: Record) -> str:
    """Machine and libraries in a line or two."""
    machine, versions = record.machine, record.software
    parts = [machine.get("board"), f"{machine.get('cpu')}, {machine.get('cores')} cores", machine.get("system")]
    parts += [f"{gpu.get('name')} (driver {gpu.get('driver')})" for gpu in machine.get("gpus", ())]
    if machine.get("governor"):
        parts.append(f"governor {machine['governor']}")
    if machine.get("load") is not None:
        parts.append(f"load {machine['load']} per core when it started")
    words = "; ".join(str(part) for part in parts if part)
    return f"{words}\n{', '.join(f'{name} {version}' for name, version in versions.items())}"


def _frames(run: Run) -> str:
    height, width = run.frame_size
    words = f"frames of {width}x{height} px: {run.frames}"
    if run.people is not None:
        words += f", {run.people:.1f} people found in each"
    return words


def _headline(run: Run) -> Iterator[str]:
    """What most people want to know, before what explains it."""
    if PIPELINE in run.rates:
        fps = median(run.rates[PIPELINE].fps)
        yield f"[bold]{fps:.1f} frames per second[/bold] as a stream, {1e3 / fps:.1f} ms each"
    if run.camera is not None and "p50" in run.camera.latency:
        yield (
            f"[bold]{1e3 * run.camera.latency['p50']:.1f} ms[/bold] from capture to result behind a camera of "
            f"{run.camera.fps:g} FPS"
        )


def _rates(run: Run) -> Table:
    faces = run.task == "landmarks"
    unit = "face" if faces else "frame"
    table = _table(
        (f"throughput, {unit}s", ""),
        ("per s", "right"),
        ("10-90 %", "right"),
        ("ms", "right"),
        ("CPU ms", "right"),
        ("cores", "right"),
    )
    for key, rate in run.rates.items():
        if key in (PIPELINE, CAMERA):
            table.add_section()
        table.add_row(rate.title, *_cells(rate), style="bold" if key == PIPELINE else "")
    return table


def _cells(rate: Rate) -> Iterator[str]:
    fps = median(rate.fps)
    low, high = spread(rate.fps)
    yield from (f"{fps:.1f}", f"{low:.1f}-{high:.1f}", f"{1e3 / fps:.2f}")
    if rate.cpu_seconds is None:
        yield from ("", "")
    else:
        used = median(rate.cpu_seconds)
        busy = median([one * each for one, each in zip(rate.fps, rate.cpu_seconds, strict=True)])
        yield from (f"{1e3 * used:.1f}", f"{busy:.2f}")


def _ratios(run: Run) -> Iterator[str]:
    best = run.best_engine()
    for key in dict.fromkeys((ENGINE, best)):
        ratios = run.ratio(PIPELINE, key) if key is not None else ()
        if ratios and key is not None:
            low, high = spread(ratios)
            also = " (its fastest way)" if key == best else ""
            yield f"  stream / {run.rates[key].title}{also}: [bold]{median(ratios):.2f}[/bold] ({low:.2f}-{high:.2f})"
    bound = cpu_bound(run)
    if bound is not None:
        yield f"  CPU time of the engine / of the stream, per frame: {bound:.2f}, its bound where all cores are busy"


def cpu_bound(run: Run) -> float | None:
    """The engine's share of the CPU time of a frame in the stream, at the engine's thriftiest; None where unknown."""
    used = {key: rate.cpu_seconds for key, rate in run.rates.items()}
    engines = [median(seconds) for key, seconds in used.items() if key.startswith("engine") and seconds]
    stream = used.get(PIPELINE)
    return min(engines) / median(stream) if engines and stream else None


def _camera(run: Run) -> Iterator[str]:
    if run.camera is not None:
        times = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in run.camera.latency.items())
        count = run.camera.results + run.camera.dropped
        yield (
            f"  behind a camera of {run.camera.fps:g} FPS: capture to result {times} ms; "
            f"{run.camera.dropped} of {count} frames dropped"
        )


def _rest(run: Run) -> Iterator[str]:
    yield f"  ready after {run.load_seconds:.2f} s, first frame after another {run.first_seconds:.2f} s"
    for name, (title, unit, kind) in METERS.items():
        if name in run.meters:
            reading = run.meters[name]
            yield f"  {title}: {getattr(reading, kind):.4g} {unit}" + (" at most" if kind == "peak" else "")


def _stages(title: str, stages: Mapping[str, Stage]) -> Table:
    table = _table((title, ""), ("p50 ms", "right"), ("p99 ms", "right"), ("share", "right"))
    for name, stage in stages.items():
        table.add_row(name, f"{1e3 * stage.p50:.2f}", f"{1e3 * stage.p99:.2f}", f"{stage.share:.1%}")
    return table


def _table(*columns: tuple[str, str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title, justify in columns:
        number = justify == "right"
        table.add_column(title, justify="right" if number else "left", no_wrap=number, min_width=len(title))
    return table
