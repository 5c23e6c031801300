"""The cumulative error curve as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heatstream.demo.drawing.ced_curve import draw_ced
from heatstream.demo.drawing.plot import COLOURS
from heatstream.errors import InputError

pytest.importorskip("matplotlib", reason="matplotlib comes with the extra plot")


def drawn(picture: Any, colour: str) -> Any:
    """(row, column) of the pixels of a colour, the legend in the lower right corner left out."""
    bgr = [int(colour[start : start + 2], 16) for start in (5, 3, 1)]
    rows, columns = np.nonzero((picture == bgr).all(axis=2))
    height, width = picture.shape[:2]
    in_legend = (rows > 0.75 * height) & (rows < 0.88 * height) & (columns > 0.8 * width)
    return rows[~in_legend], columns[~in_legend]


def test_a_better_network_has_the_higher_curve() -> None:
    picture = draw_ced({"good": np.linspace(0, 0.05, 50), "bad": np.linspace(0.05, 0.2, 50)})
    assert picture.shape == (480, 640, 3)
    good, bad = (drawn(picture, colour) for colour in COLOURS[:2])
    top = good[0].min()
    assert top < 30  # all faces, from the middle of the axis on; the bad curve never gets there
    assert 300 < good[1][good[0] < top + 3].min() < 380
    assert bad[0].min() > 200


def test_errors_beyond_the_limit_leave_a_flat_line() -> None:
    rows, columns = drawn(draw_ced({"lost": np.array([np.inf, 0.5, 0.001])}), COLOURS[0])
    flat = columns > 150
    assert np.ptp(rows[flat]) <= 3
    assert np.ptp(columns[flat]) > 300


@pytest.mark.parametrize("curves", [{}, {"none": np.zeros(0)}])
def test_nothing_to_draw_is_refused(curves: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least one error"):
        draw_ced(curves)
