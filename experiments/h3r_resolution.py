"""What landmarks lose as heatmaps get smaller: maps of 64, 32 and 16, targets of two kinds, three ways to decode.

Every training starts from the same weights and sees the same faces, turned and mirrored alike, as often as the
others; only the input's size, and with it the maps', and how a coordinate is rounded to a target differ. Each network
runs once over the validation faces, and all decoders read the same maps. A training that was interrupted goes on
where it was, a finished one is not repeated.

    python experiments/h3r_resolution.py --out runs/resolution

Writes OUT/table.md, OUT/plot.png, and OUT/<size>-<rounding>-<seed>/ with each run and OUT/.../errors.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from heatstream import skeletons
from heatstream.kernels import decode_landmarks
from heatstream.kernels.reference.crops import crop_boxes, crop_rectangles, crop_transforms
from heatstream.models import create, load_checkpoint
from heatstream.models.data.root import find_root
from heatstream.models.landmarks.metrics import face_lengths, nme
from heatstream.models.landmarks.readers import read_faces
from heatstream.models.torch_import import torch
from heatstream.models.training.trainer import MEAN, STD

RECIPE = "heatstream/recipes/h3r-resolution.toml"
NETWORK = "h3r-mobile-68"
SIZES = (256, 128, 64)
"""Of the input in px; the maps are a quarter of it."""

STRIDE = 4
ROUNDINGS = ("nearest", "random")
TOP_K = (1, 2, 3, 4, 5, 7, 9, 12, 16, 25)
OFFICIAL_K = 9
RESAMPLES = 2000
"""Of the faces, for the spread of a mean."""

ROWS = (
    ("nearest", "arg-max"),
    ("nearest", "quarter"),
    *(("nearest", f"k = {k}") for k in (4, OFFICIAL_K)),
    ("random", "arg-max"),
    ("random", "quarter"),
    *(("random", f"k = {k}") for k in TOP_K if k > 1),
)
"""Targets and decoder, as the table lists them; the mean of one pixel is the arg-max."""

OTHERS = (("nearest", "arg-max"), ("nearest", "quarter"), ("nearest", f"k = {OFFICIAL_K}"), ("random", "arg-max"))
"""What H3R is compared with, face by face."""

LINES = {
    ("nearest", "arg-max"): ((60, 60, 220), "plain rounding, arg-max"),
    ("nearest", "quarter"): ((30, 150, 240), "plain rounding, quarter offset"),
    ("random", f"k = {OFFICIAL_K}"): ((160, 110, 20), f"H3R: randomized rounding, mean of {OFFICIAL_K}"),
}
"""What the plot shows, each with its BGR colour."""

Maps = NDArray[np.float32]
Errors = dict[tuple[int, str, str], list[NDArray[np.float64]]]
"""By size, rounding and decoder: of each seed the errors of all faces, in per cent."""


def main() -> None:
    """Train and measure what is not there yet, and write table and plot of all that is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/resolution"), help="folder of all runs")
    parser.add_argument("--data", default="shared/data", help="folder that holds faces, here or in a folder above")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, choices=SIZES, help="train these alone")
    parser.add_argument("--roundings", nargs="+", default=ROUNDINGS, choices=ROUNDINGS, help="train these alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed on to every training")
    options = parser.parse_args()

    for seed in options.seeds:
        for size in options.sizes:
            for rounding in options.roundings:
                run = options.out / f"{size}-{rounding}-{seed}"
                if not (run / "errors.json").exists():
                    train(run, [f"data.size=[{size}, {size}]", f"loss.rounding={rounding}", *options.set], seed)
                    measure(run, find_root(options.data) / "faces" / "val.json", size)
    found = read(options.out)
    (options.out / "table.md").write_text(f"{table(found)}\n{gains(found)}")
    cv2.imwrite(str(options.out / "plot.png"), plot(found))
    print((options.out / "table.md").read_text())


def train(run: Path, settings: list[str], seed: int) -> None:
    """Run one training to its end, or go on with it; its failure ends this program."""
    changes = [part for setting in (*settings, f"train.seed={seed}") for part in ("--set", setting)]
    code = subprocess.run([sys.executable, "-m", "heatstream", "train", RECIPE, "--out", str(run), *changes]).returncode
    if code:
        sys.exit(code)


def measure(run: Path, annotations: Path, size: int) -> None:
    """Write the errors of every face with every decoder to the run's errors.json, in per cent of the eyes' distance."""
    skeleton = skeletons.W300_68
    network = create(NETWORK)
    load_checkpoint(network, run / "last.pt")
    network.eval()
    faces = read_faces(annotations, skeleton)
    found: dict[str, list[Maps]] = {}
    for face in track(faces, description=f"measuring {run.name}"):
        rectangle = crop_rectangles(face.box[None])
        images = crop_boxes(face.read(), rectangle, (size, size), MEAN, STD)
        with torch.inference_mode():
            maps = network.landmarks(torch.from_numpy(images)).numpy()  # type: ignore[operator]
        transform = crop_transforms(rectangle, (size, size))[0]
        for name, points in decodes(maps):
            found.setdefault(name, []).append(points @ transform[:, :2].T + transform[:, 2])
    ground_truth = np.stack([face.points for face in faces])
    lengths = face_lengths(ground_truth, skeleton)
    errors = {name: (100 * nme(np.concatenate(each), ground_truth, lengths)).tolist() for name, each in found.items()}
    (run / "errors.json").write_text(json.dumps(errors))


