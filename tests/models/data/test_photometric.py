"""Photometric changes: each has its switch, changes the picture, and leaves its shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heatstream.models.data.photometric import alter
from heatstream.models.settings import AugmentSettings

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
SWITCHES = ("colour", "grey", "blur", "jpeg", "cutout")


def test_nothing_switched_on_changes_nothing() -> None:
    result = alter(PICTURE.copy(), AugmentSettings(), np.random.default_rng(1))
    np.testing.assert_array_equal(result, PICTURE)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_the_picture(switch: str) -> None:
    settings = replace(AugmentSettings(), **{switch: 1.0})
    first, again, other = (alter(PICTURE.copy(), settings, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == PICTURE.shape
    assert first.dtype == np.uint8
    assert (first != PICTURE).mean() > 0.003
    np.testing.assert_array_equal(first, again)
    assert switch == "grey" or (first != other).any()


def test_grey_has_no_colour() -> None:
    result = alter(PICTURE.copy(), AugmentSettings(grey=1), np.random.default_rng(1))
    assert (result == result[:, :, :1]).all()


def test_a_probability_is_a_frequency() -> None:
    settings = AugmentSettings(grey=0.3)
    changed = sum(
        bool((alter(PICTURE.copy(), settings, np.random.default_rng(seed)) != PICTURE).any()) for seed in range(300)
    )
    assert 60 < changed < 120
