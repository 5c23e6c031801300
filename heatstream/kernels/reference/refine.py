"""Refine: the joints that a person lacks, found where heatmap and tag fit that person best."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Blocks", "find_missing", "worth_blocks"]

BLOCK = 8
"""Side of the blocks into which a map is cut, px."""
FEW_PX = 2**17
"""Where people have so few pixels to look at for a joint, all are looked at: to leave out any costs as much."""
AT_ONCE = 2**15
"""How many blocks are bounded, or pixels looked at, in one go: arrays of so many numbers stay in the cache."""

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.intp]


class Blocks:
    """The maps of K joints cut into blocks, BLOCK px wide, and what bounds the worth of the pixels in each.

    The blocks of a map are counted row by row, and those of all maps in the order of the joints.

    Args:
        heatmaps: (K, H, W) float32.
        tags: (K, H, W, T) float32.

    Attributes:
        values: (strips, BLOCK) float32, the heatmaps, padded to whole blocks. A strip is a row of pixels in a block.
        tags: (strips, BLOCK * T) float32, the tags, padded too.
        highest: (K, blocks) float32, the highest heatmap value in each block.
        lowest_tag, highest_tag: (T, K, blocks) float32, the range of its tags.
        in_row: how many blocks lie side by side.
        in_map: how many there are in a map.
    """

    def __init__(self, heatmaps: FloatArray, tags: FloatArray) -> None:
        self.map_width = heatmaps.shape[2]
        beyond = (0, 0), (0, -heatmaps.shape[1] % BLOCK), (0, -heatmaps.shape[2] % BLOCK)
        if beyond != ((0, 0),) * 3:
            heatmaps = np.pad(heatmaps, beyond, constant_values=-np.inf)  # worth nothing
            tags = np.pad(tags, (*beyond, (0, 0)), mode="edge")
        joints, height, width, num_tags = tags.shape
        self.values = heatmaps.reshape(-1, BLOCK)
        self.tags = tags.reshape(-1, BLOCK * num_tags)
        self.in_row = width // BLOCK
        self.in_map = height // BLOCK * self.in_row
        self.highest = np.empty((joints, self.in_map), np.float32)
        self.lowest_tag, self.highest_tag = np.empty((2, num_tags, joints, self.in_map), np.float32)
        for joint in range(joints):  # each map is read once from memory
            _block_extremes(np.minimum, tags[joint], self.lowest_tag[:, joint])
            _block_extremes(np.maximum, tags[joint], self.highest_tag[:, joint])
            _block_extremes(np.maximum, heatmaps[joint][..., None], self.highest[None, joint])

    def strips(self, number: IndexArray) -> IndexArray:
        """(BLOCK, n), from top to bottom, the strips of n blocks."""
        row, column = np.divmod(number, self.in_row)
        top = row * (BLOCK * self.in_row) + column
        strips: IndexArray = top + np.arange(0, BLOCK * self.in_row, self.in_row)[:, None]
        return strips

    def tags_are_finite(self) -> bool:
        """Whether none is NaN or infinite."""
        return bool(np.isfinite(self.lowest_tag).all() and np.isfinite(self.highest_tag).all())


def _block_extremes(extreme: np.ufunc, maps: FloatArray, result: FloatArray) -> None:
    """Write the extreme in each block of a joint's maps, (H, W, T), into (T, blocks)."""
    num_planes = maps.shape[2]
    columns = extreme.reduce(maps.reshape(-1, BLOCK, maps.shape[1] * num_planes), axis=1)
    turned = cv2.transpose(columns.reshape(-1, BLOCK * num_planes))  # long rows, which NumPy reduces fast
    extreme.reduce(turned.reshape(BLOCK, num_planes, -1), axis=0, out=result)


def worth_blocks(people: int, heatmaps: FloatArray) -> bool:
    """Whether so many people, who lack the same joint, are searched for faster by :class:`Blocks`."""
    return people * math.prod(heatmaps.shape[1:]) > FEW_PX


