"""A training small enough for a test: drawn people, a network at 64 px, a handful of steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from heatstream.skeletons import COCO_17

SIZE = (96, 128)
"""(height, width) px of the pictures."""

RECIPE = """
[model]
name = "swahr-tiny"

[data]
root = "ROOT"
size = 64
workers = 0

[[data.sets]]
annotations = "people.json"
images = "people"

[data.validation]
annotations = "people.json"
images = "people"
limit = 2

[augment]
colour = 0.5

[train]
steps = 6
batch = 4
rate = 2e-3
weight_decay = 0.01
warmup_steps = 2
clip = 0.05
ema = 0.9
checkpoint_seconds = 3600
log_every = 2
device = "cpu"
threads = 1
"""


def write_set(folder: Path, *, pictures: int = 8) -> None:
    """Write people.json and the folder people: pictures of one or two drawn stick people each."""
    rng = np.random.default_rng(0)
    (folder / "people").mkdir(parents=True)
    entries, annotations = [], []
    for number in range(pictures):
        height, width = SIZE
        picture = rng.integers(0, 60, (height, width, 3), np.uint8)
        entries.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        for _ in range(1 + number % 2):
            points = rng.uniform((10, 10), (width - 10, height - 10), (17, 2))
            for first, second in COCO_17.limbs:
                ends = [tuple(map(int, points[joint])) for joint in (first, second)]
                cv2.line(picture, ends[0], ends[1], (240, 240, 240), 2)
            low, extent = points.min(axis=0), np.ptp(points, axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": float(extent.prod()),
                    "bbox": [*low.tolist(), *extent.tolist()],
                    "keypoints": np.column_stack((points, np.full(17, 2))).ravel().tolist(),
                    "num_keypoints": 17,
                }
            )
        cv2.imwrite(str(folder / "people" / f"{number}.png"), picture)
    category = {"id": 1, "name": "person", "keypoints": list(COCO_17.keypoints)}
    content: dict[str, Any] = {"images": entries, "annotations": annotations, "categories": [category]}
    (folder / "people.json").write_text(json.dumps(content))


def write_recipe_file(folder: Path) -> Path:
    """Write the set and its recipe, tiny.toml, into a folder; the recipe's path."""
    write_set(folder)
    path = folder / "tiny.toml"
    path.write_text(RECIPE.replace("ROOT", str(folder)))
    return path
