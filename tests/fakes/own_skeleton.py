"""People of a skeleton that nobody knows: its COCO file is made by the test, with names drawn at random."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (96, 128)
"""(height, width) px of the pictures."""


def random_names(count: int, seed: int) -> list[str]:
    """Names of keypoints, the second and third of which are a left and a right one where there are as many."""
    letters = random.Random(seed)
    names = ["".join(letters.choices(string.ascii_letters, k=6)) + str(number) for number in range(count)]
    return names if count < 3 else [names[0], f"left {names[1]}", f"right {names[1]}", *names[3:]]


def write_own_set(folder: Path, *, count: int = 9, seed: int = 0, pictures: int = 4) -> dict[str, Any]:
    """Write mine.json and the folder photos with one drawn figure a picture; the category of the file."""
    rng = np.random.default_rng(seed)
    photos = folder / "photos"
    photos.mkdir(parents=True)
    names = random_names(count, seed)
    limbs = [[number, number + 1] for number in range(1, count)]
    category = {"id": 3, "name": "my figure", "keypoints": names, "skeleton": limbs}
    images, annotations = [], []
    for number in range(pictures):
        height, width = SIZE
        picture = rng.integers(0, 60, (height, width, 3), np.uint8)
        points = rng.uniform((20, 16), (width - 20, height - 16), (count, 2))
        for place, point in enumerate(points):
            shade = 90 + 160 * place // count
            cv2.circle(picture, (int(point[0]), int(point[1])), 4, (shade, 255 - shade, 240), -1)
        cv2.imwrite(str(photos / f"{number}.png"), picture)
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        low, extent = points.min(axis=0), np.ptp(points, axis=0) + 1
        annotations.append(
            {
                "id": number + 1,
                "image_id": number,
                "category_id": 3,
                "iscrowd": 0,
                "area": float(extent.prod()),
                "bbox": [*low.tolist(), *extent.tolist()],
                "keypoints": np.column_stack((points, np.full(count, 2))).ravel().tolist(),
                "num_keypoints": count,
            }
        )
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "mine.json").write_text(json.dumps(content))
    return category