@np.errstate(over="ignore", invalid="ignore")  # a distance beyond all numbers is as good as any other
def find_missing(
    heatmaps: FloatArray,
    tags: FloatArray,
    missing: NDArray[np.bool_],
    mean_tags: FloatArray,
    blocks: Blocks | None = None,
) -> IndexArray:
    """For each person and missing joint the pixel with the largest ``heatmap - round(tag distance)``.

    This is the refinement of the official parser (HigherHRNet, Cheng et al. 2020), which looks at every pixel for
    every person. Here the highest heatmap value and the range of the tags in each block of pixels, with the gap around
    the middle of that range, bound what its best pixel is worth, from below and from above, and only blocks that may
    hold the best of all are looked into. The bounds are made by the operations that make a pixel's worth. Each of these
    rounds monotonically, so the bounds hold to the last bit.

    Args:
        heatmaps: (K, H, W) float32, finite.
        tags: (K, H, W, T) float32, finite.
        missing: (P, K) bool, where to look.
        mean_tags: (P, T) float32, the mean tag of each person's detections.
        blocks: those of the maps, if they are made already.

    Returns:
        (P, K) flat pixel indices; the first in row-major order where several are equally good; 0 where
        nothing was missing.
    """
    found = np.zeros(missing.shape, np.intp)
    joint, person = missing.T.nonzero()  # joint by joint: people who lack the same one share its blocks
    if blocks is None and joint.size and worth_blocks(int(missing.sum(axis=0).max()), heatmaps):
        blocks = Blocks(heatmaps, tags)
    if blocks is None:
        for one in missing.any(axis=0).nonzero()[0]:
            people = missing[:, one].nonzero()[0]
            found[people, one] = _whole_map(heatmaps[one], tags[one], mean_tags[people].T)
    elif joint.size:
        found[person, joint] = _search_blocks(blocks, joint, mean_tags[person].T)
    return found


def _whole_map(heatmap: FloatArray, tags: FloatArray, wanted: FloatArray) -> IndexArray:
    """(n,) the best pixel of a map, (H, W), and its tags, (H, W, T), for each of the wanted ones, (T, n)."""
    distance = _rounded_distance(tags.reshape(1, heatmap.size, -1), wanted[..., None])
    best: IndexArray = np.subtract(heatmap.reshape(-1), distance, out=distance).argmax(axis=1)
    return best


