"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["find_missing"]

BLOCK = 8
"""Side of the blocks into which a map is cut, px."""
SAMPLES = 256
"""From the tags of so many pixels one guesses whether a person's tag is on a map: how to search, not what is found."""
AT_ONCE = 2**15
"""How many blocks or pixels are valued in one go: arrays of so many numbers stay in the cache."""
FEW, FEW_PX = 2, 2**17
"""For so many people, or where so many pixels are left to look at, every pixel is: to leave out any costs as much."""

BRIGHT = (np.float32(0.2), np.float32(0.02))
"""Pixels above these are few, and one below cannot be worth more: a better one among them is the best of all."""

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
    left = np.zeros_like(missing)
    for joint in missing.any(axis=0).nonzero()[0]:
        people = missing[:, joint].nonzero()[0]
        if people.size > FEW:
            # Where few pixels are left at the worst, the bright ones are worth a try for everybody.
            small = people.size * heatmaps[joint].size <= FEW_PX
            shown = np.ones(people.size, np.bool_) if small else _shown(tags[joint], mean_tags[people])
            some = people[shown]
            found[some, joint], certain = _among_bright(heatmaps[joint], tags[joint], mean_tags[some])
            people = np.concatenate([people[~shown], some[~certain]])
        if people.size * heatmaps[joint].size <= FEW_PX:
            for person in people:
                found[person, joint] = _whole_map(heatmaps[joint], tags[joint], mean_tags[person])
        else:
            left[people, joint] = True
    if left.any():
        _search_blocks(heatmaps, tags, left, mean_tags, found)
    return found


