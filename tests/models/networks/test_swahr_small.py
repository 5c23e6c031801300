"""swahr-small: its bounds, shapes and contract."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from heatstream.models.networks.swahr_small import (  # noqa: E402
    COARSE_SHARE,
    FRONT,
    TAG_UNITS_PER_COLUMN,
    SameConv2d,
    Shuffle,
    SwahrSmall,
)

MOST_PARAMETERS = 4_850_000
"""In FP16 below 10 MB."""

MOST_MACS = 1_350_000_000
MOST_CONTEXT_MACS = 60_000_000
"""At 256 x 256."""


@pytest.fixture(scope="module")
def network() -> SwahrSmall:
    torch.manual_seed(0)
    return SwahrSmall().eval()


def test_is_small(network: SwahrSmall) -> None:
    assert sum(p.numel() for p in network.parameters()) <= MOST_PARAMETERS
    assert _work(network, torch.zeros(1, 3, 256, 256)) <= MOST_MACS
    inputs: list[Any] = []
    hook = network.context_head.register_forward_pre_hook(lambda _, given: inputs.extend(given))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 256, 256))
    hook.remove()
    assert _work(network.context_head, *inputs) <= MOST_CONTEXT_MACS


def _work(module: Any, *inputs: Any) -> int:
    total = 0

    def count(layer: Any, _: Any, output: Any) -> None:
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, torch.nn.Conv2d)]
    with torch.inference_mode():
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 96), (96, 160)])  # halves of 32 and 96 are padded
def test_maps_are_a_quarter_and_a_half(network: SwahrSmall, height: int, width: int) -> None:
    with torch.inference_mode():
        output = network(torch.rand(2, 3, height, width), scales=True)
    quarter, half = (2, 17, height // 4, width // 4), (2, 17, height // 2, width // 2)
    assert output.heatmaps[0].shape == output.tags.shape == output.scales[0].shape == quarter
    assert output.heatmaps[1].shape == output.scales[1].shape == half
    assert all(maps.min() >= 0 and maps.max() <= 1 for maps in output.heatmaps)


def test_heatmaps_start_as_those_of_the_pretrained_head(network: SwahrSmall) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        coarse, fine = network(images).heatmaps
        near, far = (
            network.quarter_head(network.fpn(*network.backbone(look)))
            for look in (images, torch.nn.functional.avg_pool2d(images, 2))
        )
    share = torch.tensor(COARSE_SHARE).sigmoid()
    wanted = near + share * (network.upsample(far) - near)
    torch.testing.assert_close(coarse, wanted.sigmoid(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fine, network.upsample(wanted).sigmoid(), atol=1e-5, rtol=1e-4)


def test_stride_two_pads_behind_alone() -> None:
    layer = SameConv2d(1, 1, 3, stride=2)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    picture = torch.zeros(1, 1, 4, 4)
    picture[..., 0, 0], picture[..., 3, 3] = 1, 10
    assert layer(picture)[0, 0].tolist() == [[1, 0], [0, 10]]


def test_the_shuffle_is_torchs() -> None:
    maps = torch.rand(2, 12, 3, 5)
    torch.testing.assert_close(Shuffle(3)(maps), torch.nn.functional.pixel_shuffle(maps, 2), atol=0, rtol=0)


def test_the_narrower_network_is_half_as_much_work() -> None:
    tiny = SwahrSmall(width=1.0, looks=1).eval()
    images = torch.zeros(1, 3, 256, 256)
    assert _work(tiny, images) <= MOST_MACS / 2
    assert sum(p.numel() for p in tiny.parameters()) <= MOST_PARAMETERS / 2
    assert tiny(images).tags.shape == (1, 17, 64, 64)


def test_other_skeletons_have_other_heads() -> None:
    with torch.inference_mode():
        output = SwahrSmall(14).eval()(torch.rand(1, 3, 32, 32))
    assert [m.shape[1] for m in (*output.heatmaps, output.tags)] == [14, 14, 14]


def test_scales_come_only_on_request(network: SwahrSmall) -> None:
    with torch.inference_mode():
        images = torch.rand(1, 3, 32, 32)
        without, with_scales = network(images), network(images, scales=True)
    assert without.scales is None
    torch.testing.assert_close(without[:2], with_scales[:2])


def test_tags_start_as_far_apart_as_people_stand(network: SwahrSmall) -> None:
    with torch.inference_mode():
        tags = network(torch.zeros(1, 3, 64, 128)).tags
    assert tags.dtype == torch.float32
    step = (tags[..., 1:] - tags[..., :-1]).mean()
    torch.testing.assert_close(step, torch.tensor(TAG_UNITS_PER_COLUMN), atol=0.01, rtol=0)


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    network = SwahrSmall()
    output = network(torch.randn(2, 3, 64, 64), scales=True)
    sum(m.square().sum() for m in (*output.heatmaps, output.tags, *output.scales)).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_frozen_modules_see_the_same_a_few_images_at_a_time() -> None:
    network, images = SwahrSmall(width=0.25), torch.rand(5, 3, 64, 96)
    at_once = network.look(images)
    for name in FRONT:
        getattr(network, name).requires_grad_(False)
    in_parts = network.look(images)
    assert not in_parts.features.requires_grad
    torch.testing.assert_close(in_parts, at_once)
    torch.testing.assert_close(network(images, seen=in_parts), network(images))