def _search_blocks(blocks: Blocks, joint: IndexArray, wanted: FloatArray) -> IndexArray:
    """(n,) the flat index of the best pixel of a joint's map for a tag, for each of (n,) joints and (T, n) tags."""
    parts = []
    step = max(AT_ONCE // blocks.in_map, 1)
    for start in range(0, len(joint), step):
        some = slice(start, start + step)
        search, number, best = _open_blocks(blocks, joint[some], wanted[:, some])
        parts.append((search + start, number, best))
    search, number, best = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = _open_beside_gaps(blocks, number, wanted[:, search], best)
    search, number = search[kept], number[kept]
    worth, pixel = _best_pixels(blocks, number, wanted[:, search])
    begin = np.searchsorted(search, np.arange(len(joint)))
    best = np.maximum.reduceat(worth, begin)
    pixel = np.minimum.reduceat(np.where(worth < best[search], blocks.values.size, pixel), begin)
    y, x = np.divmod(pixel - joint * (blocks.in_map * BLOCK**2), blocks.in_row * BLOCK)
    found: IndexArray = y * blocks.map_width + x
    return found


def _open_blocks(blocks: Blocks, joint: IndexArray, wanted: FloatArray) -> tuple[IndexArray, IndexArray, FloatArray]:
    """The blocks that may hold the best pixel, for each of (n,) joints and (T, n) tags.

    Returns:
        Of each block: which of the n it is for, ascending and none left out; its number; what the best pixel is worth
        at least.
    """
    tag = wanted[..., None]
    below, above = blocks.lowest_tag.take(joint, axis=1), blocks.highest_tag.take(joint, axis=1)
    np.subtract(below, tag, out=below)
    np.subtract(tag, above, out=above)
    differences = np.empty((len(wanted), 2, *below.shape[1:]), np.float32)
    nearest, farthest = differences[:, 0], differences[:, 1]
    np.maximum(np.maximum(below, above, out=nearest), 0, out=nearest)
    np.minimum(below, above, out=farthest)
    distance = _rounded_length(differences)
    at_most, at_least = np.subtract(blocks.highest.take(joint, axis=0), distance, out=distance)

    # The first block that promises most holds a pixel as good as that. Only blocks that may hold a better one are
    # looked into, and those that may hold an equal one in the same rows or above.
    first = at_least.argmax(axis=1)
    best = at_least[np.arange(len(joint)), first]
    open_ = ~(at_most < best[:, None])  # what is not a number counts as open
    place = open_.reshape(-1).nonzero()[0]
    search = place // blocks.in_map
    block = place - search * blocks.in_map
    equal = at_most.reshape(-1)[place] == best[search]
    if equal.any():
        early = ~(equal & (block // blocks.in_row > (first // blocks.in_row)[search]))
        search, block = search[early], block[early]
    return search, joint[search] * blocks.in_map + block, best[search]


def _open_beside_gaps(blocks: Blocks, number: IndexArray, wanted: FloatArray, best: FloatArray) -> NDArray[np.bool_]:
    """Whether a block may still hold the best pixel for a tag, for each of (n,) blocks and (T, n) tags.

    Where two people meet, a block's range holds the tags of all who are numbered between them, its pixels none.

    Args:
        blocks: the blocks.
        number: (n,) blocks.
        wanted: (T, n) tags.
        best: (n,) what the best pixel is worth at least.
    """
    used = np.zeros(blocks.highest.size, np.bool_)
    used[number] = True
    some = used.nonzero()[0]
    place = np.cumsum(used)[number] - 1
    lowest, begin, end, highest = np.stack(_gaps(blocks, some)).take(place, axis=2)
    nearest = np.minimum(wanted - begin, end - wanted)
    np.maximum(nearest, np.maximum(lowest - wanted, wanted - highest), out=nearest)
    np.maximum(nearest, 0, out=nearest)
    return ~(blocks.highest.reshape(-1)[number] - _rounded_length(nearest) < best)


def _gaps(blocks: Blocks, number: IndexArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(T, n) each, of n blocks: the lowest tag, the last before the middle of the range, the next one, the highest."""
    num_tags = len(blocks.lowest_tag)
    lowest = blocks.lowest_tag.reshape(num_tags, -1).take(number, axis=1)
    highest = blocks.highest_tag.reshape(num_tags, -1).take(number, axis=1)
    middle = _in_order((lowest + highest) * np.float32(0.5))
    begin, end = np.empty((2, *middle.shape), np.int32)
    strips = blocks.strips(number)
    step = max(AT_ONCE // BLOCK**2, 1)
    for start in range(0, len(number), step):
        some = slice(start, start + step)
        order = _in_order(blocks.tags.take(strips[:, some], axis=0))
        # Subtracted as unsigned numbers, what lies below the middle wraps around and comes last.
        beyond = np.subtract(order, np.tile(middle[:, some].T, BLOCK), out=order).view(np.uint32)
        for extreme, result in ((np.maximum, begin), (np.minimum, end)):
            turned = np.ascontiguousarray(extreme.reduce(beyond, axis=0).T)
            result[:, some] = extreme.reduce(turned.reshape(BLOCK, num_tags, -1), axis=0)
    return lowest, _in_order(middle + begin).view(np.float32), _in_order(middle + end).view(np.float32), highest


def _in_order(numbers: NDArray[np.float32 | np.int32]) -> NDArray[np.int32]:
    """Whole numbers that are in the order of floating-point ones; of such whole numbers the bits of those."""
    bits = numbers.view(np.int32)
    flip = np.right_shift(bits, 31)
    flip &= 0x7FFFFFFF
    return np.bitwise_xor(bits, flip, out=flip)


def _best_pixels(blocks: Blocks, number: IndexArray, wanted: FloatArray) -> tuple[FloatArray, IndexArray]:
    """(n,) each: what the best pixel of a block is worth for a tag, and the first such one's flat index in all maps."""
    worth = np.empty(len(number), np.float32)
    pixel = np.empty(len(number), np.intp)
    step = max(AT_ONCE // BLOCK**2, 1)
    for start in range(0, len(number), step):
        some = slice(start, start + step)
        strips = np.ascontiguousarray(blocks.strips(number[some]).T)
        tags = blocks.tags.take(strips, axis=0).reshape(len(strips), BLOCK**2, -1)
        distance = _rounded_distance(tags, wanted[:, some, None])
        np.subtract(blocks.values.take(strips, axis=0).reshape(distance.shape), distance, out=distance)
        first = distance.argmax(axis=1)
        every = np.arange(len(strips))
        worth[some] = distance[every, first]
        row, column = np.divmod(first, BLOCK)
        pixel[some] = strips[every, row] * BLOCK + column
    return worth, pixel


def _rounded_distance(tags: FloatArray, wanted: FloatArray) -> FloatArray:
    """(n, m) float32, the rounded distances of tags, (n or 1, m, T), to wanted ones, (T, n, 1)."""
    differences = np.empty((*wanted.shape[:2], tags.shape[1]), np.float32)
    for plane, (difference, tag) in enumerate(zip(differences, wanted, strict=True)):
        np.subtract(tags[..., plane], tag, out=difference)
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
