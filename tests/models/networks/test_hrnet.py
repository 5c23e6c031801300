"""HRNet variants against the official code's state dicts and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from heatstream import models  # noqa: E402
from heatstream.errors import UnknownNameError  # noqa: E402
from heatstream.models.networks.hrnet import HRNet, SwahrHRNet  # noqa: E402
from tests.fakes.golden_weights import fill_golden_weights, golden_entry  # noqa: E402

GoldenFile = Callable[[str], Any]

TOLERANCE = 1e-3
"""Outputs reach 270 in float32; two official runs on different CPU kernels differ by 2.2e-4."""


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("swahr-w32", "swahr_state_keys_w32_coco.json"),
        ("swahr-w48", "swahr_state_keys_w48_coco.json"),
        ("swahr-w48-crowdpose", "swahr_state_keys_w48_crowdpose.json"),
    ],
)
def test_state_dict_is_the_official_one_in_order(golden: GoldenFile, name: str, keys: str) -> None:
    entries = [
        [key, list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in models.create(name).state_dict().items()
    ]
    assert entries == golden(keys)


@pytest.mark.parametrize("probe", ["swahr_weights_probe_w32_coco.json", "swahr_weights_probe_w48_coco.json"])
def test_golden_weights_follow_the_convention(golden: GoldenFile, probe: str) -> None:
    keys = {
        key: shape for key, shape, dtype in golden(probe.replace("weights_probe", "state_keys")) if dtype != "int64"
    }
    every_twentieth = list(keys)[::20]
    for key in every_twentieth:
        entry = golden_entry(key, tuple(keys[key]), gain=0.8)
        expected = golden(probe)[key]
        np.testing.assert_allclose(entry.ravel()[:3], expected["first"], rtol=1e-6, err_msg=key)
        np.testing.assert_allclose(entry.sum(dtype=np.float64), expected["sum"], rtol=1e-9, err_msg=key)


@pytest.mark.parametrize("width", [32, 48])
def test_outputs_are_the_official_ones(golden: GoldenFile, width: int) -> None:
    reference = golden(f"swahr_forward_w{width}.npz")
    model = models.create(f"swahr-w{width}").eval()
    fill_golden_weights(model)
    with torch.inference_mode():
        out = model(torch.from_numpy(reference["input"]), scales=True)
        plain = model(torch.from_numpy(reference["input"]))

    stage0 = torch.cat((out.scales[0], out.heatmaps[0], out.tags), dim=1)
    stage1 = torch.cat((out.scales[1], out.heatmaps[1]), dim=1)
    np.testing.assert_allclose(stage0.numpy(), reference["stage0"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(stage1.numpy(), reference["stage1"], rtol=0, atol=TOLERANCE)
    assert plain.scales is None
    for asked, not_asked in zip((*out.heatmaps, out.tags), (*plain.heatmaps, plain.tags), strict=True):
        assert torch.equal(asked, not_asked)


def test_any_multiple_of_32_gives_maps_at_a_quarter_and_a_half() -> None:
    model = SwahrHRNet(5, width=8, modules=(1, 1, 1), blocks=1).eval()
    with torch.inference_mode():
        out = model(torch.zeros(2, 3, 96, 160), scales=True)
    quarter, half = (2, 5, 24, 40), (2, 5, 48, 80)
    assert [tuple(maps.shape) for maps in (*out.heatmaps, out.tags, *out.scales)] == [
        quarter,
        half,
        quarter,
        quarter,
        half,
    ]


def test_backbone_gives_every_branch_or_the_finest_alone() -> None:
    images = torch.zeros(1, 3, 64, 64)
    shapes = [
        [tuple(branch.shape[1:]) for branch in HRNet(width=8, modules=(1, 1, 1), blocks=1, **kw).branches(images)]
        for kw in ({"coarse_outputs": True}, {"coarse_outputs": False})
    ]
    assert shapes == [[(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2)], [(8, 16, 16)]]


def test_every_parameter_is_trained() -> None:
    """With the scale maps in the loss, no layer is left out of the graph."""
    model = SwahrHRNet(3, width=8, modules=(1, 1, 1), blocks=1)
    out = model(torch.randn(2, 3, 64, 64), scales=True)
    sum(maps.square().sum() for maps in (*out.heatmaps, out.tags, *out.scales)).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [("swahr-w23", "did you mean 'swahr-w32'"), ("yolo", "the known ones are swahr-small, swahr-tiny")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=hint):
        models.create(name)
