"""A grid of several sources: each in its place, the latest picture of each, aspect kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heatstream.demo.drawing.mosaic import Mosaic
from heatstream.results import Result
from tests.fakes.runtime import result


def grey(source: int, value: int, size: tuple[int, int] = (48, 64)) -> Result:
    return replace(result(), source=source, frame=np.full((*size, 3), value, np.uint8))


@pytest.mark.parametrize("sources", [2, 3, 4])
def test_every_source_has_a_place_and_keeps_its_latest_picture(sources: int) -> None:
    mosaic = Mosaic(lambda each: each.frame, sources)
    for source in range(sources):
        mosaic(grey(source, 10))
        grid = mosaic(grey(source, 50 + source))
    assert grid.shape == (48, 64, 3)
    assert set(np.unique(grid)) - {0} == {50 + source for source in range(sources)}


def test_pictures_of_another_shape_keep_it() -> None:
    mosaic = Mosaic(lambda each: each.frame, 4)
    mosaic(grey(0, 10))
    grid = mosaic(grey(3, 99, (100, 20)))
    rows, columns = np.nonzero((grid == 99).all(axis=2))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (24, 4)
    assert rows.min() == 24
    assert columns.min() >= 32