def _shown(tags: FloatArray, wanted: FloatArray) -> NDArray[np.bool_]:
    """(P,) which of the wanted tags, (P, T), are seen on a map, (H, W, T), when about SAMPLES pixels are looked at."""
    step = max(math.isqrt(tags.shape[0] * tags.shape[1] // SAMPLES), 1)
    sample = tags[step // 2 :: step, step // 2 :: step].reshape(-1, tags.shape[2])
    shown: NDArray[np.bool_] = (_rounded_distance(sample, wanted) == 0).any(axis=1)
    return shown


def _among_bright(heatmap: FloatArray, tags: FloatArray, wanted: FloatArray) -> tuple[IndexArray, NDArray[np.bool_]]:
    """(P,) the best of the bright pixels of a map for each wanted tag, (P, T), and whether it is the best of all."""
    found = np.zeros(len(wanted), np.intp)
    certain = np.zeros(len(wanted), np.bool_)
    values = heatmap.reshape(-1)
    for least in BRIGHT:
        rest = (~certain).nonzero()[0]
        if not rest.size:
            break
        bright = (values > least).nonzero()[0]
        if bright.size:
            bright_tags = tags.reshape(len(values), -1).take(bright, axis=0)
            worth = values.take(bright) - _rounded_distance(bright_tags, wanted[rest])
            found[rest] = bright.take(worth.argmax(axis=1))
            certain[rest] = worth.max(axis=1) > least
    return found, certain


def _whole_map(heatmap: FloatArray, tags: FloatArray, wanted: FloatArray) -> np.intp:
    """The best pixel of a map, (H, W), and its tags, (H, W, T), for a wanted tag, (T,)."""
    distance = _rounded_distance(tags.reshape(heatmap.size, -1), wanted[None])[0]
    best: np.intp = np.subtract(heatmap.reshape(-1), distance, out=distance).argmax()
    return best


def _search_blocks(
    heatmaps: FloatArray, tags: FloatArray, missing: NDArray[np.bool_], mean_tags: FloatArray, found: IndexArray
) -> None:
    """What :func:`find_missing` does, by bounds of blocks; writes into ``found``."""
    joints = missing.any(axis=0).nonzero()[0]
    row, person = missing[:, joints].T.nonzero()  # joint by joint, since searches of one map look at the same blocks
    maps = _Maps(heatmaps, tags, joints)
    step = max(AT_ONCE // maps.num_blocks, 1)
    for start in range(0, len(row), step):
        some = slice(start, start + step)
        found[person[some], joints[row[some]]] = _search(maps, row[some], mean_tags[person[some]].T)


class _Maps:
    """The maps of J joints, and what bounds the worth of the pixels in each of their blocks, which are BLOCK px wide.

    Blocks are counted row by row.

    Attributes:
        values: (K * H * W,) float32, the heatmaps.
        first_pixel: (J,) where each joint's map begins there.
        highest: (J, blocks) float32, the highest heatmap value in each block.
        lowest_tag, highest_tag: (T, J, blocks) float32, the range of its tags.
        first_own: (blocks,) its first pixel in its map.
        corner: (blocks,) the first pixel of a window as large as a block that holds it and lies within the map.
        steps: (pixels,) from the corner of a window to each of its pixels.
    """

    def __init__(self, heatmaps: FloatArray, tags: FloatArray, joints: IndexArray) -> None:
        _, height, width = heatmaps.shape
        num_tags = tags.shape[3]
        self.values = heatmaps.reshape(-1)
        self.first_pixel = joints * (height * width)
        rows, columns = -(-height // BLOCK), -(-width // BLOCK) * BLOCK
        highest = np.empty((len(joints), rows, columns, 1), np.float32)
        lowest_tag, highest_tag = np.empty((2, len(joints), rows, columns, num_tags), np.float32)
        for row, joint in enumerate(joints):  # each map is read once from memory
            _column_extremes(np.maximum, heatmaps[joint][..., None], highest[row])
            _column_extremes(np.minimum, tags[joint], lowest_tag[row])
            _column_extremes(np.maximum, tags[joint], highest_tag[row])
        self.highest = _block_extremes(np.maximum, highest)[0]
        self.lowest_tag = _block_extremes(np.minimum, lowest_tag)
        self.highest_tag = _block_extremes(np.maximum, highest_tag)
        self.num_blocks = self.highest.shape[1]
        y, x = BLOCK * np.stack(np.divmod(np.arange(self.num_blocks), columns // BLOCK))
        window = min(BLOCK, height), min(BLOCK, width)
        self.first_own = y * width + x
        self.corner = np.minimum(y, height - window[0]) * width + np.minimum(x, width - window[1])
        self.steps = (np.arange(window[0])[:, None] * width + np.arange(window[1])).reshape(-1)
        lines = tags.reshape(len(tags), height, width * num_tags)
        self._windows = sliding_window_view(lines, (window[0], window[1] * num_tags), axis=(1, 2))
        self._width, self._joints = width, joints

    def tags(self, row: IndexArray, block: IndexArray) -> FloatArray:
        """(n, pixels, T) float32, the tags in the windows of these blocks."""
        y, x = np.divmod(self.corner[block], self._width)
        windows: FloatArray = self._windows[self._joints[row], y, x * len(self.lowest_tag)]
        return windows.reshape(len(row), len(self.steps), -1)


def _column_extremes(extreme: np.ufunc, maps: FloatArray, columns: FloatArray) -> None:
    """Write the extreme in each column of a row of blocks, (rows, >= W, T), of one joint's maps, (H, W, T)."""
    height, width, num_planes = maps.shape
    whole = height // BLOCK
    full = maps[: whole * BLOCK].reshape(whole, BLOCK, width, num_planes)
    extreme.reduce(full, axis=1, out=columns[:whole, :width])
    if whole < len(columns):
        extreme.reduce(maps[whole * BLOCK :], axis=0, out=columns[whole, :width])
    columns[:, width:] = columns[:, width - 1 : width]  # beyond the map its last column again


def _block_extremes(extreme: np.ufunc, columns: FloatArray) -> FloatArray:
    """(T, J, blocks) float32 from the extremes of columns, (J, rows, width, T)."""
    joints, num_planes = len(columns), columns.shape[3]
    turned = np.ascontiguousarray(columns.reshape(-1, BLOCK * num_planes).T)  # long rows, which NumPy reduces fast
    result: FloatArray = extreme.reduce(turned.reshape(BLOCK, num_planes, joints, -1), axis=0)
    return result


def _search(maps: _Maps, row: IndexArray, wanted: FloatArray) -> IndexArray:
    """(n,) flat indices of the best pixels: each search is in the map of one of the J joints, for one tag.

    Args:
        maps: the maps.
        row: (n,) which of the joints.
        wanted: (T, n) the tags.
    """
    highest, lowest_tag, highest_tag = maps.highest[row], maps.lowest_tag[:, row], maps.highest_tag[:, row]
    tag = wanted[..., None]
    nearest = np.maximum(tag, lowest_tag)
    np.minimum(nearest, highest_tag, out=nearest)
    nearest -= tag
    at_most = highest - _rounded_length(nearest)
    highest_tag -= tag
    np.subtract(tag, lowest_tag, out=lowest_tag)
    at_least = highest - _rounded_length(np.maximum(lowest_tag, highest_tag, out=lowest_tag))

    best = np.full(len(row), -np.inf, np.float32)
    found = np.zeros(len(row), np.intp)
    # The block that promises most and the one that may hold most come first: they leave few others in the race.
    search = np.tile(np.arange(len(row)), 2)
    block = np.concatenate([at_least.argmax(axis=1), at_most.argmax(axis=1)])
    _look(maps, row, wanted, search, block, best, found)
    at_most[search, block] = -np.inf
    search, block = _places(at_most >= best[:, None])
    needed = (at_most[search, block] > best[search]) | (maps.first_own[block] < found[search])
    search, block = search[needed], block[needed]
    step = AT_ONCE // BLOCK**2
    for start in range(0, len(search), step):
        _look(maps, row, wanted, search[start : start + step], block[start : start + step], best, found)
    return found


def _look(
    maps: _Maps,
    row: IndexArray,
    wanted: FloatArray,
    search: IndexArray,
    block: IndexArray,
    best: FloatArray,
    found: IndexArray,
) -> None:
    """Let each of these searches look into one block; raises ``best`` and ``found`` where there is a better pixel."""
    tags = maps.tags(row[search], block)
    differences = np.empty((len(wanted), *tags.shape[:2]), np.float32)
    for plane, difference in enumerate(differences):
        np.subtract(tags[..., plane], wanted[plane, search, None], out=difference)
    distance = _rounded_length(differences)
    at_most = maps.highest[row[search], block][:, None] - distance
    turn, step = _places(at_most >= best[search][:, None])
    search = search[turn]
    pixel = maps.corner[block[turn]] + maps.steps[step]
    worth = maps.values[maps.first_pixel[row[search]] + pixel] - distance[turn, step]
    before = best.copy()
    np.maximum.at(best, search, worth)
    found[best > before] = len(maps.values)
    equal = worth == best[search]
    np.minimum.at(found, search[equal], pixel[equal])


def _places(table: NDArray[np.bool_]) -> tuple[IndexArray, IndexArray]:
    """Row and column of every true element; faster than NumPy's nonzero of two axes."""
    flat = table.reshape(-1).nonzero()[0]
    row = flat // table.shape[1]
    return row, flat - row * table.shape[1]


def _rounded_distance(tags: FloatArray, wanted: FloatArray) -> FloatArray:
    """(P, n) float32, the rounded distances of n tags, (n, T), to P wanted ones, (P, T)."""
    differences = np.empty((wanted.shape[1], len(wanted), len(tags)), np.float32)
    for difference, plane, tag in zip(differences, tags.T, wanted.T, strict=True):
        np.subtract(plane, tag[:, None], out=difference)
    return _rounded_length(differences)


def _rounded_length(differences: FloatArray) -> FloatArray:
    """(...) float32, the lengths of differences between tags, (T, ...), to whole numbers, half to even; overwrites."""
    length: FloatArray = differences[0]
    if len(differences) == 1:
        np.abs(length, out=length)
    else:
        np.multiply(differences, differences, out=differences)
        for square in differences[1:]:
            length += square
        np.sqrt(length, out=length)
    return np.rint(length, out=length)
