"""How often a person of a score is right: the curve in a model's catalogue entry, and how well it holds elsewhere.

A person is right at an OKS of 0.5 or more to one that is labelled; each labelled person has one, the surest first.
People who may be ones whom nobody labelled are left out. The curve is fitted to photographs of the training set, drawn
by seed, at all sizes together: means of equally many people each, made to rise (pool adjacent violators).

    python experiments/score_calibration.py swahr-small --data shared/data/coco_people
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

import heatstream
from heatstream.models.pose.evaluation import FOUND_OKS, ImageScore, evaluate
from heatstream.skeletons import COCO_17

BINS = 12
MARGIN = 0.1
"""Around the box of somebody without labels, as a share of it, in which people are left out."""

Scores = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Of people: the mean height of their heatmaps, and whether they are right."""


def main() -> None:
    """Fit on training photographs, and print the curve and what it says of the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or file")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.json, val.json and train/, val/")
    parser.add_argument("--images", type=int, default=300, help="training photographs")
    parser.add_argument("--short-sides", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        chosen = _drawn(options.data / "train.json", options.images, options.seed, Path(folder) / "train.json")
        heights, right = _people(options.model, chosen, options.data / "train", options.short_sides)
    curve = _curve(heights, right)
    print(f"{len(heights)} people in {options.images} training photographs; the curve:\n{curve}")
    heights, right = _people(options.model, options.data / "val.json", options.data / "val", options.short_sides)
    scores = np.interp(heights, *zip(*curve, strict=True))
    print("on the validation photographs\n| score | people found | right |\n|---|---|---|")
    for low in np.arange(10) / 10:
        among = (scores >= low) & ((scores < low + 0.1) | (low == 0.9))
        share = f"{right[among].mean():.0%}" if among.any() else ""
        print(f"| {low:.1f}-{low + 0.1:.1f} | {among.sum()} | {share} |")


def _drawn(labels: Path, count: int, seed: int, path: Path) -> Path:
    """Write the labels of so many photographs."""
    content = json.loads(labels.read_text())
    ids = sorted(image["id"] for image in content["images"])
    kept = set(np.random.default_rng(seed).choice(ids, count, replace=False).tolist())
    content["images"] = [image for image in content["images"] if image["id"] in kept]
    content["annotations"] = [person for person in content["annotations"] if person["image_id"] in kept]
    path.write_text(json.dumps(content))
    return path


def _people(model: str, labels: Path, images: Path, short_sides: list[int]) -> Scores:
    people: dict[int, list[dict[str, Any]]] = {}
    for person in json.loads(labels.read_text())["annotations"]:
        people.setdefault(person["image_id"], []).append(person)
    heights: list[float] = []
    right: list[bool] = []
    for side in short_sides:
        with heatstream.load(model, "cpu", 1, short_side=side) as pipeline:
            found = evaluate(lambda frame: pipeline(frame).poses, labels, images, skeleton=COCO_17.name)
            told = pipeline.info.calibration or ((0.0, 0.0), (1.0, 1.0))
        for image in found.images:
            for score, fits in _judged(image, people.get(image.image_id, [])):
                heights.append(float(np.interp(score, *reversed(list(zip(*told, strict=True))))))
                right.append(fits)
    return np.array(heights), np.array(right)


def _judged(image: ImageScore, people: list[dict[str, Any]]) -> list[tuple[float, bool]]:
    """The score of everybody who counts, and whether they are right."""
    sigmas = np.array(COCO_17.sigmas)
    result = []
    taken: set[int] = set()
    for index in range(len(image.poses)):  # the surest first
        points, seen = image.poses.keypoints[index], image.poses.keypoint_scores[index] > 0
        best, place, unsure = 0.0, -1, False
        for number, person in enumerate(people):
            labelled = np.array(person["keypoints"], float).reshape(-1, 3)
            visible = labelled[:, 2] > 0
            if visible.any() and not person.get("iscrowd"):
                squares = ((points - labelled[:, :2]) ** 2).sum(1) / (2 * person["area"] * (2 * sigmas) ** 2)
                similarity = float(np.exp(-squares[visible]).mean())
                if similarity > best and number not in taken:
                    best, place = similarity, number
            else:
                (left, top, width, height), (x, y) = person["bbox"], points[seen].mean(axis=0)
                inside = abs(x - left - width / 2) < (0.5 + MARGIN) * width
                unsure |= bool(inside and abs(y - top - height / 2) < (0.5 + MARGIN) * height)
        if best >= FOUND_OKS:
            taken.add(place)
        if best >= FOUND_OKS or not unsure:
            result.append((float(image.poses.scores[index]), best >= FOUND_OKS))
    return result


def _curve(heights: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """(height, probability) pairs, both rising."""
    parts = np.array_split(np.argsort(heights), BINS)
    means = np.array([(heights[part].mean(), right[part].mean()) for part in parts])
    rising = isotonic_regression(means[:, 1]).x
    curve = [(0.0, 0.0)]
    for height, probability in zip(means[:, 0], rising, strict=True):
        pair = (round(float(height), 3), round(float(probability), 3))
        if curve[-1][0] < pair[0] < 1 and curve[-1][1] < pair[1] < 1:
            curve.append(pair)
    return [*curve, (1.0, 1.0)]


if __name__ == "__main__":
    main()
