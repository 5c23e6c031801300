"""Modules that build on torch must import without it, and say what to install once they are used."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # what Python does for "known not to be there"

from heatstream.errors import MissingExtraError
from heatstream.models.torch_import import F, Tensor, nn, torch
import heatstream.models
import heatstream.models.networks.hrnet
import heatstream.models.networks.blocks

assert not hasattr(torch, "__file__")
assert not isinstance(3, Tensor)

class Own(nn.Sequential):
    pass

for use in (
    lambda: torch.zeros(3),
    lambda: F.relu(3),
    lambda: nn.Conv2d(1, 2, 3),
    lambda: nn.init.normal_(3),
    lambda: Own(),
    lambda: heatstream.models.create("swahr-w32"),
    lambda: heatstream.models.networks.hrnet.SwahrHRNet(17),
    lambda: heatstream.models.load_checkpoint(None, "weights.pth"),
):
    try:
        use()
    except MissingExtraError as error:
        assert "pip install 'heatstream[train]'" in str(error), error
    else:
        raise AssertionError(use)
"""


def test_networks_import_without_torch_and_name_the_extra_when_used() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_with_torch_the_names_are_the_real_ones() -> None:
    import pytest

    torch = pytest.importorskip("torch")
    from heatstream.models import torch_import

    assert torch_import.torch is torch
    assert torch_import.nn is torch.nn
    assert torch_import.F is torch.nn.functional
    assert torch_import.Tensor is torch.Tensor
