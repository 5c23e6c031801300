"""What each part of SWAHR is worth: fixed sigma, SAHR, WAHR and both.

Every variant starts from the same weights, moves the same heads, and with the same seed sees the same samples in the
same order, as many as the others. A training that was interrupted goes on where it was, a finished one is not repeated.

    python experiments/swahr_ablation.py --out runs/ablation --seeds 1 2

Writes OUT/table.md, and OUT/<variant>-<seed>/ with each run and its evaluations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from heatstream.models.data.root import find_root

RECIPE = "heatstream/recipes/swahr-ablation.toml"
VARIANTS = {
    "fixed sigma": (False, False),
    "SAHR": (True, False),
    "WAHR": (False, True),
    "SAHR + WAHR": (True, True),
}
"""Name: (scale-adaptive targets, weight-adaptive loss)."""

DECODES = ("h3r",)
SIZE = "any:256"
"""Short side of the images that are measured, in input px."""

THRESHOLDS = (0.1, 0.3)
"""Detection thresholds, the official one and that of the shipped networks. Losses differ in how high they let peaks
grow, so that one threshold for all would favour some."""

COLUMNS = (*(("AP", threshold) for threshold in THRESHOLDS), ("AP(M)", 0.3), ("AP(L)", 0.3), ("AR50", 0.3))
"""Metric and threshold."""


Results = dict[tuple[str, str], list[dict[tuple[str, float], float]]]
"""By variant and decode: for each seed the value of every metric at every threshold."""


def main() -> None:
    """Train and evaluate what is not there yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of all runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--data", default="shared/data", help="folder that holds coco_people, here or in a folder above"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed on to every training")
    options = parser.parse_args()

    found: Results = {}
    for seed in options.seeds:
        for name, (scale, weight) in VARIANTS.items():
            run = options.out / f"{name.replace(' ', '-').replace('+', 'and')}-{seed}"
            train(run, options.set, scale_adaptive=scale, weight_adaptive=weight, seed=seed)
            for adjust in DECODES:
                found.setdefault((name, adjust), []).append(evaluate(run, find_root(options.data), adjust))
                (options.out / "table.md").write_text(table(found))
    print((options.out / "table.md").read_text())


def train(run: Path, extra: list[str], *, scale_adaptive: bool, weight_adaptive: bool, seed: int) -> None:
    """Run one training to its end, or go on with it; a finished one says so and is left alone."""
    settings = [
        f"loss.scale_adaptive={str(scale_adaptive).lower()}",
        f"loss.weight_adaptive={str(weight_adaptive).lower()}",
        f"train.seed={seed}",
        *extra,
    ]
    heatstream("train", RECIPE, "--out", str(run), *(part for setting in settings for part in ("--set", setting)))


def evaluate(run: Path, data: Path, adjust: str) -> dict[tuple[str, float], float]:
    """The metrics, in percent, of a run's last averaged weights with one way to decode, at all thresholds."""
    people = data / "coco_people"
    places = ("--data", str(people / "val"), "--annotations", str(people / "val.json"))
    metrics = {}
    for threshold in THRESHOLDS:
        result = run / f"{adjust}-{threshold}.json"
        if not result.exists():
            decode = ("--size", SIZE, "--adjust", adjust, "--detection-threshold", str(threshold))
            heatstream("eval", str(run / "last.pt"), *places, *decode, "--output", str(result))
        found = json.loads(result.read_text())["metrics"]
        metrics.update({(name, threshold): value for name, value in found.items()})
    return metrics


def table(found: Results) -> str:
    """Markdown: mean and, in brackets, lowest and highest over the seeds."""
    heads = [f"{metric} at {threshold}" for metric, threshold in COLUMNS]
    lines = [f"| targets and loss | decode | seeds | {' | '.join(heads)} |", "|---|---|---|" + "---|" * len(heads)]
    for (name, adjust), results in found.items():
        cells = [spread([result[column] for result in results]) for column in COLUMNS]
        lines.append(f"| {name} | {adjust} | {len(results)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Mean (lowest to highest)."""
    return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def heatstream(*arguments: str) -> None:
    """Run a heatstream command; its failure ends this program."""
    code = subprocess.run([sys.executable, "-m", "heatstream", *arguments]).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
