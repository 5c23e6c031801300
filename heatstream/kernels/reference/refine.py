"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_missing"]

BLOCK = 8
"""Side of the blocks into which a map is cut, px."""
SAMPLES = 256
"""From the tags of so many pixels one guesses whether a person's tag is on a map: how to search, not what is found."""
AT_ONCE = 2**17
"""How many blocks, for all people together, are valued in one go: arrays of so many numbers stay in the cache."""
PRODUCT = 2**20
"""Of how many squared distances a product of matrices consists at most, unless one person has more: memory."""
FEW, FEW_PX = 2, 2**17
"""For so many people, or where so many pixels are left to look at, every pixel is: to leave out any costs as much."""

ALLOWANCE = np.float32(2**-20)
"""Relative: more than the few roundings, of 2**-24 each, in the sums that it is for."""

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
    pixels = heatmaps[0].size
    # The bright pixels come first for those whose tags seem to be on the map, if they are not few among those who lack
    # the joint: blocks serve all of them at once. Where few pixels are left at the worst, they are worth a try anyway.
    large = missing.sum(axis=0) * pixels > FEW_PX
    shown = missing & ~large
    if large.any():
        shown |= _shown(tags, missing & large, mean_tags)
    shown &= 2 * shown.sum(axis=0) > missing.sum(axis=0)
    for joint in missing.any(axis=0).nonzero()[0]:
        people = missing[:, joint].nonzero()[0]
        if people.size > FEW and shown[:, joint].any():
            some = shown[:, joint].nonzero()[0]
            found[some, joint], certain = _among_bright(heatmaps[joint], tags[joint], mean_tags[some])
            people = np.concatenate([people[~shown[people, joint]], some[~certain]])
        if people.size * pixels <= FEW_PX:
            for person in people:
                found[person, joint] = _whole_map(heatmaps[joint], tags[joint], mean_tags[person])
        else:
            left[people, joint] = True
    if left.any():
        _search_blocks(heatmaps, tags, left, mean_tags, found)
    return found


