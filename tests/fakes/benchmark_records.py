"""Records made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from heatstream.demo.benchmark.meters import Reading
from heatstream.demo.benchmark.record import Camera, Rate, Record, Run, Stage

MACHINE: dict[str, Any] = {
    "cpu": "Abacus 2",
    "cores": 2,
    "memory_gib": 4.0,
    "system": "Linux",
    "board": None,
    "governor": "performance",
    "cpu_mhz": 2000,
    "load": 0.1,
    "gpus": [],
}

STEADY = (0.99, 1.0, 1.0, 1.0, 1.01)
"""Turns of a figure of 1 that hardly varies."""


def turns(value: float, spread: tuple[float, ...] = STEADY) -> tuple[float, ...]:
    """A figure's turns."""
    return tuple(value * factor for factor in spread)


def a_run(
    *,
    engine_fps: float = 50.0,
    beside_fps: float = 80.0,
    stream_fps: float = 60.0,
    spread: tuple[float, ...] = STEADY,
    **changes: Any,
) -> Run:
    """A run of a pose model with these rates."""

    def rate(title: str, fps: float) -> Rate:
        return Rate(title, turns(fps, spread), tuple(2 / one for one in turns(fps, spread)), 500)

    run = Run(
        model="tiny",
        sha256="0" * 64,
        task="pose",
        precision="fp32",
        input_size=(256, 256),
        frames="a photograph",
        frame_size=(512, 512),
        crowd=None,
        people=1.0,
        engine="fake, 2 threads",
        load_seconds=0.1,
        first_seconds=0.05,
        rates={
            "engine": rate("engine, one at a time", engine_fps),
            "engine_throughput": rate("engine, 3 side by side", beside_fps),
            "frame": rate("pipeline, one at a time", 40.0),
            "pipeline": rate("pipeline, as a stream", stream_fps),
            "camera": rate("behind a camera of 30 FPS", 30.0),
        },
        stages={
            "preprocess": Stage(0.001, 0.002, 0.05, turns(0.001, spread)),
            "engine": Stage(0.017, 0.02, 0.85, turns(0.017, spread)),
            "decode": Stage(0.002, 0.004, 0.1, turns(0.002, spread)),
        },
        camera=Camera(
            30.0,
            200,
            3,
            {"p50": 0.02, "p95": 0.03, "p99": 0.04},
            tuple(0.01 + 0.0003 * percent for percent in range(101)),
            turns(0.02, spread),
        ),
        meters={"memory_mib": Reading(200.0, 210.0)},
    )
    return replace(run, **changes)


def a_record(*runs: Run, **changes: Any) -> Record:
    """A record of these runs, or of one."""
    record = Record(
        made="2026-01-01T00:00:00+00:00",
        machine=MACHINE,
        software={"heatstream": "0.1.0", "onnxruntime": "1.31.1"},
        settings={"seconds": 10.0},
        interrupted=False,
        runs=runs or (a_run(),),
    )
    return replace(record, **changes)
