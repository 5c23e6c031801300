"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_missing"]

BLOCK = 8
"""Side of the blocks into which a map is cut, px."""
AT_ONCE = 2**15
"""How many blocks are bounded, and pixels looked at, in one go: arrays of so many numbers stay in the cache."""

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.intp]


def find_missing(
    heatmaps: FloatArray, tags: FloatArray, missing: NDArray[np.bool_], mean_tags: FloatArray
) -> IndexArray:
    """For each person and missing joint the pixel with the largest ``heatmap - round(tag distance)``.

    This is the refinement of the official parser (HigherHRNet, Cheng et al. 2020), which looks at every pixel for
    every person. Here the highest heatmap value and the range of the tags in each block of pixels bound what its best
    pixel is worth, from below and from above, and only blocks that may hold the best of all are looked into. The
    bounds are made by the operations that make a pixel's worth. Each of these rounds monotonically, so the bounds hold
    to the last bit.

    Args:
        heatmaps: (K, H, W) float32, finite.
        tags: (K, H, W, T) float32, finite.
        missing: (P, K) bool, where to look.
        mean_tags: (P, T) float32, the mean tag of each person's detections.

    Returns:
        (P, K) flat pixel indices; the first in row-major order where several are equally good; 0 where
        nothing was missing.
    """
    found = np.zeros(missing.shape, np.intp)
    joints = missing.any(axis=0).nonzero()[0]
    if not joints.size:
        return found
    highest = _of_blocks(np.maximum, heatmaps[..., None], joints)[0]
    lowest_tag, highest_tag = _of_blocks(np.minimum, tags, joints), _of_blocks(np.maximum, tags, joints)
    row, person = missing[:, joints].T.nonzero()  # joint by joint, so that searches of one map follow each other
    step = max(AT_ONCE // highest.shape[1], 1)
    for start in range(0, len(row), step):
        some, wanted = row[start : start + step], mean_tags[person[start : start + step]]
        below = lowest_tag[:, some] - wanted.T[..., None]  # (T, searches, blocks)
        above = wanted.T[..., None] - highest_tag[:, some]
        at_least = _worth(highest[some], np.minimum(below, above))
        at_most = _worth(highest[some], np.maximum(np.maximum(below, above, out=below), 0, out=below))
        found[person[start : start + step], joints[some]] = _search(
            heatmaps, tags, joints[some], wanted, at_least, at_most
        )
    return found


def _of_blocks(extreme: np.ufunc, maps: FloatArray, joints: IndexArray) -> FloatArray:
    """(T, joints, blocks) float32, the extreme in each block of these joints' maps, (K, H, W, T); row by row."""
    _, height, width, planes = maps.shape
    down, across, whole = -(-height // BLOCK), -(-width // BLOCK), height // BLOCK
    rows = np.empty((len(joints), down, across * BLOCK, planes), np.float32)
    for joint, of_joint in zip(joints, rows, strict=True):
        full = maps[joint, : whole * BLOCK].reshape(whole, BLOCK, width, planes)
        extreme.reduce(full, axis=1, out=of_joint[:whole, :width])
        if whole < down:
            extreme.reduce(maps[joint, whole * BLOCK :], axis=0, out=of_joint[whole, :width])
    rows[:, :, width:] = rows[:, :, width - 1 : width]
    columns = np.ascontiguousarray(rows.reshape(-1, BLOCK * planes).T)  # long rows, which NumPy reduces fast
    result: FloatArray = extreme.reduce(columns.reshape(BLOCK, planes, len(joints), -1), axis=0)
    return result


def _search(
    heatmaps: FloatArray,
    tags: FloatArray,
    joints: IndexArray,
    wanted: FloatArray,
    at_least: FloatArray,
    at_most: FloatArray,
) -> IndexArray:
    """(n,) flat indices of the best pixels of n searches.

    Args:
        heatmaps: (K, H, W).
        tags: (K, H, W, T).
        joints: (n,) the map in which each search looks.
        wanted: (n, T) the tag that it looks for.
        at_least: (n, blocks) what the best pixel of a block is worth at least.
        at_most: (n, blocks) likewise; overwritten.
    """
    best = np.full(len(joints), -np.inf, np.float32)
    found = np.zeros(len(joints), np.intp)
    # The block that promises most and the one that may hold most come first: they leave few others in the race.
    search = np.tile(np.arange(len(joints)), 2)
    block = np.concatenate([at_least.argmax(axis=1), at_most.argmax(axis=1)])
    _look(heatmaps, tags, joints, wanted, search, block, best, found)
    at_most[search, block] = -np.inf
    first = _pixels(np.arange(at_most.shape[1]), heatmaps.shape)[:, 0]
    in_race = at_most > best[:, None]
    in_race |= (at_most == best[:, None]) & (first < found[:, None])
    search, block = in_race.nonzero()
    step = AT_ONCE // BLOCK**2
    for start in range(0, len(search), step):
        some = slice(start, start + step)
        _look(heatmaps, tags, joints, wanted, search[some], block[some], best, found)
    return found


def _look(
    heatmaps: FloatArray,
    tags: FloatArray,
    joints: IndexArray,
    wanted: FloatArray,
    search: IndexArray,
    block: IndexArray,
    best: FloatArray,
    found: IndexArray,
) -> None:
    """Let each of these searches look into one block; raises ``best`` and ``found`` where there is a better pixel."""
    pixels = _pixels(block, heatmaps.shape)
    places = pixels + joints[search, None] * (heatmaps.shape[1] * heatmaps.shape[2])
    differences = np.empty((tags.shape[3], *places.shape), np.float32)
    for plane, difference in enumerate(differences):
        tags.reshape(-1).take(places * len(differences) + plane, out=difference, mode="clip")
        difference -= wanted[search, plane, None]
    worth = _worth(heatmaps.reshape(-1).take(places), differences)
    in_block = worth.argmax(axis=1)[:, None]
    worth = np.take_along_axis(worth, in_block, axis=1)[:, 0]
    pixels = np.take_along_axis(pixels, in_block, axis=1)[:, 0]
    before = best.copy()
    np.maximum.at(best, search, worth)
    found[best > before] = np.iinfo(np.intp).max
    equal = worth == best[search]
    np.minimum.at(found, search[equal], pixels[equal])


def _pixels(block: IndexArray, shape: tuple[int, ...]) -> IndexArray:
    """(n, BLOCK**2) flat indices of the pixels of these blocks of a (K, H, W) map, row by row.

    In blocks that reach beyond the map, pixels at its border come again.
    """
    _, height, width = shape
    row, column = np.divmod(block, -(-width // BLOCK))
    rows = np.minimum(row[:, None] * BLOCK + np.arange(BLOCK), height - 1)
    columns = np.minimum(column[:, None] * BLOCK + np.arange(BLOCK), width - 1)
    return (rows[:, :, None] * width + columns[:, None]).reshape(len(block), -1)


def _worth(values: FloatArray, differences: FloatArray) -> FloatArray:
    """(n, m) float32, ``value - round(length of the difference)``; rounding is half to even.

    Args:
        values: (n, m) heatmap values.
        differences: (T, n, m) between tags and the wanted tag; overwritten.
    """
    if len(differences) == 1:
        distance = np.abs(differences[0], out=differences[0])
    else:
        np.multiply(differences, differences, out=differences)
        distance = differences[0]
        for square in differences[1:]:
            distance += square
        np.sqrt(distance, out=distance)
    np.rint(distance, out=distance)
    return np.subtract(values, distance, out=distance)
