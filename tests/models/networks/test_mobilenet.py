"""MobileNetV2 where a CPU trains in BF16."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.networks.mobilenet import MobileNetV2  # noqa: E402


def strided() -> list[torch.nn.Conv2d]:
    convolutions = [module for module in MobileNetV2().modules() if isinstance(module, torch.nn.Conv2d)]
    return [each for each in convolutions if each.groups > 1 and each.stride != (1, 1)]


def test_strided_depthwise_convolutions_compute_in_float32_under_autocast() -> None:
    found = strided()
    assert len(found) == 3
    for convolution in found:
        images = torch.randn(2, convolution.in_channels, 8, 8)
        plain = convolution(images)
        with torch.autocast("cpu", torch.bfloat16):
            low = convolution(images.bfloat16())
            exact = convolution(images)
        assert (low.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
        assert torch.equal(exact, plain)
        expected = torch.nn.functional.conv2d(
            images.bfloat16().float(), convolution.weight, stride=2, padding=1, groups=convolution.groups
        )
        assert torch.equal(low, expected.bfloat16())
