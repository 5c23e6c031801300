"""A record as a picture for a report: for every run its throughput, where a frame's time goes, and the latency.

Crowds of several sizes add a row: speed and decode against the number of people.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from heatstream.demo.benchmark.record import Record, Run, median, spread
from heatstream.demo.benchmark.scenarios import CAMERA, ENGINE, FRAME, PIPELINE
from heatstream.demo.benchmark.table import machine_line
from heatstream.demo.drawing.plot import BLUE, GREEN, GREY, INK, ORANGE, PALE, PURPLE, Canvas, Panel

__all__ = ["draw"]

WIDTH = 1320
HEADER, BAND, FOOTER = 24, 340, 60
"""Heights px: above the first run, of a run, and below the last one."""

STAGE_COLOURS = {"preprocess": ORANGE, "engine": BLUE, "network": BLUE, "gpu": BLUE, "decode": GREEN}


def draw(record: Record, path: Path) -> None:
    """Draw a record with at least one run.

    Raises:
        SinkError: the picture cannot be written.
    """
    groups = list(_crowds(record.runs))
    canvas = Canvas(WIDTH, HEADER + BAND * (len(record.runs) + len(groups)) + FOOTER)
    top = HEADER
    for run in record.runs:
        canvas.text(24, top + 18, run.title, size=17, bold=True)
        canvas.text(24, top + 38, f"{run.precision}, {run.engine}; {run.frames}", size=12, colour=GREY)
        _throughput(canvas.panel(24, top + 82, 560, BAND - 114), run)
        _frame(canvas.panel(640, top + 82, 250, BAND - 124), run)
        _latency(canvas.panel(960, top + 82, 330, BAND - 140), run)
        top += BAND
    for runs in groups:
        canvas.text(
            24,
            top + 18,
            f"{runs[0].model}, {runs[0].input_size[0]}x{runs[0].input_size[1]}: how many people",
            size=17,
            bold=True,
        )
        _against_people(canvas, top + 64, runs)
        top += BAND
    for number, line in enumerate(machine_line(record).splitlines()):
        canvas.text(24, top + 16 + 18 * number, line, size=11, colour=GREY)
    canvas.write(path)


def _throughput(panel: Panel, run: Run) -> None:
    """A bar for every way, with the spread of its turns."""
    panel.title("frames per second" if run.task == "pose" else "faces per second")
    rates = [(key, rate) for key, rate in run.rates.items() if key != CAMERA]
    most = max(spread(rate.fps)[1] for _, rate in rates) * 1.15
    names = 180.0
    scale = (panel.width - names - 50) / most
    row = min(34.0, panel.height / len(rates))
    for number, (key, rate) in enumerate(rates):
        y = panel.top + row * number + row / 2
        colour = BLUE if key.startswith("engine") else ORANGE if key == FRAME else GREEN
        value, (low, high) = median(rate.fps), spread(rate.fps)
        panel.canvas.text(panel.left + names - 10, y + 4, rate.title, size=12, align="right", bold=key == PIPELINE)
        start = panel.left + names
        panel.canvas.box(start, y - row * 0.32, start + value * scale, y + row * 0.32, colour)
        panel.canvas.line([(start + low * scale, y), (start + high * scale, y)], INK, 2)
        for end in (low, high):
            panel.canvas.line([(start + end * scale, y - 4), (start + end * scale, y + 4)], INK, 2)
        panel.canvas.text(start + high * scale + 8, y + 4, f"{value:.1f}", size=12, bold=key == PIPELINE)
    y = panel.top + row * len(rates) + 22
    for key, words in _compared(run):
        ratios = run.ratio(PIPELINE, key)
        low, high = spread(ratios)
        words = f"stream / {words}: {median(ratios):.2f}  ({low:.2f} to {high:.2f})"
        panel.canvas.text(panel.left + names, y, words, size=12, colour=INK)
        y += 19


def _compared(run: Run) -> Iterator[tuple[str, str]]:
    best = run.best_engine()
    if run.ratio(PIPELINE, ENGINE):
        yield ENGINE, "engine, one at a time"
        if best is not None and best != ENGINE:
            yield best, "engine's fastest way"


def _frame(panel: Panel, run: Run) -> None:
    """The stages of a frame on top of each other."""
    stages = {name: stage for name, stage in (run.gpu_stages or run.stages).items() if name != "frame"}
    if not stages:
        return
    panel.title("one frame, median ms")
    whole = sum(stage.p50 for stage in stages.values())
    bottom = panel.top + panel.height
    scale = panel.height / whole
    labels = bottom
    for name, stage in reversed(stages.items()):
        top = bottom - stage.p50 * scale
        panel.canvas.box(panel.left, top, panel.left + 62, bottom, STAGE_COLOURS.get(name, PURPLE))
        labels = min((top + bottom) / 2 + 4, labels - 17)
        panel.canvas.text(panel.left + 74, labels, f"{name}  {1e3 * stage.p50:.2f}  ({stage.share:.1%})", size=12)
        bottom = top


def _latency(panel: Panel, run: Run) -> None:
    """What share of frames was done by when."""
    if run.camera is None:
        return
    camera = run.camera
    panel.title(f"capture to result behind a camera of {camera.fps:g} FPS")
    times = [1e3 * seconds for seconds in camera.quantiles]
    most = max(times[99] * 1.25, 1e-6)
    axes = panel.axes((0, most), (0, 100), x_label="ms", y_label="% of frames")
    shown = [(time, percent) for percent, time in enumerate(times) if time <= most]
    axes.line(shown, BLUE, 2)
    for number, (name, percent) in enumerate((("p50", 50), ("p95", 95), ("p99", 99))):
        axes.dot(times[percent], percent, ORANGE)
        panel.canvas.text(
            panel.left + panel.width - 6,
            panel.top + panel.height - 62 + 17 * number,
            f"{name} {times[percent]:.1f} ms",
            size=12,
            align="right",
        )
    words = f"{camera.dropped} of {camera.results + camera.dropped} frames dropped"
    panel.canvas.text(
        panel.left + panel.width - 6, panel.top + panel.height - 11, words, size=12, align="right", colour=GREY
    )


def _against_people(canvas: Canvas, top: float, runs: Sequence[Run]) -> None:
    counts = [float(run.crowd or 0) for run in runs]
    speed = canvas.panel(80, top, 500, BAND - 120)
    speed.title("frames per second")
    lines = {
        "engine, one at a time": ([median(run.rates[ENGINE].fps) for run in runs], BLUE),
        "pipeline, as a stream": ([median(run.rates[PIPELINE].fps) for run in runs], GREEN),
    }
    most = 1.15 * max(max(values) for values, _ in lines.values())
    axes = speed.axes((0, max(counts) * 1.03), (0, most), x_label="people in view", y_label="")
    for number, (name, (values, colour)) in enumerate(lines.items()):
        points = list(zip(counts, values, strict=True))
        axes.line(points, colour, 2)
        for point in points:
            axes.dot(*point, colour)
        canvas.text(speed.left + 14, speed.top + speed.height - 30 + 18 * number, name, size=12, colour=colour)
    cost = canvas.panel(760, top, 500, BAND - 120)
    cost.title("decode, ms per frame (median and p99)")
    stages = [run.stages["decode"] for run in runs]
    axes = cost.axes(
        (0, max(counts) * 1.03), (0, 1.15e3 * max(stage.p99 for stage in stages)), x_label="people in view", y_label=""
    )
    for values, colour in (([stage.p99 for stage in stages], PALE), ([stage.p50 for stage in stages], GREEN)):
        points = [(count, 1e3 * value) for count, value in zip(counts, values, strict=True)]
        axes.line(points, colour, 2)
        for point in points:
            axes.dot(*point, colour)


def _crowds(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs that differ in their crowd alone, the smallest crowd first."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        if run.crowd is not None:
            groups.setdefault((run.sha256, run.engine, run.input_size), []).append(run)
    for group in groups.values():
        if len(group) > 1:
            yield sorted(group, key=lambda run: run.crowd or 0)
