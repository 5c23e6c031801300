"""Made-up heatmaps and tags of a known number of people, for benchmarks and for tests with a known truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scene", "make_scene"]

SIGMA_PX = 2.0  # the published target's width in map px
TAG_GRAIN = 0.05  # standard deviation of the tags from pixel to pixel
REACH_PX = 8  # a Gaussian of that width is below 1e-3 beyond


@dataclass(frozen=True, eq=False)
class Scene:
    """Maps of one image and the people they were made from.

    Attributes:
        heatmaps: (K, H, W) float32.
        tags: (K, H, W, T) float32.
        keypoints: (P, K, 2) float32, (x, y) in map px, pixel centres at +0.5.
        present: (P, K) bool, which joints were drawn.
    """

    heatmaps: NDArray[np.float32]
    tags: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    present: NDArray[np.bool_]


def make_scene(
    rng: np.random.Generator,
    people: int,
    *,
    joints: int = 17,
    size: tuple[int, int] = (256, 256),
    tag_size: int = 2,
    tag_spacing: float = 2.0,
    tag_noise: float = 0.1,
    hidden: float = 0.2,
    background: float = 0.01,
    hidden_tags: bool = True,
) -> Scene:
    """Draw people as Gaussians of random height on a noisy background.

    Args:
        rng: where all chance comes from.
        people: how many.
        joints: keypoints each.
        size: (height, width) of the maps in px.
        tag_size: T.
        tag_spacing: distance of one person's tag to the next one's.
        tag_noise: standard deviation of a joint's tag around its person's.
        hidden: share of joints that are not drawn.
        background: standard deviation of the heatmaps' noise.
        hidden_tags: whether a map's background shows the tags of people whose joint is not drawn on it. Without, the
            tag of a hidden joint is nowhere on its map: the hardest scenes for a search of missing joints.
    """
    height, width = size
    heatmaps = rng.normal(0, background, (joints, height, width)).astype(np.float32)
    centers = rng.uniform(0.15, 0.85, (people, 1, 2)) * [width, height]
    spread = rng.uniform(0.04, 0.15, (people, 1, 1)) * min(size)
    places = centers + rng.normal(0, 1, (people, joints, 2)) * spread
    # Moved a little after clipping: exactly between two pixels, a joint would give two equal maxima.
    places = np.clip(places, 3, [width - 3, height - 3]) + rng.uniform(-2, 2, places.shape)
    keypoints = places.astype(np.float32)
    present = rng.random((people, joints)) >= hidden
    person_tags = rng.permutation(people)[:, None] * tag_spacing + np.zeros(tag_size)
    # Trained networks paint a person's tag far around that person, so the background holds the nearest one's.
    tags = rng.normal(0, TAG_GRAIN, (joints, height, width, tag_size)).astype(np.float32)
    if people:
        row, column = np.mgrid[:height, :width]
        distance = (column - centers[:, :, 0, None]) ** 2 + (row - centers[:, :, 1, None]) ** 2
        if hidden_tags:
            tags += person_tags[distance.argmin(axis=0)].astype(np.float32)
        else:
            for joint_tags, drawn in zip(tags, present.T, strict=True):
                nearest = distance[drawn].argmin(axis=0) if drawn.any() else 0
                shown = person_tags[drawn] if drawn.any() else np.full((1, tag_size), -tag_spacing)  # nobody's
                joint_tags += shown[nearest].astype(np.float32)

    for person, joint in np.argwhere(present):
        x, y = keypoints[person, joint]
        top, left = max(int(y) - REACH_PX, 0), max(int(x) - REACH_PX, 0)
        area = np.s_[joint, top : int(y) + REACH_PX + 1, left : int(x) + REACH_PX + 1]
        rows = np.arange(top, min(int(y) + REACH_PX + 1, height))[:, None] + 0.5 - y
        columns = np.arange(left, min(int(x) + REACH_PX + 1, width))[None] + 0.5 - x
        blob = rng.uniform(0.4, 1.0) * np.exp(-(rows**2 + columns**2) / (2 * SIGMA_PX**2))
        stronger = blob > heatmaps[area]
        heatmaps[area] = np.where(stronger, blob, heatmaps[area])
        tag = person_tags[person] + rng.normal(0, tag_noise, tag_size)
        tags[area] = np.where((blob > 0.01)[..., None] & stronger[..., None], tag, tags[area])
    return Scene(heatmaps, tags, keypoints, present)