def decodes(maps: Maps) -> Iterator[tuple[str, Maps]]:
    """Every decoder's name and its (1, L, 2) landmarks in input px, from maps (1, L, H, W)."""
    yield "arg-max", decode_landmarks(maps, topk=1, stride=STRIDE)
    yield "quarter", quarter_offset(maps)
    for k in TOP_K[1:]:
        yield f"k = {k}", decode_landmarks(maps, topk=k, stride=STRIDE)


def quarter_offset(maps: Maps) -> Maps:
    """(N, L, 2) px: the highest pixel, moved a quarter of a pixel towards its higher neighbour on each axis."""
    images, landmarks, height, width = maps.shape
    best = maps.reshape(images, landmarks, -1).argmax(axis=2)
    row, column = np.divmod(best, width)
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    image, landmark = np.ogrid[:images, :landmarks]

    def at(down: int, right: int) -> Maps:
        return np.asarray(padded[image, landmark, row + 1 + down, column + 1 + right], np.float32)

    inside_x, inside_y = (column > 0) & (column < width - 1), (row > 0) & (row < height - 1)
    x = column + 0.25 * inside_x * np.sign(at(0, 1) - at(0, -1))
    y = row + 0.25 * inside_y * np.sign(at(1, 0) - at(-1, 0))
    return np.asarray(STRIDE * np.stack([x, y], axis=2), np.float32)


def read(out: Path) -> Errors:
    """The errors of every run that was measured."""
    found: Errors = {}
    for file in sorted(out.glob("*/errors.json")):
        size, rounding, _ = file.parent.name.split("-")
        for name, errors in json.loads(file.read_text()).items():
            found.setdefault((int(size), rounding, name), []).append(np.array(errors))
    return found


def table(found: Errors) -> str:
    """Markdown: mean and, in brackets, where 95 % of the means of resampled faces lie."""
    sizes = sorted({size for size, _, _ in found}, reverse=True)
    lines = [f"| targets | decoder | {' | '.join(map(heading, sizes))} |", "|---|---|" + "---|" * len(sizes)]
    for rounding, name in ROWS:
        cells = [spread(found[size, rounding, name]) if (size, rounding, name) in found else "" for size in sizes]
        lines.append(f"| {rounding} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def gains(found: Errors) -> str:
    """Markdown: how much less H3R errs than the others on the same faces, with the same spread."""
    sizes = sorted({size for size, _, _ in found}, reverse=True)
    lines = [
        f"| less with H3R, k = {OFFICIAL_K}, than with | {' | '.join(map(heading, sizes))} |",
        "|---|" + "---|" * len(sizes),
    ]
    for rounding, name in OTHERS:
        cells = []
        for size in sizes:
            ours, theirs = (found.get(key) for key in ((size, "random", f"k = {OFFICIAL_K}"), (size, rounding, name)))
            both = [one - other for other, one in zip(ours, theirs, strict=True)] if ours and theirs else []
            cells.append(spread(both) if both else "")
        lines.append(f"| {rounding} targets, {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def heading(size: int) -> str:
    """A column's, by its input."""
    return f"{size // STRIDE}x{size // STRIDE} (input {size})"


def spread(seeds: list[NDArray[np.float64]]) -> str:
    """Mean over faces and seeds (2.5 to 97.5 % of its bootstrap over faces)."""
    faces = np.mean(seeds, axis=0)
    draws = np.random.default_rng(0).integers(len(faces), size=(RESAMPLES, len(faces)))
    low, high = np.percentile(faces[draws].mean(axis=1), (2.5, 97.5))
    return f"{faces.mean():.2f} ({low:.2f} to {high:.2f})"


def plot(found: Errors, *, height: int = 420, width: int = 640) -> NDArray[np.uint8]:
    """NME over the maps' side, a line per decoder; (height, width, 3) uint8 BGR."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    sizes = sorted({size for size, _, _ in found}, reverse=True)
    means = {
        line: [float(np.mean(found[(size, *line)])) if (size, *line) in found else None for size in sizes]
        for line in LINES
    }
    top = 1.1 * max((value for values in means.values() for value in values if value is not None), default=1.0)

    def place(column: int, value: float) -> tuple[int, int]:
        return 90 + column * (width - 180) // max(len(sizes) - 1, 1), round(height - 60 - value / top * (height - 100))

    for value in range(0, int(top) + 1, 2):
        cv2.line(canvas, (60, place(0, value)[1]), (width - 40, place(0, value)[1]), (225, 225, 225), 1)
        _write(canvas, str(value), (34, place(0, value)[1] + 5))
    for column, size in enumerate(sizes):
        _write(canvas, f"{size // STRIDE}x{size // STRIDE}", (place(column, 0)[0] - 22, height - 36))
    for row, (line, (colour, name)) in enumerate(LINES.items()):
        points = [place(column, value) for column, value in enumerate(means[line]) if value is not None]
        for start, end in pairwise(points):
            cv2.line(canvas, start, end, colour, 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(canvas, point, 4, colour, cv2.FILLED, cv2.LINE_AA)
        cv2.line(canvas, (80, 40 + 20 * row), (104, 40 + 20 * row), colour, 2, cv2.LINE_AA)
        _write(canvas, name, (112, 45 + 20 * row))
    _write(canvas, "NME, % of the distance between the outer corners of the eyes", (60, 18))
    _write(canvas, "heatmaps", (width // 2 - 30, height - 12))
    return canvas


def _write(canvas: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
