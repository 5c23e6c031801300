"""Which photo a global sample number shows: sets mixed by weight, each photo once before any comes again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError


class Mixture:
    """A pure function from the sample number 0, 1, 2, ... to (set, photo of the set).

    An epoch holds every set's photos `weight` times over (rounded to whole photos, at least one), in random order.
    Within a set, photos come in permutations, one after another without regard to epochs.

    Args:
        lengths: photos per set, each at least 1.
        weights: how often each photo of a set is seen, relative to the others; 0 leaves a set out.
        seed: of every permutation.

    Raises:
        DatasetError: no weight is above 0, or one is below.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self._lengths = tuple(lengths)
        self._seed = seed
        if max(weights, default=0) <= 0 or min(weights) < 0:
            listed = ", ".join(f"{weight:g}" for weight in weights) or "no set at all"
            raise DatasetError(f"a training needs sets whose weights are above 0, not {listed}: correct `data.sets`")
        self._shares = [max(1, round(n * w)) if w else 0 for n, w in zip(lengths, weights, strict=True)]
        self._starts = np.cumsum([0, *self._shares])

    @property
    def epoch(self) -> int:
        """Samples per epoch."""
        return int(self._starts[-1])

    def place(self, number: int) -> tuple[int, int]:
        """Return the set and the photo's place in it."""
        epoch, slot = divmod(number, self.epoch)
        slot = int(_permutation(self._seed, 0, epoch, self.epoch)[slot])
        chosen = int(np.searchsorted(self._starts, slot, side="right")) - 1
        turn = epoch * self._shares[chosen] + slot - int(self._starts[chosen])
        return chosen, self.photo(chosen, turn)

    def photo(self, chosen: int, turn: int) -> int:
        """Return the photo that a set shows in its turn 0, 1, 2, ..."""
        length = self._lengths[chosen]
        passes, place = divmod(turn, length)
        return int(_permutation(self._seed, chosen + 1, passes, length)[place])


@lru_cache(maxsize=64)
def _permutation(seed: int, stream: int, number: int, length: int) -> NDArray[np.int64]:
    # The last 1 keeps these apart from the generators of samples, (seed, number): trailing zeros do not count.
    return np.random.default_rng((seed, stream, number, 1)).permutation(length)
