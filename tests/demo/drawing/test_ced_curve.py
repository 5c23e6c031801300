"""The cumulative error curve as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream.demo.drawing.ced_curve import COLORS, draw_ced
from heatstream.errors import InputError


def drawn(picture: Any, color: tuple[int, int, int]) -> Any:
    """(row, column) of the pixels of a colour, the legend left out."""
    rows, columns = np.nonzero((picture == color).all(axis=2))
    in_legend = (columns >= 345) & (rows > 350) & (rows < 410)
    return rows[~in_legend], columns[~in_legend]


def test_a_better_network_has_the_higher_curve() -> None:
    picture = draw_ced({"good": np.linspace(0, 0.05, 50), "bad": np.linspace(0.05, 0.2, 50)})
    good, bad = (drawn(picture, color) for color in COLORS[:2])
    # 24 px from the top is a share of 1; the good curve is there from the middle on, the bad one never.
    assert good[0].min() < 30
    assert 300 < good[1][good[0] < 30].min() < 380
    assert bad[0].min() > 200


def test_errors_beyond_the_limit_leave_a_flat_line() -> None:
    rows, columns = drawn(draw_ced({"lost": np.array([np.inf, 0.5])}), COLORS[0])
    assert np.ptp(rows) <= 3
    assert np.ptp(columns) > 300


@pytest.mark.parametrize("curves", [{}, {"none": np.zeros(0)}])
def test_nothing_to_draw_is_refused(curves: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least one error"):
        draw_ced(curves)
