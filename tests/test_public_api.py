"""The package's face."""

from __future__ import annotations

import pytest

import heatstream


def test_every_public_name_is_there() -> None:
    assert heatstream.__all__ == ["Faces", "HeatstreamError", "Poses", "__version__", "load", "stream"]
    for name in heatstream.__all__:
        assert getattr(heatstream, name) is not None
    assert dir(heatstream) == sorted(heatstream.__all__)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'torch'"):
        _ = heatstream.torch
