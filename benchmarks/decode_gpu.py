"""How long the kernels take on this GPU: ``python -m benchmarks.decode_gpu --out FOLDER``.

Made-up people on maps as a network gives them: 17 joints, float16, heatmaps at 1/4 and at 1/2 of its input, one tag per
joint; h3r positions and refinement. Every kernel by itself (the mean of 20 in one graph) and the whole decode as one
graph, against

  floor  the bytes that must be moved (benchmarks/traffic.py) over the bandwidth of a large copy, measured before
  reference   the same maps through our CPU decode
  plain  peaks by PyTorch on the GPU, grouping and refinement one person at a time on the CPU (benchmarks/rivals.py)

Maps lie in the L2 cache where they fit, as they do when the network has just written them. Writes decode-gpu.md, .json
and .svg into the folder.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.plot import curves
from benchmarks.rivals import TorchParser
from benchmarks.traffic import chain_bytes, letterbox_bytes, work_of
from heatstream.extras import require
from heatstream.kernels import DecodeSettings, Geometry, aggregate, decode_poses
from heatstream.kernels.cuda.device import CupyDevice
from heatstream.kernels.cuda.group import group
from heatstream.kernels.cuda.letterbox import describe, letterbox, letterbox_macros
from heatstream.kernels.cuda.maps import DeviceMaps
from heatstream.kernels.cuda.pack import pack
from heatstream.kernels.cuda.peaks import select_peaks, tile_peaks
from heatstream.kernels.cuda.pose_decoder import PoseDecoder
from heatstream.kernels.cuda.refine import refine
from heatstream.kernels.synthetic import make_scene
from heatstream.skeletons import COCO_17

__all__ = ["measure", "report"]

SETTINGS = DecodeSettings(adjust="h3r")
REPEATS = 20  # of one kernel in a graph, so that starting a graph weighs little
COPY_BYTES = 1 << 30
Work = Callable[[], object]


@dataclass(frozen=True)
class Scene:
    """Maps of a batch as a network gives them."""

    quarter: NDArray[np.float16]
    half: NDArray[np.float16]
    tags: NDArray[np.float16]

    @classmethod
    def make(cls, people: int, side: int, images: int) -> Scene:
        scenes = [
            make_scene(np.random.default_rng(seed), people, size=(side, side), tag_size=1) for seed in range(images)
        ]
        half = np.stack([scene.heatmaps for scene in scenes]).astype(np.float16)
        tags = np.stack([scene.tags[..., 0] for scene in scenes]).astype(np.float16)
        return cls(np.ascontiguousarray(half[:, :, ::2, ::2]), half, np.ascontiguousarray(tags[:, :, ::2, ::2]))


class Timer:
    """Times work on one stream, microseconds."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.events = cupy.cuda.Event(), cupy.cuda.Event()

    def graph(self, job: Work, repeats: int = 1) -> Any:
        """What `job` puts on the stream, `repeats` times, as a CUDA graph."""
        with self.stream:
            self.stream.begin_capture()
            for _ in range(repeats):
                job()
            return self.stream.end_capture()

    def times(self, job: Work, runs: int) -> NDArray[np.float64]:
        """Each of `runs` runs by the GPU's clock, after some that warm up."""
        start, end = self.events
        times = []
        for _ in range(runs + max(3, runs // 10)):
            self.stream.record(start)
            job()
            self.stream.record(end)
            end.synchronize()
            times.append(self.cupy.cuda.get_elapsed_time(start, end) * 1e3)
        return np.array(times[-runs:])


def cpu_times(job: Work, *, seconds: float, most: int) -> NDArray[np.float64]:
    """Runs of something that waits for its own end, microseconds: at least three after one that warms up."""
    job()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or (len(times) < most and time.perf_counter() - begin < seconds):
        start = time.perf_counter()
        job()
        times.append((time.perf_counter() - start) * 1e6)
    return np.array(times)


def summary(times: NDArray[np.float64]) -> dict[str, float]:
    """Median, 99th percentile and the spread from the 10th to the 90th, microseconds."""
    p10, median, p90, p99 = np.quantile(times, [0.1, 0.5, 0.9, 0.99])
    return {"median": float(median), "p99": float(p99), "p10": float(p10), "p90": float(p90), "runs": len(times)}


def copy_bandwidth(cupy: Any, timer: Timer, nbytes: int) -> float:
    """Bytes read and written per microsecond by a copy within the GPU's memory."""
    source, target = cupy.zeros(nbytes, np.uint8), cupy.empty(nbytes, np.uint8)
    copy = functools.partial(target.data.copy_from_device_async, source.data, nbytes, timer.stream)
    return float(2 * nbytes / np.median(timer.times(copy, 20)))


def decode_case(cupy: Any, timer: Timer, scene: Scene, runs: int, bandwidth: float) -> dict[str, Any]:
    """One batch of maps: every kernel, the whole decode, and what it had to do."""
    arrays = [cupy.asarray(maps) for maps in (scene.quarter, scene.half, scene.tags)]
    maps = DeviceMaps.network((arrays[0], arrays[1]), arrays[2])
    chain = PoseDecoder.prepare(maps, SETTINGS)
    to_source = cupy.asarray(np.tile(np.eye(2, 3), (maps.images, 1, 1)))
    packed = cupy.empty(chain.packed_shape, np.int32)
    common: dict[str, Any] = {"stream": timer.stream}
    kernels, peaks, people = chain.kernels, chain.peaks, chain.people
    threshold = SETTINGS.detection_threshold
    # Each may run many times over: it finds its input as the one before it left it.
    steps: dict[str, Work] = {
        "tile_peaks": lambda: tile_peaks(kernels, maps, peaks, threshold=threshold, **common),
        "select_peaks": lambda: select_peaks(kernels, maps, peaks, **common),
        "group": lambda: group(kernels, peaks, people, SETTINGS, **common),
        "refine": lambda: refine(kernels, maps, people, **common),
        "pack": lambda: pack(kernels, maps, peaks, people, to_source, packed, capacity=chain.capacity, **common),
    }
    whole = timer.graph(lambda: chain.launch(maps, to_source, packed, **common))
    result: dict[str, Any] = {"decode": summary(timer.times(lambda: whole.launch(timer.stream), runs))}
    for name, step in steps.items():
        graph = timer.graph(step, REPEATS)
        result[name] = summary(timer.times(functools.partial(graph.launch, timer.stream), runs) / REPEATS)
    work = work_of(people.people.get(), people.members.get(), peaks.counts.get())
    needed = chain_bytes(chain, maps, work)
    for name, nbytes in (*needed.items(), ("decode", sum(needed.values()))):
        result[name] |= {"bytes": nbytes, "floor": nbytes / bandwidth}
    return result | {"groups": work.people}


def letterbox_case(
    cupy: Any, timer: Timer, size: tuple[int, int], short_side: int, runs: int, bandwidth: float
) -> dict[str, float]:
    """One frame to a network input of that many px on its short side."""
    frame = cupy.asarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    geometry = Geometry.reference(size, short_side)
    out = cupy.empty((1, 3, *geometry.input_size), np.float16)
    kernels = CupyDevice().kernels("letterbox", letterbox_macros(out))
    descriptors = cupy.asarray(describe([frame], [geometry]))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    graph = timer.graph(lambda: letterbox(kernels, descriptors, out, mean, std, stream=timer.stream), REPEATS)
    nbytes = letterbox_bytes(size, geometry)
    times = timer.times(lambda: graph.launch(timer.stream), runs) / REPEATS
    return summary(times) | {"bytes": nbytes, "floor": nbytes / bandwidth}


def measure(
    cupy: Any,
    *,
    people: Sequence[int],
    sides: Sequence[int],
    batches: Sequence[int],
    runs: int,
    seconds: float,
    copy_bytes: int = COPY_BYTES,
    frames: Sequence[tuple[int, int]] = ((1080, 1920), (2160, 3840)),
    short_side: int = 512,
    torch_device: str | None = "cuda",
) -> dict[str, Any]:
    """All figures; times in microseconds, as :func:`summary` gives them.

    Args:
        cupy: the module.
        people: scene sizes.
        sides: of the maps at 1/2, px.
        batches: images at once.
        runs: timed runs on the GPU.
        seconds: for each way on the CPU.
        copy_bytes: size of the copy that tells the bandwidth.
        frames: (height, width) of the letterbox's frames.
        short_side: of the network's input that the letterbox fills, px.
        torch_device: where the plain way finds its peaks; None leaves it out.
    """
    timer = Timer(cupy)
    with timer.stream:  # uploads come before the kernels that read them
        bandwidth = copy_bandwidth(cupy, timer, copy_bytes)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    result: dict[str, Any] = {"gpu": name, "bandwidth_tb_s": bandwidth / 1e6, "cases": [], "letterbox": []}
    grid = [(side, batch, count) for side in sides for batch in batches for count in people]
    for side, batch, count in track(grid, description="timing", transient=True):
        scene = Scene.make(count, side, batch)
        case = {"side": side, "batch": batch, "people": count}
        with timer.stream:
            case |= decode_case(cupy, timer, scene, runs, bandwidth)
        quarter, half, tags = (maps.astype(np.float32) for maps in (scene.quarter, scene.half, scene.tags))
        reference = lambda: decode_poses(*aggregate((quarter, half), tags), SETTINGS)  # noqa: B023, E731 (called at once)
        case["reference"] = summary(cpu_times(reference, seconds=seconds, most=50))
        if torch_device is not None:
            order = COCO_17.grouping_order
            plain = TorchParser(scene.quarter, scene.half, scene.tags, order, device=torch_device)
            case["plain"] = summary(cpu_times(plain, seconds=seconds, most=50))
        result["cases"].append(case)
    for size in frames:
        with timer.stream:
            times = letterbox_case(cupy, timer, size, short_side, runs, bandwidth)
        result["letterbox"].append({"height": size[0], "width": size[1], **times})
    return result


def report(result: Mapping[str, Any]) -> tuple[str, str]:
    """The figures as Markdown tables and as a plot in SVG."""
    ways = [way for way in ("decode", "reference", "plain") if way in result["cases"][0]]
    lines = [
        f"{result['gpu']}; a large copy moves {result['bandwidth_tb_s']:.2f} TB/s, bytes read and written. All times",
        "are in microseconds. *floor*: the bytes that must be moved over that bandwidth.",
        "",
        "| maps | batch | people | groups | way | median | p99 | 10 to 90 % | floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    kernels = ("tile_peaks", "select_peaks", "group", "refine", "pack")
    for case in result["cases"]:
        for way in (*ways, *kernels):
            start = f"| {case['side']}² | {case['batch']} | {case['people']} | {case['groups']} | {way} "
            lines.append(start + _cells(case[way]))
    lines += ["", "| letterbox of | median | p99 | 10 to 90 % | floor |", "|---|---|---|---|---|"]
    lines += [f"| {case['width']}x{case['height']} BGR " + _cells(case) for case in result["letterbox"]]

    people = sorted({case["people"] for case in result["cases"]})
    plotted: dict[str, list[float]] = {}
    for side, batch in sorted({(case["side"], case["batch"]) for case in result["cases"]}):
        for way in ways:
            here = [case for case in result["cases"] if (case["side"], case["batch"]) == (side, batch)]
            medians = {case["people"]: case[way]["median"] for case in here}
            plotted[f"{way}, {side}², batch {batch}"] = [medians[count] for count in people]
    plot = curves(f"The whole decode, {result['gpu']}", "people", "median, microseconds", people, plotted)
    return "\n".join(lines) + "\n", plot


def _cells(times: Mapping[str, float]) -> str:
    floor = f"{times['floor']:.2f}" if "floor" in times else ""
    return f"| {times['median']:.1f} | {times['p99']:.1f} | {times['p10']:.1f}-{times['p90']:.1f} | {floor} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables, the figures and the plot")
    parser.add_argument("--people", type=int, nargs="+", default=[0, 1, 5, 15, 30], help="scene sizes")
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="sides of the maps in px")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="images at once")
    parser.add_argument("--runs", type=int, default=500, help="timed runs of every graph")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each way on the CPU")
    options = parser.parse_args()
    cupy = require("cupy", extra="gpu", purpose="timing the kernels")
    result = measure(
        cupy,
        people=options.people,
        sides=options.sides,
        batches=options.batches,
        runs=options.runs,
        seconds=options.seconds,
    )
    table, plot = report(result)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "decode-gpu.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.out / "decode-gpu.md").write_text(table, encoding="utf-8")
    (options.out / "decode-gpu.svg").write_text(plot, encoding="utf-8")
    Console().print(table, highlight=False)


if __name__ == "__main__":
    main()
