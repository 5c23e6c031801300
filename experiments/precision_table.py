"""What FP16 and INT8 cost in accuracy: one checkpoint exported in each precision, measured on labelled photographs.

INT8 is calibrated on several sets of training photographs that are drawn by seed, so that the table shows how much of
a difference is chance; and with every layer in INT8, which shows what leaving out sensitive ones buys. All of it runs
on a CPU, as the very files that engines are built from.

    python experiments/precision_table.py --data shared/data --out docs/results/precision.md
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from heatstream.catalog import bundled_path
from heatstream.demo.evaluation.engine import samples_of
from heatstream.demo.evaluation.photographs import as_fed
from heatstream.engine_builder.export.int8 import DRIFT_BOUND, Photographs
from heatstream.engine_builder.export.model import ExportReport, export_model
from heatstream.engine_builder.trt.verification import Verification, compare, onnx_runner
from heatstream.model_info import ModelInfo
from heatstream.models.checkpoint_network import open_network, sized
from heatstream.models.data.root import find_root
from heatstream.models.pose.evaluation import evaluate
from heatstream.pictures import read_picture
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from heatstream.runtime.sources.images import list_pictures

NETWORK = "swahr-tiny"
SIZE = "any"
COMPARED = 64
"""Photographs of the validation set on which every file is compared with the one in FP32."""

ROUNDS = 30
"""How often every file is timed, in turns with the others."""

COLUMNS = (
    *("precision", "AP", "AP50", "AP75", "AR", "file, MB", "layers in INT8", "maps drift", "found again", "more"),
    *("keypoints move, px", "CPU time"),
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    label: str
    report: ExportReport
    metrics: Mapping[str, float]
    against: Verification
    cost: float


def main() -> None:
    """Export, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shared/data", help="folder that holds coco_people, here or in one above")
    parser.add_argument("--out", type=Path, default=Path("docs/results/precision.md"))
    parser.add_argument("--images", type=int, default=64, help="photographs to calibrate on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one INT8 file for each")
    parser.add_argument("--limit", type=int, default=0, help="only so many validation photographs")
    options = parser.parse_args()
    data = find_root(options.data) / "coco_people"

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for label, report in exports(Path(folder), data / "train", options.images, options.seeds):
            print(f"measuring {label}", file=sys.stderr)
            plain = rows[0].report.path if rows else report.path
            metrics = accuracy(report.path, data, options.limit)
            rows.append(
                Row(label, report, metrics, against(plain, report.path, data / "val"), cost(plain, report.path))
            )
            options.out.write_text(document(rows, options))
    print(options.out.read_text())


def exports(folder: Path, images: Path, count: int, seeds: Sequence[int]) -> Iterator[tuple[str, ExportReport]]:
    """Every file of the table, by its label."""
    network, info = open_network(NETWORK, bundled_path(NETWORK).with_suffix(".pt"))
    info = sized(info, SIZE)
    for precision in ("fp32", "fp16"):
        yield precision.upper(), export_model(network, info, folder / f"{precision}.onnx", precision=precision)
    for seed in seeds:
        photographs = drawn(images, count, seed, info)
        yield f"INT8, seed {seed}", int8(network, info, folder / f"int8-{seed}.onnx", photographs, DRIFT_BOUND)
        every = int8(network, info, folder / f"every-{seed}.onnx", photographs, math.inf)
        yield f"INT8 in every layer, seed {seed}", every


def int8(network: nn.Module, info: ModelInfo, path: Path, photographs: Photographs, bound: float) -> ExportReport:
    """An INT8 file."""
    print(f"calibrating {path.stem}", file=sys.stderr)
    return export_model(network, info, path, precision="int8", photographs=photographs, drift_bound=bound)


def drawn(folder: Path, count: int, seed: int, info: ModelInfo) -> Photographs:
    """Photographs of a folder, drawn by seed."""
    paths = random.Random(seed).sample(list_pictures(folder), count)
    images = [as_fed(read_picture(path)[0], info) for path in paths]
    return Photographs(folder.name, tuple(path.name for path in paths), images)