def _shown(tags: FloatArray, missing: NDArray[np.bool_], wanted: FloatArray) -> NDArray[np.bool_]:
    """(P, K) whose wanted tag, (P, T), is seen on a map, (K, H, W, T), when about SAMPLES pixels are looked at."""
    step = max(math.isqrt(tags.shape[1] * tags.shape[2] // SAMPLES), 1)
    sample = np.moveaxis(tags[:, step // 2 :: step, step // 2 :: step], 3, 0).reshape(tags.shape[3], len(tags), -1)
    person, joint = missing.nonzero()
    distance = _rounded_length(sample[:, joint] - wanted[person].T[..., None])
    shown = np.zeros_like(missing)
    shown[person, joint] = (distance == 0).any(axis=1)
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
    row, person = missing[:, joints].T.nonzero()  # joint by joint: people who lack the same one share its blocks
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
        tags: (K * H * W, T) float32, the tags.
        first_pixel: (J,) where each joint's map begins there.
        highest: (J, blocks) float32, the highest heatmap value in each block.
        lowest_tag, highest_tag: (T, J, blocks) float32, the range of its tags.
        first_own, last_own: (blocks,) its first and last pixel in its map.
        corner: (blocks,) the first pixel of a window as large as a block that holds it and lies within the map.
        steps: (pixels,) from the corner of a window to each of its pixels.
    """

    def __init__(self, heatmaps: FloatArray, tags: FloatArray, joints: IndexArray) -> None:
        _, height, width = heatmaps.shape
        num_tags = tags.shape[3]
        self.values = heatmaps.reshape(-1)
        self.tags = tags.reshape(-1, num_tags)
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
        self.last_own = (np.minimum(y + BLOCK, height) - 1) * width + np.minimum(x + BLOCK, width) - 1
        self.corner = np.minimum(y, height - window[0]) * width + np.minimum(x, width - window[1])
        self.steps = (np.arange(window[0])[:, None] * width + np.arange(window[1])).reshape(-1)


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
    beyond = np.maximum(np.subtract(lowest_tag, tag, out=lowest_tag), np.subtract(tag, highest_tag, out=highest_tag))
    farthest = np.minimum(lowest_tag, highest_tag, out=lowest_tag)
    at_most = highest - _rounded_length(np.maximum(beyond, 0, out=beyond))
    at_least = highest - _rounded_length(farthest)

    # The first block that promises most holds a pixel as good as that. Only blocks that may hold a better one are
    # looked into, and those that may hold an equal one in the same rows or above.
    first = at_least.argmax(axis=1)
    best = at_least[np.arange(len(row)), first]
    open_ = at_most > best[:, None]
    open_ |= (at_most == best[:, None]) & (maps.first_own <= maps.last_own[first][:, None])
    searches, pixels = [], []
    for one in np.unique(row):
        start, end = np.searchsorted(row, (one, one + 1))
        person, pixel = _near_pixels(maps, one, wanted[:, start:end], open_[start:end], best[start:end])
        searches.append(start + person)
        pixels.append(pixel)
    return _best_of(maps, row, wanted, np.concatenate(searches), np.concatenate(pixels))


def _near_pixels(
    maps: _Maps, row: int, wanted: FloatArray, open_: NDArray[np.bool_], best: FloatArray
) -> tuple[IndexArray, IndexArray]:
    """The pixels of a map's open blocks whose tags are near enough to be the best, and for which of P people.

    Near is decided by ``|t|^2 - 2 t w + |w|^2``, which is one product of matrices, and with an allowance for its
    rounding: a few pixels too many cost little.

    Args:
        maps: the maps.
        row: which of the joints.
        wanted: (T, P) the tags.
        open_: (P, blocks) where to look.
        best: (P,) what the best pixel is worth at least.

    Returns:
        People, ascending, and flat pixel indices, (n,) each; nobody lacks a pixel.
    """
    block = open_.any(axis=0).nonzero()[0]
    pixel = (maps.corner[block, None] + maps.steps).reshape(-1)
    points = np.empty((len(wanted) + 1, pixel.size), np.float32)
    points[:-1] = maps.tags[maps.first_pixel[row] :].take(pixel, axis=0).T
    factors = np.ones((len(best), len(points)), np.float32)
    np.multiply(wanted.T, -2, out=factors[:, :-1])
    # The heatmap's highest value leaves room for so much distance, and what is no larger by a half may round to that.
    least = best[:, None]
    room = np.floor(maps.highest[row, block] - least + ALLOWANCE * (1 + abs(least)))
    with np.errstate(over="ignore", invalid="ignore"):  # what is not a number counts as near
        np.square(points[:-1]).sum(axis=0, out=points[-1])
        own = np.square(wanted).sum(axis=0)
        limit = np.square(np.maximum(room + np.float32(0.5), 0)) * (1 + ALLOWANCE)
        limit += (ALLOWANCE * (points[-1].max() + own.max()) - own)[:, None]
        people, places = [], []
        step = max(PRODUCT // pixel.size, 1)
        for start in range(0, len(best), step):
            some = slice(start, start + step)
            square = (factors[some] @ points).reshape(-1, len(block), len(maps.steps))
            far = square > limit[some, :, None]
            person, place = np.divmod(np.logical_not(far, out=far).reshape(-1).nonzero()[0], pixel.size)
            people.append(person + start)
            places.append(place)
    return np.concatenate(people), pixel[np.concatenate(places)]


def _best_of(maps: _Maps, row: IndexArray, wanted: FloatArray, search: IndexArray, pixel: IndexArray) -> IndexArray:
    """(n,) the best of each search's pixels, the first among equals; searches ascend and none lacks a pixel."""
    place = maps.first_pixel[row[search]] + pixel
    distance = _rounded_length(maps.tags.take(place, axis=0).T - wanted.take(search, axis=1))
    worth = maps.values.take(place) - distance
    begin = np.searchsorted(search, np.arange(len(row)))
    best = np.maximum.reduceat(worth, begin)
    found: IndexArray = np.minimum.reduceat(np.where(worth == best[search], pixel, len(maps.values)), begin)
    return found


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
