"""Training samples for bottom-up pose networks from COCO keypoint JSON, held decoded in memory.

Each sample is one similarity warp straight from the stored photo to the network's size (no second resampling),
with heatmaps at 1/4 and 1/2, loss masks and joint indices. Everything is NumPy and OpenCV, so that worker
processes need no torch.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.models.targets import gaussian_heatmaps, joint_indices

FLIP_ORDER = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""COCO-17 joint order after a left-right flip."""

SIGMA_MAP_PX = 2.0
"""Standard deviation of a target in map pixels at both resolutions, as in the reference."""

MAX_PEOPLE = 30
LARGEST_ZOOM = 2.5
"""Input pixels per source pixel beyond which a small person is only blur."""

TARGET_VISIBLE = 0.01
"""A pixel whose target exceeds this is always trained on, even inside an ignored region."""


@dataclass(frozen=True)
class Photo:
    """One decoded training photo.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        people: (P, 17, 3) float64, x, y in source pixels and visibility; only people with a labelled joint.
        boxes: (P, 4) float64, their x, y, width, height.
        ignored: (R, 4) float64, boxes of people and crowds without labelled joints.
        boxes_only: people outside `boxes` may be unlabelled, so nothing outside them is trained on.
        crop: the photo is a crop around one person, of whom unlabelled joints may well be in view.
    """

    image: NDArray[np.uint8]
    people: NDArray[np.float64]
    boxes: NDArray[np.float64]
    ignored: NDArray[np.float64]
    boxes_only: bool
    crop: bool


class Sample(NamedTuple):
    """One training sample of side S; channels last throughout, so that batches are channels-last without a copy.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        heatmaps4, heatmaps2: (S/4, S/4, 17) and (S/2, S/2, 17) float32 in 0..1.
        masks4, masks2: same shapes, uint8, 1 where the heatmap loss counts.
        joints: (30, 17, 2) int32, see `joint_indices`, into channels-first 1/4 maps.
    """

    image: NDArray[np.uint8]
    heatmaps4: NDArray[np.float32]
    heatmaps2: NDArray[np.float32]
    masks4: NDArray[np.uint8]
    masks2: NDArray[np.uint8]
    joints: NDArray[np.int32]


