"""Sub-pixel rules: where each puts a peak, and that a rule without an implementation is not another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream.kernels.reference.subpixel import refine_positions

ROWS, COLUMNS = np.mgrid[:20, :30]


def refined(x: float, y: float, adjust: Any) -> list[float]:
    """Where the peak of a Gaussian of sigma 2 px is found, whose centre is (x, y) with pixel centres at +0.5."""
    heatmaps = np.exp(-((COLUMNS + 0.5 - x) ** 2 + (ROWS + 0.5 - y) ** 2) / 8).astype(np.float32)[None]
    peak = np.unravel_index(heatmaps[0].argmax(), (20, 30))[::-1]
    (position,) = refine_positions(heatmaps, np.array([0]), np.array([peak]), adjust)
    assert position.dtype == np.float32
    return list(position.tolist())


def test_no_rule_gives_the_pixels_index() -> None:
    assert refined(12.8, 7.3, "none") == [12, 7]


def test_the_quarter_goes_towards_the_larger_neighbour() -> None:
    assert refined(12.8, 7.3, "quarter") == [12.75, 7.25]


@pytest.mark.parametrize(("x", "y"), [(12.8, 7.3), (12.5, 7.5), (25.1, 11.9)])
def test_the_expectation_is_near_the_centre(x: float, y: float) -> None:
    assert refined(x, y, "h3r") == pytest.approx([x, y], abs=0.1)


def test_a_rule_without_an_implementation_fails() -> None:
    with pytest.raises(KeyError, match="cubic"):
        refined(12.8, 7.3, "cubic")
