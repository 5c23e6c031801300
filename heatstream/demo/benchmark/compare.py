"""Whether something became slower, beyond what the same thing varies by from turn to turn.

For every figure the medians of the old and the new record are compared. They differ beyond the noise when the change is
larger than both spreads together, sqrt(old^2 + new^2), where a spread is half the way from the 10th to the 90th
percentile of the turns, and larger than :data:`FLOOR`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from heatstream.demo.benchmark.record import Record, Run, median, spread
from heatstream.demo.benchmark.scenarios import ENGINE, PIPELINE
from heatstream.errors import InputError

__all__ = ["FLOOR", "Change", "Comparison", "compare", "judge"]

FLOOR = 0.03
"""Changes below this share are never called one: the medians of two runs on a quiet machine differ by as much."""

BUSY = 0.5
"""Processes per core, before the measuring starts, that are worth a word."""

Verdict = Literal["same", "better", "worse"]


@dataclass(frozen=True)
class Change:
    """A figure then and now.

    Attributes:
        run: title of the run it belongs to.
        figure: what it is, with its unit.
        old: the median then.
        new: the median now.
        change: (new - old) / old.
        noise: what the change has to exceed.
        verdict: ``"worse"`` is a regression.
    """

    run: str
    figure: str
    old: float
    new: float
    change: float
    noise: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """Two records against each other.

    Attributes:
        changes: every figure that both have.
        left_out: runs that could not be compared, with the reason, one sentence each.
        notes: what else differs and may explain a change, one sentence each.
    """

    changes: tuple[Change, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether any figure is worse beyond the noise."""
        return any(change.verdict == "worse" for change in self.changes)


def compare(old: Record, new: Record) -> Comparison:
    """Compare the runs that both records have.

    Raises:
        InputError: the records are of different machines, or have no run in common.
    """
    for name, title in (("cpu", "CPU"), ("cores", "number of cores"), ("board", "board")):
        then, now = old.machine.get(name), new.machine.get(name)
        if then != now:
            raise InputError(f"the records are of different machines: the {title} was {then}, here it is {now}")
    then, now = (_gpu_names(record) for record in (old, new))
    if then != now:
        raise InputError(f"the records are of different machines: the GPUs were {then}, here they are {now}")

    changes: list[Change] = []
    left_out: list[str] = []
    earlier = {run.title: run for run in old.runs}
    for run in new.runs:
        before = earlier.get(run.title)
        reason = "is not in the old record" if before is None else _difference(before, run)
        if before is None or reason:
            left_out.append(f"{run.title} {reason}")
        else:
            changes += _changes(before, run)
    if not changes:
        raise InputError(f"there is nothing to compare: {'; '.join(left_out) or 'nothing was measured'}")
    return Comparison(tuple(changes), tuple(left_out), tuple(_notes(old, new)))


def judge(old: Sequence[float], new: Sequence[float], *, higher_is_better: bool) -> tuple[float, float, Verdict]:
    """Change and noise as shares of the old median, and what to call it."""
    before = median(old)
    change = median(new) / before - 1
    noise = max(FLOOR, math.hypot(_half_spread(old), _half_spread(new)))
    if abs(change) <= noise:
        return change, noise, "same"
    return change, noise, "better" if (change > 0) == higher_is_better else "worse"


def _half_spread(values: Sequence[float]) -> float:
    low, high = spread(values)
    return (high - low) / 2 / median(values)


def _difference(old: Run, new: Run) -> str:
    """Why two runs of a title cannot be compared; empty when they can."""
    if old.sha256 != new.sha256:
        return "is another model file now"
    for name in ("engine", "frames", "frame_size", "precision"):
        then, now = getattr(old, name), getattr(new, name)
        if then != now:
            return f"had {name.replace('_', ' ')} {then!r}, now {now!r}"
    return ""


def _changes(old: Run, new: Run) -> Iterator[Change]:
    for figure, then, now, higher_is_better in _figures(old, new):
        if then and now and median(then) > 0:
            change, noise, verdict = judge(then, now, higher_is_better=higher_is_better)
            yield Change(new.title, figure, median(then), median(now), change, noise, verdict)


def _figures(old: Run, new: Run) -> Iterator[tuple[str, Sequence[float], Sequence[float], bool]]:
    for key, rate in new.rates.items():
        if key in old.rates and not key.startswith("camera"):
            yield f"{rate.title}, per second", old.rates[key].fps, rate.fps, True
    if PIPELINE in new.rates and PIPELINE in old.rates:
        used = [[1e3 * value for value in run.rates[PIPELINE].cpu_seconds or ()] for run in (old, new)]
        yield "CPU ms per frame of the stream", used[0], used[1], False
    yield "stream / engine, one at a time", old.ratio(PIPELINE, ENGINE), new.ratio(PIPELINE, ENGINE), True
    if "decode" in old.stages and "decode" in new.stages:
        times = [[1e3 * value for value in run.stages["decode"].turns] for run in (old, new)]
        yield "decode ms", times[0], times[1], False
    if old.camera is not None and new.camera is not None and old.camera.fps == new.camera.fps:
        times = [[1e3 * value for value in run.camera.turns] for run in (old, new) if run.camera is not None]
        yield f"latency ms behind a camera of {new.camera.fps:g} FPS", times[0], times[1], False


def _gpu_names(record: Record) -> str:
    return ", ".join(str(gpu.get("name")) for gpu in record.machine.get("gpus", ())) or "none"


def _notes(old: Record, new: Record) -> Iterator[str]:
    for library in sorted({*old.software, *new.software}):
        then, now = old.software.get(library, "absent"), new.software.get(library, "absent")
        if then != now:
            yield f"{library} was {then}, now {now}"
    for name in ("system", "governor"):
        if old.machine.get(name) != new.machine.get(name):
            yield f"{name} was {old.machine.get(name)}, now {new.machine.get(name)}"
    loads = [record.machine.get("load") or 0.0 for record in (old, new)]
    if max(loads) > BUSY:
        yield f"the machine was busy with other work: {loads[0]} processes per core then, {loads[1]} now"
