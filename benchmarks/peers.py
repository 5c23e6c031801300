"""Ours against what else one would pick, on the same frames, in one run: ``python -m benchmarks.peers --write``.

Two tables. *Post-processing alone*: the same made-up maps of 1 to 30 people through our decode and through the official
way of HigherHRNet and SWAHR as we wrote it down ourselves: peaks by PyTorch's top-k, grouping one person at a time in
Python (benchmarks/rivals.py, benchmarks/plain_parser.py). *Whole frame*: our pipeline; the very same network with that
post-processing behind it; and rivals that are installed: YOLO pose networks of the package ultralytics, made from their
description with random weights, which take as long as trained ones but find nobody, so that their post-processing has
nothing to do. All take turns; a ratio is taken within each turn.

With ``--device cuda`` our pipeline runs on the GPU, on frames with people instead of made-up crowds, and the others in
PyTorch on the same GPU. Ultralytics is licensed under the AGPL: it measures here and is no part of heatstream.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

import heatstream
from benchmarks.rivals import TorchParser
from heatstream.demo.benchmark.frames import FrameFeed, open_feed
from heatstream.demo.benchmark.machine import describe_machine, software
from heatstream.demo.benchmark.record import median, spread
from heatstream.demo.benchmark.sampling import TimedWindow, alone
from heatstream.demo.benchmark.scenarios import PIPELINE, pose_scenarios
from heatstream.demo.benchmark.stub_engines import ResizedEngine, StubPeopleEngine
from heatstream.kernels import DecodeSettings
from heatstream.models.torch_import import torch
from heatstream.runtime.pipelines.base import PosePipeline
from heatstream.runtime.pipelines.pose import CpuPosePipeline, NetworkOutput
from heatstream.skeletons import COCO_17

__all__ = ["Result", "report", "take_turns"]

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks" / "peers.md"
OURS, ALONE = "heatstream, as a stream", "heatstream, one at a time"
ABSENT = (
    "mediapipe, rtmlib: their wheels bring no pose model, which is a download of its own",
    "mmpose: needs mmcv, which comes as sources alone and does not build against the PyTorch used here",
    "openpifpaf: comes as sources alone and was not built after minutes",
    "trt_pose, torch2trt, litepose, simple-HigherHRNet: not on PyPI",
)
"""What else one would think of, and why it is not here."""

OFFICIAL = "the same network, official way"
YOLO = ("yolo11n-pose", "yolo26n-pose")
ACCURACY = {
    "swahr-small": "38.4 at 256 px",
    "swahr-tiny": "29.1 at 256 px",
    "yolo11n-pose": "50.0 at 640 px",
    "yolo26n-pose": "57.2 at 640 px",
}
"""AP: ours on our 300 photographs of COCO, as their cards say; theirs on COCO val2017, as ultralytics publishes it."""

SIDE = 256
"""Of the networks' input, px."""

SETTINGS = DecodeSettings()  # the official ones, which the plain way has too
Work = Callable[[float], TimedWindow]


@dataclass(frozen=True)
class Result:
    """What a way did in its turns.

    Attributes:
        fps: frames per second in each turn.
        cpu_ms: milliseconds of all cores together per frame, in each turn.
    """

    fps: tuple[float, ...]
    cpu_ms: tuple[float, ...]


def take_turns(ways: Mapping[str, Work], *, turns: int, seconds: float, moved: Callable[[], None]) -> dict[str, Result]:
    """Let every way work for so many seconds in each turn, there and back."""
    slices: dict[str, list[TimedWindow]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways) if turn % 2 == 0 else reversed(list(ways)):
            slices[name].append(ways[name](seconds))
            moved()
    return {
        name: Result(
            tuple(one.images / one.seconds for one in done), tuple(1e3 * one.cpu_seconds / one.images for one in done)
        )
        for name, done in slices.items()
    }


def decode_ways(pipeline: CpuPosePipeline, people: int, device: str) -> dict[str, Work]:
    """Post-processing alone, on maps of so many people."""
    crowd = StubPeopleEngine(pipeline.engine, people)
    prepared = pipeline.prepare(np.zeros((512, 512, 3), np.uint8))
    maps = crowd.run(prepared.images[0])
    inferred = NetworkOutput((maps,), prepared.geometries, prepared.size)
    return {
        "heatstream": lambda seconds: alone(lambda _: pipeline.decode(inferred), seconds),
        "official way": lambda seconds: alone(lambda _: parse_officially(maps, device), seconds),
    }


