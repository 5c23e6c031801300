"""A landmark training small enough for a test: drawn faces with 19 points, a network at 64 px, a handful of steps."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from heatstream.skeletons import AFLW_19

SIZE = (120, 140)
"""(height, width) px of the pictures."""

RECIPE = """
[model]
name = "h3r-mobile-300w68"
skeleton = "aflw-19"

[data]
root = "ROOT"
size = [64, 64]
workers = 0

[[data.sets]]
format = "faces"
annotations = "faces.json"

[data.validation]
format = "faces"
annotations = "faces.json"
norm = "box"
limit = 4

[augment]
translation = 0.05
colour = 0.5

[train]
steps = 6
batch = 4
rate = 3e-3
weight_decay = 0.01
warmup_steps = 2
ema = 0.9
checkpoint_seconds = 3600
log_every = 2
device = "cpu"
threads = 1
"""


def write_faces(folder: Path, *, faces: int = 8) -> Path:
    """Write faces.json and its pictures: discs with a spot of its own colour at each of 19 points; the JSON's path."""
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 256, (AFLW_19.num_keypoints, 3)).tolist()
    places = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)), axis=-1).reshape(-1, 2)[:19]
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(faces):
        height, width = SIZE
        picture = rng.integers(0, 40, (height, width, 3), np.uint8)
        middle, half = rng.uniform((60, 55), (80, 65)), rng.uniform(24, 34)
        points = middle + half * (places + rng.uniform(-0.1, 0.1, places.shape))
        cv2.circle(picture, tuple(map(int, middle)), int(1.5 * half), (90, 90, 90), -1)
        for (x, y), colour in zip(points, colours, strict=True):
            cv2.circle(picture, (round(x * 16), round(y * 16)), 3 * 16, colour, -1, cv2.LINE_AA, 4)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        low = points.min(axis=0)
        entries.append(
            {
                "image": f"{number}.png",
                "width": width,
                "height": height,
                "points": points.tolist(),
                "bbox": [*low.tolist(), *np.ptp(points, axis=0).tolist()],
            }
        )
    path = folder / "faces.json"
    path.write_text(json.dumps({"num_points": AFLW_19.num_keypoints, "images": entries}))
    return path


def write_faces_recipe(folder: Path) -> Path:
    """Write the set and its recipe, tiny.toml, into a folder; the recipe's path."""
    write_faces(folder)
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("ROOT", str(folder)))
    return path
