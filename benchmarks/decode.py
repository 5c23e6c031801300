"""How long the decode takes on this CPU, by the number of people: ``python -m benchmarks.decode``.

Made-up maps of 17 joints at 256x256 with two tag dimensions, adjusted and refined. The plain form of the official
rule runs alternately with it in the same process, so that the ratio means something on a shared machine. The kernels on
a GPU are timed by ``python -m benchmarks.decode_gpu``.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.plain_parser import parse_plainly
from heatstream.kernels import decode_poses
from heatstream.kernels.synthetic import make_scene
from heatstream.skeletons import COCO_17


def timed(job: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    job()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", default=[0, 1, 5, 15, 30], help="scene sizes")
    parser.add_argument("--runs", type=int, default=15, help="timed runs of each; three more warm up")
    parser.add_argument("--size", type=int, default=256, help="side of the maps in px")
    parser.add_argument(
        "--lost", action="store_true", help="the tags of joints that people lack are nowhere on their maps"
    )
    arguments = parser.parse_args()

    table = Table(title=f"decode, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    for heading in ("people", "groups", "decode p50 ms", "p10-p90", "plain p50 ms", "p10-p90", "ratio of medians"):
        table.add_column(heading, justify="right")
    for people in track(arguments.people, description="timing", transient=True):
        scene = make_scene(
            np.random.default_rng(people), people, size=(arguments.size, arguments.size), hidden_tags=not arguments.lost
        )
        heatmaps, tags = scene.heatmaps[None], scene.tags[None]
        groups = len(decode_poses(heatmaps, tags)[0])
        ours, plain = [], []
        for run in range(arguments.runs + 3):
            one = timed(lambda: decode_poses(heatmaps, tags))  # noqa: B023 (called at once)
            other = timed(lambda: parse_plainly(scene.heatmaps, scene.tags, COCO_17.grouping_order))  # noqa: B023
            if run >= 3:
                ours.append(one)
                plain.append(other)
        cells = [f"{np.median(ours):.2f}", "{:.2f}-{:.2f}".format(*np.quantile(ours, [0.1, 0.9]))]
        cells += [f"{np.median(plain):.1f}", "{:.1f}-{:.1f}".format(*np.quantile(plain, [0.1, 0.9]))]
        table.add_row(str(people), str(groups), *cells, f"{np.median(plain) / np.median(ours):.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