def parse_officially(maps: Mapping[str, NDArray[np.float32]], device: str) -> list[NDArray[np.float32]]:
    """The network's maps to people as the official programs do it."""
    arrays = (maps["heatmaps_quarter"], maps["heatmaps_half"], maps["tags"])
    return TorchParser(*arrays, COCO_17.grouping_order, device=device)()


def frame_ways(ours: PosePipeline, plain: CpuPosePipeline, feed: FrameFeed, device: str) -> dict[str, Work]:
    """Whole frames: our pipeline, and a network with the official post-processing behind it."""

    def official(number: int) -> None:
        images = plain.prepare(feed.frames[number % len(feed.frames)]).images[0]
        parse_officially(plain.engine.run(images), device)

    stream = {way.key: way.run for way in pose_scenarios(ours, feed, fps=30)}[PIPELINE]
    return {
        OURS: stream,
        ALONE: lambda seconds: alone(lambda number: ours(feed.frames[number % len(feed.frames)]), seconds),
        OFFICIAL: lambda seconds: alone(official, seconds),
    }


def yolo_ways(
    feed: FrameFeed, size: int, threads: int | None, device: str, folder: Path
) -> tuple[dict[str, Work], list[str]]:
    """YOLO pose networks with random weights, as their package runs them; and what is missing."""
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        ultralytics: Any = importlib.import_module("ultralytics")
    except Exception as error:  # it fails in many ways where torchvision is missing or of another build
        return {}, [f"ultralytics: {' '.join(str(error).split())}"]
    ways: dict[str, Work] = {}
    missing = []
    before = Path.cwd()
    os.chdir(folder)  # it writes where it stands
    try:
        for name in YOLO:
            try:
                model = ultralytics.YOLO(f"{name}.yaml")
                if device == "cpu":
                    file = model.export(format="onnx", imgsz=size, simplify=False, verbose=False)
                    model = ultralytics.YOLO(str(folder / file), task="pose")
                way = yolo_way(model, feed, size, device)
                way(0)
            except Exception as error:
                missing.append(f"{name}: {' '.join(str(error).split())}")
                continue
            ways[name] = way
    finally:
        os.chdir(before)
    return ways, missing


def yolo_way(model: Any, feed: FrameFeed, size: int, device: str) -> Work:
    """Their ``predict``, one frame at a time."""

    def work(number: int) -> None:
        model.predict(feed.frames[number % len(feed.frames)], imgsz=size, verbose=False, device=device)

    return lambda seconds: alone(work, seconds)


def counted(people: int) -> str:
    """So many, in words."""
    return f"{people} {'person' if people == 1 else 'people'}"


