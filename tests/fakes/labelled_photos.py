"""A small labelled set made by hand: grey pictures whose first pixel tells them apart, people drawn at random."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.results import Poses

SIZE = (120, 160)


@dataclass(frozen=True)
class LabelledSet:
    """Where it lies, and what it holds.

    Attributes:
        images: folder.
        annotations: JSON file.
        content: of that file.
        people: per image (P, K, 2) float64, x and y of everyone who is labelled.
    """

    images: Path
    annotations: Path
    content: dict[str, Any]
    people: list[NDArray[np.float64]]

    def find(self, change: Callable[[NDArray[np.float64]], NDArray[np.float64]] = lambda people: people) -> Any:
        """Finds the labelled people, their keypoints changed, with scores that fall within an image."""

        def find(frame: NDArray[np.uint8]) -> Poses:
            people = change(self.people[int(frame[0, 0, 0])])
            scores = np.linspace(0.9, 0.5, len(people), dtype=np.float32)
            skeleton = skeletons.COCO_17.name if people.shape[1] == 17 else skeletons.CROWDPOSE_14.name
            return Poses(people.astype(np.float32), np.repeat(scores[:, None], people.shape[1], 1), scores, skeleton)

        return find

    def rewrite(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change the file."""
        content = json.loads(self.annotations.read_text())
        change(content)
        self.annotations.write_text(json.dumps(content))


def make_set(folder: Path, *, images: int = 6, skeleton: str = "coco-17", crowd: bool = False) -> LabelledSet:
    """Write a set: image n holds 1 + n % 3 labelled people, of all sizes."""
    layout = skeletons.get(skeleton)
    random = np.random.default_rng(0)
    (folder / "val").mkdir()
    entries, annotations, everyone = [], [], []
    for number in range(images):
        picture = np.full((*SIZE, 3), 90, np.uint8)
        picture[0, 0] = number
        name = f"{number:03d}.png"
        cv2.imwrite(str(folder / "val" / name), picture)
        entry = {"id": 100 - number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        entries.append(entry | ({"crowdIndex": number / (images - 1)} if crowd else {}))
        people = []
        for index in range(1 + number % 3):
            side = random.uniform(35, 110)
            corner = random.uniform(0, np.array(SIZE[::-1]) - side)
            points = corner + side * random.random((layout.num_keypoints, 2))
            annotation = {
                "id": 10 * number + index + 1,
                "image_id": 100 - number,
                "category_id": 1,
                "keypoints": np.column_stack([points, np.full(len(points), 2)]).ravel().tolist(),
                "num_keypoints": layout.num_keypoints,
                "bbox": [*corner.tolist(), side, side],
                "iscrowd": 0,
            }
            annotations.append(annotation if crowd else annotation | {"area": side * side})
            people.append(points)
        everyone.append(np.array(people))
    content = {
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(layout.keypoints)}],
    }
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    return LabelledSet(folder / "val", path, content, everyone)
