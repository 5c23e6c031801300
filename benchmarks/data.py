"""How many training samples a second one worker makes: ``python -m benchmarks.data --root DIR``.

"per core" counts the seconds of one core that the work itself takes, "loader" the seconds until a worker's batches
reach the training, which other work on the machine prolongs.

The frames are held in memory, as in a training after its start. DIR holds ``SET.json`` and the folder ``SET``; the
augmentations are taken in turn, so that a shared machine treats them alike.
"""

from __future__ import annotations

import argparse
import platform
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from heatstream.models.data.loader import loader
from heatstream.models.pose.dataset import TrainingSet, load_training_set
from heatstream.models.settings import AugmentSettings, DataSettings, SetSettings
from heatstream.models.torch_import import torch
from heatstream.skeletons import get

BATCH = 16
PREFETCHED = 5
"""Batches left out at both ends: those that wait already when the clock starts, and those never asked for."""

AUGMENTS = {
    "none": AugmentSettings(rotation=0, scale=(1, 1), translation=0, flip=0),
    "paper": AugmentSettings(),
    "photometric": AugmentSettings(zoom_people=0.5, colour=0.5, grey=0.1, blur=0.1, jpeg=0.2, cutout=0.2),
    "mosaic": AugmentSettings(mosaic=1),
}


def through_the_loader(training_set: TrainingSet, steps: int) -> float:
    """Samples a second that reach the caller from one worker, busy throughout."""
    batches = loader(training_set, batch=BATCH, start_step=0, steps=steps + 2 * PREFETCHED, workers=1)
    for _ in islice(batches, PREFETCHED):
        pass
    start = time.perf_counter()
    for _ in islice(batches, steps):
        pass
    return steps * BATCH / (time.perf_counter() - start)


def per_core(training_set: TrainingSet, steps: int) -> float:
    """Samples per second of one core's time, which other work on the machine takes less from."""
    start = time.process_time()
    for _ in loader(training_set, batch=BATCH, start_step=0, steps=steps, workers=0):
        pass
    return steps * BATCH / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the sets")
    parser.add_argument("--set", default="coco_people/train", help="its name below the root")
    parser.add_argument("--cache-gb", type=float, default=4.0, help="memory for frames; 0 decodes every one anew")
    parser.add_argument("--skeleton", default="coco-17")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512], help="sides of the samples in px")
    parser.add_argument("--steps", type=int, default=20, help=f"timed batches of {BATCH} per run")
    parser.add_argument("--runs", type=int, default=5, help="runs of each")
    arguments = parser.parse_args()

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    sets = (SetSettings(f"{arguments.set}.json", arguments.set),)
    table = Table(title=f"samples of one worker a second, {platform.processor() or platform.machine()}")
    for heading in ("augmentation", "size", "per core", "range", "loader", "range"):
        table.add_column(heading, justify="right")
    with Progress(transient=True) as progress:
        skeleton = get(arguments.skeleton)
        settings = DataSettings(sets, root=str(arguments.root), cache_gb=arguments.cache_gb)
        loaded = load_training_set(settings, AUGMENTS["none"], skeleton, seed=0, progress=progress)
        cases = [(size, name) for size in arguments.sizes for name in AUGMENTS]
        found: dict[tuple[int, str], list[tuple[float, float]]] = {case: [] for case in cases}
        task = progress.add_task("timing", total=len(cases) * arguments.runs)
        for _ in range(arguments.runs):
            for size, name in cases:
                one = TrainingSet(
                    [(sets[0], loaded.photos)], size=size, augment=AUGMENTS[name], skeleton=skeleton, seed=0
                )
                one.frames = loaded.frames
                found[size, name].append((per_core(one, arguments.steps), through_the_loader(one, arguments.steps)))
                progress.advance(task)
    for (size, name), runs in found.items():
        cells = []
        for speeds in zip(*runs, strict=True):
            cells += [f"{np.median(speeds):.0f}", f"{min(speeds):.0f}-{max(speeds):.0f}"]
        table.add_row(name, str(size), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