def rows(results: Mapping[str, Result], ours: Sequence[str], accuracy: Mapping[str, str] | None = None) -> list[str]:
    """Table rows: each way's median, spread and CPU time, how many times as fast each of ours is, and AP if given."""
    head = [
        "",
        "frames per second (10-90 %)",
        "CPU ms",
        *(f"{name} is faster by" for name in ours),
        "and in CPU time by",
        *([] if accuracy is None else ["AP"]),
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, result in results.items():
        low, high = spread(result.fps)
        cells = [name, f"{median(result.fps):.1f} ({low:.1f}-{high:.1f})", f"{median(result.cpu_ms):.1f}"]
        ratios = [[mine / its for mine, its in zip(results[one].fps, result.fps, strict=True)] for one in ours]
        ratios.append([its / mine for mine, its in zip(results[ours[0]].cpu_ms, result.cpu_ms, strict=True)])
        for values in ratios:
            low, high = spread(values)
            cells.append("" if name in ours else f"**{median(values):.2f}** ({low:.2f}-{high:.2f})")
        cells += [] if accuracy is None else [accuracy.get(name, "unknown")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def report(
    header: Sequence[str],
    decode: Mapping[int, Mapping[str, Result]],
    frame: Mapping[str, Mapping[str, Result]],
    missing: Sequence[str],
    model: str,
) -> str:
    """The page; `model` is the name of our network."""
    lines = ["# Against others", "", *header, "", "## Post-processing alone", ""]
    lines += [
        "Made-up maps, as the network gives them (heatmaps at 1/4 and 1/2 of 256x256 px, tags at 1/4), to people.",
        "*official way*: peaks by PyTorch's top-k, grouping and refinement one person at a time in Python, as the",
        "programs of HigherHRNet and SWAHR do it; our own re-implementation (`benchmarks/rivals.py`), not theirs.",
        "",
    ]
    for people, results in decode.items():
        lines += [f"### {counted(people)}", "", *rows(results, ["heatstream"]), ""]
    lines += ["## Whole frame", ""]
    lines += [
        "From a 512x512 px frame in memory to people, network input 256x256 px in every way, on all cores. *the same",
        "network, official way*: our letterbox and our network with that post-processing behind it. Crowds are made",
        "up: the network runs, then its maps are replaced. The YOLO networks come from the package ultralytics (AGPL,",
        "measured here, no part of heatstream) with random weights, through their `predict`: they find nobody, so",
        "their post-processing is as quick as it gets. `predict` and the official way take one frame at a time: the",
        "like of them is *heatstream, one at a time*; as a stream it has several in hand, which is what videos get.",
        "AP stands beside the times, and is not compared: ours is of our own 300 photographs of COCO, at the input",
        "that is timed; theirs is what is published for trained weights on COCO val2017, at 640 px, six times the",
        "pixels, and is not known at 256 px.",
        "",
    ]
    accuracy = ACCURACY | {way: ACCURACY.get(model, "unknown") for way in (OURS, ALONE, OFFICIAL)}
    for case, results in frame.items():
        lines += [f"### {case} in view", "", *rows(results, [OURS, ALONE], accuracy), ""]
    lines += ["## Not compared", "", *(f"- {reason}" for reason in (*missing, *ABSENT)), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="swahr-tiny", help="of any size")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 5, 15, 30], help="crowds")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="for a way in a turn")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name} among the documents")
    options = parser.parse_args()

    device, on_gpu = options.device, options.device != "cpu"
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    feed = open_feed(None)
    decode: dict[int, dict[str, Result]] = {}
    frame: dict[str, dict[str, Result]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loaded = stack.enter_context(heatstream.load(options.model, "cpu", options.threads))
        pipeline = CpuPosePipeline(ResizedEngine(loaded.engine, (SIDE, SIDE)), SETTINGS)
        yolo, missing = yolo_ways(feed, SIDE, options.threads, device, folder)
        bar = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = bar.add_task("taking turns", total=None)
        common: dict[str, Any] = {"turns": options.turns, "seconds": options.seconds}
        common["moved"] = lambda: bar.advance(task)
        for people in options.people:
            decode[people] = take_turns(decode_ways(pipeline, people, device), **common)
        if on_gpu:
            ours = stack.enter_context(heatstream.load(options.model, device, wait=True))
            torched = stack.enter_context(heatstream.load(options.model, device, engine="torch"))
            plain = CpuPosePipeline(torched.engine)
            ours.warm_up(*feed.size)
            frame[f"{feed.name}, {ours.engine.name}"] = take_turns(
                frame_ways(ours, plain, feed, device) | yolo, **common
            )
        else:
            for people in options.people:
                crowded = CpuPosePipeline(StubPeopleEngine(pipeline.engine, people), SETTINGS)
                frame[counted(people)] = take_turns(frame_ways(crowded, crowded, feed, device) | yolo, **common)
    machine, versions = describe_machine(), software()
    header = [
        f"`python -m benchmarks.peers --turns {options.turns} --seconds {options.seconds:g}` on {machine.cpu}, "
        f"{machine.cores} cores"
        + "".join(f", {gpu['name']}" for gpu in machine.gpus)
        + f", with a load of {machine.load} per core from other work;",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "Medians over the turns and, in brackets, 10 to 90 % of them. Where other work takes cores, the ratios of CPU",
        "time are the steadier ones.",
    ]
    page = report(header, decode, frame, missing, options.model)
    Console().print(page, markup=False, highlight=False, soft_wrap=True)
    if options.write:
        DOCUMENT.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