def accuracy(path: Path, data: Path, limit: int) -> Mapping[str, float]:
    """AP and AR through the pipeline that `heatstream run` uses."""
    with CpuPosePipeline(OnnxEngine(path)) as pipeline:
        many = pipeline.for_throughput()
        workers, skeleton = pipeline.engine.parallel_runs, pipeline.info.skeleton
        found = evaluate(
            lambda frame: many(frame).poses,
            data / "val.json",
            data / "val",
            skeleton=skeleton,
            limit=limit,
            workers=workers,
        )
    return found.metrics


def against(reference: Path, path: Path, photographs: Path) -> Verification:
    """How far a file is from the one in FP32, as `heatstream build --verify` says it of an engine."""
    engine = OnnxEngine(reference)
    try:
        info, samples = engine.info, samples_of(engine, photographs, COMPARED)
        runs = onnx_runner(reference, info), onnx_runner(path, info)
        return compare(*runs, samples, folder=photographs.name, limit=math.inf)
    finally:
        engine.close()


def cost(reference: Path, path: Path) -> float:
    """CPU time of one run on one thread, relative to the FP32 file's: medians of runs in turns, so that what else
    runs on the machine meets both."""
    engines = [OnnxEngine(reference, 1), OnnxEngine(path, 1)]
    height, width = engines[0].info.input_size
    image = np.zeros((1, 3, height, width), np.float32)
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS + 1):
        for engine, times in zip(engines, taken, strict=True):
            start = time.process_time()
            engine.run(image)
            times.append(time.process_time() - start)
    for engine in engines:
        engine.close()
    before, after = (statistics.median(times[1:]) for times in taken)
    return after / before


def document(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The page."""
    plain = rows[0]
    command = (
        f"python experiments/precision_table.py --images {options.images} --seeds {' '.join(map(str, options.seeds))}"
    )
    photographs = f"the first {options.limit}" if options.limit else "all"
    size = "x".join(map(str, plain.report.info.input_size))
    lines = [
        "# What FP16 and INT8 cost in accuracy",
        "",
        f"`{NETWORK}` at a short side of {plain.report.info.input_size[0]} px, its included checkpoint exported in",
        f"each precision; {photographs} photographs of `coco_people/val`, through the pipeline of `heatstream run`.",
        f"INT8 is calibrated on {options.images} photographs of `coco_people/train`, drawn by seed. On a CPU with ONNX",
        f"Runtime, from the very files that engines are built from, by `{command}`.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{'---|' * len(COLUMNS)}",
        *(line(row) for row in rows),
        "",
        "- *maps drift*: of the worst output from the FP32 file, root mean square relative to its range; *found",
        f"  again* of the people that the FP32 file finds in {plain.against.frames} validation photographs, and how",
        "  many *more*; *keypoints move*: median and 95th percentile, in px of the photograph.",
        f"- *CPU time* of one {size} image on one thread, relative to FP32: medians of {ROUNDS} runs in turns. FP16",
        "  and INT8 files are for GPUs: ONNX Runtime converts between float16 and float32 around most layers.",
        "- *in every layer* is without the rule that leaves sensitive layers in FP16.",
        *left_out(rows),
    ]
    return "\n".join(lines) + "\n"


def line(row: Row) -> str:
    """One row of the table."""
    moved = row.against.keypoints_px
    cells = [
        row.label,
        *(f"{row.metrics[name]:.1f}" for name in ("AP", "AP50", "AP75", "AR")),
        f"{row.report.path.stat().st_size / 1e6:.1f}",
        str(row.report.int8_layers or ""),
        f"{max(row.against.maps_rms.values()):.2%}",
        f"{row.against.matched} of {row.against.people}",
        str(row.against.added),
        f"{moved[0]:.2f}, {moved[1]:.2f}" if moved else "",
        f"{row.cost:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def left_out(rows: Sequence[Row]) -> Iterator[str]:
    """Which layers stayed in FP16."""
    for row in rows:
        origin = row.report.info.quantisation
        if origin is not None and origin["left_out"]:
            yield f"- *{row.label}* leaves in FP16: {', '.join(origin['left_out'])}."


if __name__ == "__main__":
    main()