def load_photos(root: Path, limit: int | None = None) -> list[Photo]:
    """Decode the photos of a set: `root`/train.json describes the files of `root`/train.

    Args:
        root: folder of a COCO keypoint set.
        limit: stop after this many photos, to try things out.

    Raises:
        FileNotFoundError: when the JSON or a photo is missing.
    """
    label_file = root / "train.json"
    if not label_file.is_file():
        raise FileNotFoundError(f"expected {label_file}; give a folder holding train.json and train/")
    labels = json.loads(label_file.read_text())
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in labels["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)

    photos = []
    for entry in labels["images"][:limit]:
        path = root / "train" / entry["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise FileNotFoundError(f"expected a readable photo at {path}; check that the set is complete")
        annotations = by_image.get(entry["id"], [])
        labelled = [a for a in annotations if a["num_keypoints"] > 0 and not a.get("iscrowd", 0)]
        ignored = [a["bbox"] for a in annotations if a["num_keypoints"] == 0 or a.get("iscrowd", 0)]
        people = np.array([a["keypoints"] for a in labelled], np.float64).reshape(len(labelled), 17, 3)
        photos.append(
            Photo(
                image=np.ascontiguousarray(image[:, :, ::-1]),
                people=people,
                boxes=np.array([a["bbox"] for a in labelled], np.float64).reshape(-1, 4),
                ignored=np.array(ignored, np.float64).reshape(-1, 4),
                boxes_only=bool(entry.get("ignore_unknown", 0)),
                crop="crop" in entry,
            )
        )
    return photos


def draw_sample(
    photo: Photo, size: int, short_side: float, rng: np.random.Generator, *, by_person: float = 0.0
) -> Sample:
    """Return one augmented sample.

    Args:
        photo: where from.
        size: side S of the result in input pixels, a multiple of 32.
        short_side: the photo's short side in input pixels before the random scale; crops are scaled by their
            person instead.
        rng: the source of all randomness.
        by_person: probability of scaling a photo by one of its people, as crops always are, which shows early
            training people large enough to learn from.
    """
    matrix, flipped = _random_similarity(photo, size, short_side, rng, by_person)
    # warpAffine counts pixel centres as whole numbers, we count them at +0.5.
    warp = matrix.copy()
    warp[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    fill = tuple(float(c) for c in rng.integers(60, 160, 3))
    image = cv2.warpAffine(
        photo.image, warp, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    people = photo.people.copy()
    people[:, :, :2] = people[:, :, :2] @ matrix[:, :2].T + matrix[:, 2]
    if flipped:
        people = people[:, FLIP_ORDER]

    region2 = _region(photo, matrix, size // 2)
    channels = np.ones(17, np.uint8)
    if photo.crop:
        channels = (people[:, :, 2] > 0).any(axis=0).astype(np.uint8)
    maps, masks = [], []
    for side, region in ((size // 4, region2[::2, ::2]), (size // 2, region2)):
        scaled = people.copy()
        scaled[:, :, :2] *= side / size
        heat = gaussian_heatmaps(scaled, side, SIGMA_MAP_PX).transpose(1, 2, 0)
        heat = np.ascontiguousarray(heat)
        masks.append(np.maximum(region[:, :, None], heat > TARGET_VISIBLE) * channels)
        maps.append(heat)
    quarter = people.copy()
    quarter[:, :, :2] *= 0.25
    joints = joint_indices(rng.permutation(quarter), size // 4, MAX_PEOPLE, True)
    return Sample(_recolour(np.asarray(image, np.uint8), rng), maps[0], maps[1], masks[0], masks[1], joints)


def _random_similarity(
    photo: Photo, size: int, short_side: float, rng: np.random.Generator, by_person: float
) -> tuple[NDArray[np.float64], bool]:
    """Return a 2x3 matrix from source to input pixels (centres at +0.5) and whether it mirrors."""
    height, width = photo.image.shape[:2]
    person = int(rng.integers(len(photo.boxes)))
    x, y, box_width, box_height = photo.boxes[person]
    if photo.crop or rng.random() < by_person:
        scale = size * math.exp(rng.uniform(math.log(0.4), math.log(0.95))) / max(box_width, box_height)
        scale = min(scale, LARGEST_ZOOM)
    else:
        scale = short_side / min(height, width) * math.exp(rng.uniform(math.log(0.7), math.log(1.5)))
    window = size / scale  # the sample's side in source pixels
    if rng.random() < 0.9:
        centre = np.array((x + box_width / 2, y + box_height / 2)) + rng.uniform(-0.25, 0.25, 2) * window
    else:
        centre = rng.uniform(0, 1, 2) * (width, height)
    for axis, extent in enumerate((width, height)):
        if extent > window:  # keep the window inside the photo, up to a little border
            margin = 0.45 * window
            centre[axis] = np.clip(centre[axis], margin, extent - margin)
        else:
            slack = (window - extent) / 2
            centre[axis] = extent / 2 + rng.uniform(-slack, slack)
    angle = math.radians(rng.uniform(-30, 30)) if rng.random() < 0.35 else math.radians(rng.normal(0, 4))
    flipped = bool(rng.random() < 0.5)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array(((cos, -sin), (sin, cos))) @ np.diag((-1.0 if flipped else 1.0, 1.0))
    return np.column_stack((linear, size / 2 - linear @ centre)), flipped


def _region(photo: Photo, matrix: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """Return (side, side) uint8, 1 where labels say what is there."""
    shrink = side * 2  # the network's input side
    region = np.full((side, side), 0 if photo.boxes_only else 1, np.uint8)
    boxes, value = (photo.boxes, 1) if photo.boxes_only else (photo.ignored, 0)
    for x, y, width, height in boxes:
        corners = np.array(((x, y), (x + width, y), (x + width, y + height), (x, y + height)))
        corners = (corners @ matrix[:, :2].T + matrix[:, 2]) * (side / shrink)
        cv2.fillConvexPoly(region, np.round(corners).astype(np.int32), value)
    return region


def _recolour(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image with other light, sometimes grey or blurred, sometimes with parts covered."""
    levels = np.arange(256) / 255.0
    gamma, contrast, brightness = rng.uniform(0.8, 1.25), rng.uniform(0.75, 1.25), rng.uniform(-0.1, 0.1)
    gains = rng.uniform(0.92, 1.08, 3)
    curve = (levels[:, None] ** gamma - 0.5) * contrast + 0.5 + brightness
    table = np.clip(curve * gains * 255.0, 0, 255).astype(np.uint8)
    result = np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)
    if rng.random() < 0.05:
        grey = np.asarray(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY))
        result = np.repeat(grey[:, :, None], 3, axis=2)
    if rng.random() < 0.08:
        result = np.asarray(cv2.GaussianBlur(result, (0, 0), rng.uniform(0.5, 1.6)), np.uint8)
    if rng.random() < 0.15:
        size = len(result)
        for _ in range(rng.integers(1, 4)):
            extent = rng.uniform(0.06, 0.25, 2) * size
            left, top = rng.uniform(0, size, 2) - extent / 2
            rows = slice(max(0, int(top)), int(top + extent[1]))
            columns = slice(max(0, int(left)), int(left + extent[0]))
            result[rows, columns] = rng.integers(0, 256, 3)
    return result
