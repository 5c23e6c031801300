"""What was measured, as a script reads it.

One JSON object with the key ``format``. Times are seconds, rates are per second, lists hold one value per turn. Keys
may be added within a format; a change of what a key means makes a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heatstream.demo.benchmark.meters import Reading
from heatstream.errors import InputError
from heatstream.files import replacing

__all__ = ["FORMAT", "Camera", "Rate", "Record", "Run", "Stage", "median", "spread"]

KIND = "heatstream bench"
FORMAT = 1
SPREAD = (10, 90)
"""Percentiles between which most turns lie."""


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return float(np.median(values))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Between which of the values most of them lie: the 10th and the 90th percentile."""
    low, high = np.percentile(values, SPREAD)
    return float(low), float(high)


@dataclass(frozen=True)
class Rate:
    """How fast a scenario is.

    Attributes:
        title: human-readable name.
        fps: images (or faces) per second in each turn.
        cpu_seconds: of this process for each image, in each turn; None where it was not counted.
        images: counted in all turns.
    """

    title: str
    fps: tuple[float, ...]
    cpu_seconds: tuple[float, ...] | None
    images: int


@dataclass(frozen=True)
class Stage:
    """A stage's time over all frames, in seconds.

    Attributes:
        p50: the median.
        p99: what 99 of 100 frames stayed below.
        share: of the frame's time, 0..1, over all frames together.
        turns: the median of each turn.
    """

    p50: float
    p99: float
    share: float
    turns: tuple[float, ...]


@dataclass(frozen=True)
class Camera:
    """What the pipeline does behind a camera.

    Attributes:
        fps: of the camera.
        results: frames that people were looked for in.
        dropped: frames that came when there was no time for them.
        latency: seconds from the moment a frame was due to its result: p50, p95 and p99.
        quantiles: the same at 0, 1, 2 ... 100 %, for the curve.
        turns: the median latency of each turn.
    """

    fps: float
    results: int
    dropped: int
    latency: Mapping[str, float]
    quantiles: tuple[float, ...]
    turns: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """One model in one size, with its own people or a made-up crowd.

    Attributes:
        model: its name.
        sha256: of its file.
        task: ``"pose"`` or ``"landmarks"``.
        precision: of its file.
        input_size: (height, width) px that the network sees.
        frames: what it looked at, human-readable.
        frame_size: (height, width) px of that.
        crowd: made-up people in every frame; None for those who are there.
        people: found per frame on average; None for landmarks.
        engine: library and device.
        load_seconds: from the name to a pipeline that is ready.
        first_seconds: of the first frame, which warms everything up.
        rates: by the scenarios' keys.
        stages: of one frame at a time, by the names of :class:`heatstream.results.StageTimes`.
        camera: behind a camera; None for landmarks.
        meters: memory and power during the stream at full speed, by the meter's name.
        gpu_stages: seconds on the GPU's clock, by the stage's name; empty on a CPU.
    """

    model: str
    sha256: str
    task: str
    precision: str
    input_size: tuple[int, int]
    frames: str
    frame_size: tuple[int, int]
    crowd: int | None
    people: float | None
    engine: str
    load_seconds: float
    first_seconds: float
    rates: Mapping[str, Rate]
    stages: Mapping[str, Stage] = field(default_factory=dict)
    camera: Camera | None = None
    meters: Mapping[str, Reading] = field(default_factory=dict)
    gpu_stages: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Human-readable name of the run."""
        crowd = "" if self.crowd is None else f", {self.crowd} made-up {'person' if self.crowd == 1 else 'people'}"
        return f"{self.model}, {self.input_size[0]}x{self.input_size[1]}{crowd}"

    def best_engine(self) -> str | None:
        """The key of the engine's fastest scenario, whatever batch or arrangement that is."""
        scenarios = {key: median(rate.fps) for key, rate in self.rates.items() if key.startswith("engine")}
        return max(scenarios, key=scenarios.__getitem__) if scenarios else None

    def ratio(self, scenario: str, other: str) -> tuple[float, ...]:
        """Rate of one scenario over that of another, turn by turn; empty when either was not measured."""
        if scenario not in self.rates or other not in self.rates:
            return ()
        pairs = zip(self.rates[scenario].fps, self.rates[other].fps, strict=True)
        return tuple(first / second for first, second in pairs)


@dataclass(frozen=True)
class Record:
    """All that a command measured, and on what.

    Attributes:
        made: when, in ISO 8601.
        machine: as of :class:`heatstream.demo.benchmark.machine.Machine`.
        software: versions by library.
        settings: the command's, as far as the figures depend on them.
        interrupted: not everything that was asked for is here.
        runs: one for each model, size and crowd.
    """

    made: str
    machine: Mapping[str, Any]
    software: Mapping[str, str]
    settings: Mapping[str, Any]
    interrupted: bool
    runs: tuple[Run, ...]

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            SinkError: the file cannot be written.
        """
        content = {"kind": KIND, "format": FORMAT, **asdict(self)}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Record:
        """Read what :meth:`write` wrote.

        Raises:
            InputError: the file cannot be read, is not such a record, or is of a newer format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"the record {path} cannot be read: {(error.strerror or 'error').lower()}") from None
        except ValueError:  # broken JSON and broken UTF-8
            content = None
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise InputError(f"{path} is no record of `heatstream bench --json`: give one of those")
        if content.get("format") != FORMAT:
            raise InputError(
                f"the record {path} is of format {content.get('format')}, this heatstream reads {FORMAT}: measure again"
            )
        try:
            runs = tuple(_run(item) for item in content["runs"])
            known = {name: content[name] for name in ("made", "machine", "software", "settings", "interrupted")}
            return cls(**known, runs=runs)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the record {path} is damaged ({error!r}): measure again") from None


def _run(item: Mapping[str, Any]) -> Run:
    camera = item["camera"]
    return Run(
        **{
            name: item[name] for name in ("model", "sha256", "task", "precision", "frames", "crowd", "people", "engine")
        },
        **{name: item[name] for name in ("load_seconds", "first_seconds")},
        input_size=_pair(item["input_size"]),
        frame_size=_pair(item["frame_size"]),
        rates={key: Rate(**_tuples(rate)) for key, rate in item["rates"].items()},
        stages={name: Stage(**_tuples(stage)) for name, stage in item["stages"].items()},
        camera=None if camera is None else Camera(**_tuples(camera)),
        meters={name: Reading(**reading) for name, reading in item["meters"].items()},
        gpu_stages={name: Stage(**_tuples(stage)) for name, stage in item["gpu_stages"].items()},
    )


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def _tuples(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in item.items()}
