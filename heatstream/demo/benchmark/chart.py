"""A record as a chart for a report: for every run its throughput, where a frame's time goes, and the latency.

Crowds of several sizes add a row: speed and decode against the number of people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heatstream.demo.benchmark.record import Record, Run, median, spread
from heatstream.demo.benchmark.scenarios import CAMERA, ENGINE, FRAME, PIPELINE
from heatstream.demo.benchmark.table import machine_line
from heatstream.demo.drawing.plot import BLUE, COLOURS, GREEN, GREY, INK, ORANGE, new_figure, write_png

__all__ = ["draw"]

WIDTH, ROW, FOOTER = 13.2, 3.4, 0.6
"""Inches: of the figure, and the heights of a run's row and of the lines below all rows."""


def draw(record: Record, path: Path) -> None:
    """Draw a record with at least one run.

    Raises:
        SinkError: the chart cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    groups = list(_crowds(record.runs))
    rows = len(record.runs) + len(groups)
    height = ROW * rows + FOOTER
    figure = new_figure(WIDTH, height)
    figure.get_layout_engine().set(rect=(0, FOOTER / height, 1, 1 - FOOTER / height))
    bands = list(figure.subfigures(rows, 1, squeeze=False)[:, 0])
    for band, run in zip(bands, record.runs, strict=False):
        _title(band, run.title, f"{run.precision}, {run.engine}; {run.frames}")
        throughput, frame, latency = band.subplots(1, 3, width_ratios=(5, 2, 3))
        _throughput(throughput, run)
        _frame(frame, run)
        _latency(latency, run)
    for band, runs in zip(bands[len(record.runs) :], groups, strict=True):
        height_px, width_px = runs[0].input_size
        _title(band, f"{runs[0].model}, {height_px}x{width_px}: how many people", "")
        speed, cost = band.subplots(1, 2)
        _against_people(speed, cost, runs)
    figure.text(0.01, 0.1 / height, machine_line(record), fontsize=8, color=GREY, va="bottom")
    write_png(figure, path)


def _title(band: Any, title: str, more: str) -> None:
    words = f"{title}   {more}" if more else title
    band.suptitle(words, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)


def _throughput(axes: Any, run: Run) -> None:
    """A bar for every scenario, with the spread of its turns, and the stream's ratios below."""
    rates = [(key, rate) for key, rate in run.rates.items() if key != CAMERA]
    values = [median(rate.fps) for _, rate in rates]
    ends = [spread(rate.fps) for _, rate in rates]
    errors = [
        [value - low for value, (low, _) in zip(values, ends, strict=True)],
        [high - value for value, (_, high) in zip(values, ends, strict=True)],
    ]
    colours = [BLUE if key.startswith("engine") else ORANGE if key == FRAME else GREEN for key, _ in rates]
    bars = axes.barh([rate.title for _, rate in rates], values, xerr=errors, capsize=3, color=colours, ecolor=INK)
    axes.bar_label(bars, fmt="%.1f", padding=6)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_title("frames per second" if run.task == "pose" else "faces per second", loc="left", fontsize=10)
    axes.set_xlabel("\n".join(_ratios(run)), loc="left", fontsize=9)


def _ratios(run: Run) -> Iterator[str]:
    best = run.best_engine()
    others = [(ENGINE, "engine, one at a time")]
    if best is not None and best != ENGINE:
        others.append((best, "engine's fastest way"))
    for key, words in others:
        if ratios := run.ratio(PIPELINE, key):
            low, high = spread(ratios)
            yield f"stream / {words}: {median(ratios):.2f} ({low:.2f} to {high:.2f})"


def _frame(axes: Any, run: Run) -> None:
    """The stages of a frame on top of each other."""
    stages = {name: stage for name, stage in (run.gpu_stages or run.stages).items() if name != "frame"}
    if not stages:
        axes.set_axis_off()
        return
    floor = 0.0
    for number, (name, stage) in enumerate(stages.items()):
        ms = 1e3 * stage.p50
        label = f"{name} {ms:.2f} ({stage.share:.1%})"
        axes.bar(0, ms, bottom=floor, width=1, color=COLOURS[number % len(COLOURS)], label=label)
        floor += ms
    axes.set(xlim=(-0.6, 0.6), xticks=[])
    axes.set_title("one frame, median ms", loc="left", fontsize=10)
    axes.legend(reverse=True, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=9, frameon=False)


def _latency(axes: Any, run: Run) -> None:
    """What share of frames was done by when."""
    if run.camera is None:
        axes.set_axis_off()
        return
    camera = run.camera
    times = [1e3 * seconds for seconds in camera.quantiles]
    axes.plot(times, range(len(times)), color=BLUE, linewidth=2)
    for percent in (50, 95, 99):
        axes.plot(times[percent], percent, "o", color=ORANGE, label=f"p{percent} {times[percent]:.1f} ms")
    axes.set(xlim=(0, max(times[99] * 1.25, 1e-6)), ylim=(0, 102), ylabel="% of frames")
    axes.set_xlabel(f"ms; {camera.dropped} of {camera.results + camera.dropped} frames dropped")
    axes.set_title(f"capture to result behind a camera of {camera.fps:g} FPS", loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)


def _against_people(speed: Any, cost: Any, runs: Sequence[Run]) -> None:
    counts = [run.crowd or 0 for run in runs]
    for key, words, colour in ((ENGINE, "engine, one at a time", BLUE), (PIPELINE, "pipeline, as a stream", GREEN)):
        speed.plot(counts, [median(run.rates[key].fps) for run in runs], "o-", color=colour, label=words)
    speed.set_title("frames per second", loc="left", fontsize=10)
    stages = [run.stages["decode"] for run in runs]
    cost.plot(counts, [1e3 * stage.p99 for stage in stages], "o-", color=GREEN, alpha=0.4, label="p99")
    cost.plot(counts, [1e3 * stage.p50 for stage in stages], "o-", color=GREEN, label="median")
    cost.set_title("decode, ms per frame", loc="left", fontsize=10)
    for axes in (speed, cost):
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("people in view")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=9)


def _crowds(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs that differ only in their crowd, the smallest crowd first."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        if run.crowd is not None:
            groups.setdefault((run.sha256, run.engine, run.input_size), []).append(run)
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda run: run.crowd or 0)
