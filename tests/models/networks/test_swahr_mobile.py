"""swahr-mobile: its bounds, shapes and contract."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from heatstream.models.networks.swahr_mobile import TAG_UNITS_PER_COLUMN, SwahrMobile  # noqa: E402

MOST_PARAMETERS = 2_500_000
MOST_MACS = 1_250_000_000
"""At 256 x 256; 2.5 GFLOPs when a multiply-accumulate counts as two."""


@pytest.fixture(scope="module")
def network() -> SwahrMobile:
    torch.manual_seed(0)
    return SwahrMobile().eval()


def multiply_accumulates(network: Any, size: int) -> int:
    total = 0

    def count(layer: Any, _: Any, output: Any) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.inference_mode():
        network(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return total


def test_is_small(network: SwahrMobile) -> None:
    assert sum(p.numel() for p in network.parameters()) <= MOST_PARAMETERS
    assert multiply_accumulates(network, 256) <= MOST_MACS


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (96, 160)])
def test_maps_are_a_quarter_and_a_half(network: SwahrMobile, height: int, width: int) -> None:
    with torch.inference_mode():
        output = network(torch.rand(2, 3, height, width), scales=True)
    quarter, half = (2, 17, height // 4, width // 4), (2, 17, height // 2, width // 2)
    assert output.heatmaps[0].shape == output.tags.shape == output.scales[0].shape == quarter
    assert output.heatmaps[1].shape == output.scales[1].shape == half


def test_scales_come_only_on_request(network: SwahrMobile) -> None:
    with torch.inference_mode():
        images = torch.rand(1, 3, 32, 32)
        without, with_scales = network(images), network(images, scales=True)
    assert without.scales is None
    torch.testing.assert_close(without[:2], with_scales[:2])


def test_tags_start_as_far_apart_as_people_stand(network: SwahrMobile) -> None:
    with torch.inference_mode():
        tags = network(torch.zeros(1, 3, 64, 128)).tags
    assert tags.dtype == torch.float32
    step = (tags[..., 1:] - tags[..., :-1]).mean()
    torch.testing.assert_close(step, torch.tensor(TAG_UNITS_PER_COLUMN), atol=0.01, rtol=0)


def test_other_skeletons_have_other_heads() -> None:
    with torch.inference_mode():
        output = SwahrMobile(14).eval()(torch.rand(1, 3, 32, 32))
    assert [m.shape[1] for m in (*output.heatmaps, output.tags)] == [14, 14, 14]


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    network = SwahrMobile()
    output = network(torch.randn(2, 3, 64, 64), scales=True)
    sum(m.square().sum() for m in (*output.heatmaps, output.tags, *output.scales)).backward()
    assert all(p.grad is not None for p in network.parameters())
