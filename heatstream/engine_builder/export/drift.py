"""How far the maps of one network are from those of another that should give the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drift", "measure_drift"]


@dataclass(frozen=True)
class Drift:
    """A difference between maps, relative to the range of what was expected.

    Attributes:
        largest: of all values; infinite where a value is not finite.
        rms: root of the mean square, relative to the same range.
    """

    largest: float
    rms: float


def measure_drift(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Drift:
    """Compare what was expected with what was received.

    Args:
        pairs: (expected, received) of the same shape, for every image; each is related to its own range.

    Returns:
        The largest difference of any image, and the root of the mean square over all of them.
    """
    largest, squares = 0.0, []
    for expected, received in pairs:
        # A map that is the same everywhere has no range; then only being equal will do.
        unit = max(float(np.ptp(expected)), np.finfo(np.float32).tiny)
        difference = np.abs(received.astype(np.float64) - expected) / unit
        worst = float(difference.max())
        largest = max(largest, worst if np.isfinite(worst) else np.inf)
        squares.append(float(np.square(difference).mean()))
    rms = float(np.sqrt(np.mean(squares))) if squares else 0.0
    return Drift(largest, rms if np.isfinite(rms) else np.inf)
