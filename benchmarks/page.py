"""Records of ``heatstream bench --json`` as Markdown: ``python -m benchmarks.page RECORD.json... >> PAGE.md``.

Runs that differ in their crowd alone become one table against the number of people, all others a table of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from heatstream.demo.benchmark.record import Record, Run, median, spread
from heatstream.demo.benchmark.scenarios import ENGINE, PIPELINE
from heatstream.demo.benchmark.table import cpu_bound, machine_line

__all__ = ["page"]


def page(records: Sequence[Record]) -> str:
    """Every run of the records, and the machine of each."""
    lines: list[str] = []
    for record in records:
        crowds = [run for run in record.runs if run.crowd is not None]
        for run in record.runs:
            if run.crowd is None:
                lines += [*_run(run), ""]
        if crowds:
            lines += [*_people(crowds), ""]
        words = machine_line(record).replace("\n", "; ")
        lines += [f"Measured {record.made[:10]}, {record.settings['seconds']:g} s asked for each run: {words}.", ""]
    return "\n".join(lines)


def _run(run: Run) -> Iterator[str]:
    people = "" if run.people is None else f", {run.people:.1f} people found in each"
    height, width = run.frame_size
    yield f"**{run.title}**, {run.precision}, {run.engine}; frames of {width}x{height} px: {run.frames}{people}."
    yield ""
    yield "| | per second | 10-90 % | CPU ms |"
    yield "|---|---|---|---|"
    for rate in run.rates.values():
        low, high = spread(rate.fps)
        used = "" if rate.cpu_seconds is None else f"{1e3 * median(rate.cpu_seconds):.1f}"
        yield f"| {rate.title} | {median(rate.fps):.1f} | {low:.1f}-{high:.1f} | {used} |"
    yield ""
    yield from _findings(run)


def _findings(run: Run) -> Iterator[str]:
    for key in dict.fromkeys((ENGINE, run.best_engine() or ENGINE)):
        if ratios := run.ratio(PIPELINE, key):
            low, high = spread(ratios)
            yield f"- stream / {run.rates[key].title}: **{median(ratios):.2f}** ({low:.2f} to {high:.2f})"
    bound = cpu_bound(run)
    if bound is not None:
        yield f"- CPU time of the engine / of the stream, per frame, the bound of the last ratio: {bound:.2f}"
    if run.stages:
        shares = ", ".join(f"{name} {1e3 * one.p50:.2f} ms ({one.share:.1%})" for name, one in run.stages.items())
        yield f"- one frame: {shares}"
    if run.camera is not None:
        times = ", ".join(f"{name} {1e3 * seconds:.1f}" for name, seconds in run.camera.latency.items())
        count = run.camera.results + run.camera.dropped
        yield f"- behind a camera of {run.camera.fps:g} FPS: {times} ms, {run.camera.dropped} of {count} frames dropped"


def _people(runs: Sequence[Run]) -> Iterator[str]:
    yield f"**{runs[0].model}**, {runs[0].input_size[0]}x{runs[0].input_size[1]}, made-up people:"
    yield ""
    yield "| people | found | stream, per s | stream / engine, one at a time | decode ms (p99) | its share | CPU ms |"
    yield "|---|---|---|---|---|---|---|"
    for run in runs:
        decode, ratios = run.stages["decode"], run.ratio(PIPELINE, ENGINE)
        cells = [str(run.crowd), f"{run.people:.1f}", f"{median(run.rates[PIPELINE].fps):.1f}", f"{median(ratios):.2f}"]
        cells += [f"{1e3 * decode.p50:.2f} ({1e3 * decode.p99:.2f})", f"{decode.share:.1%}"]
        cells.append(f"{1e3 * median(run.rates[PIPELINE].cpu_seconds or (0.0,)):.1f}")
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    print(page([Record.read(Path(name)) for name in sys.argv[1:]]), end="")


if __name__ == "__main__":
    main()
