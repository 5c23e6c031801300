"""MobileNetV2 up to 1/16 of the input, as H3R uses it, with the official names and order of its modules.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018. The last stage and the
classifier are left out: heatmaps need the finer maps.
"""

from __future__ import annotations

from heatstream.models.torch_import import Tensor, nn, torch

__all__ = ["MobileNetV2"]

STEM_CHANNELS = 32

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
"""Expansion, channels, blocks and stride of the first block (Sandler et al. 2018, table 2)."""

TAPS = (3, 6, 13)
"""The last blocks at 1/4, 1/8 and 1/16."""


class MobileNetV2(nn.Module):
    """The backbone; weights start as torch's convolutions do."""

    channels = (24, 32, 96)
    """Of the maps that :meth:`branches` gives."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Sequential(*_conv(3, STEM_CHANNELS, stride=2))]
        inputs = STEM_CHANNELS
        for expansion, width, count, stride in STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(inputs, width, expansion, stride=1 if number else stride))
                inputs = width
        self.features = nn.Sequential(*blocks)

    def branches(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W), H and W multiples of 16, to (B, 24, H/4, W/4), (B, 32, H/8, ...), (B, 96, H/16, ...)."""
        found, x = [], images
        for number, block in enumerate(self.features):
            x = block(x)
            if number in TAPS:
                found.append(x)
        return found


class InvertedResidual(nn.Module):
    """Widen, filter per channel, narrow without ReLU; a shortcut where the shape stays (sec. 3.3)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = _conv(inputs, hidden, kernel=1) if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            *_conv(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, kernel_size=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.skips else y


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution without bias, batch norm and a ReLU that ends at 6."""
    kind = _StridedDepthwise if groups > 1 and stride > 1 else nn.Conv2d
    return [
        kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    ]


class _StridedDepthwise(nn.Conv2d):
    """Computes in float32 where a CPU trains in BF16: its gradients take 1.4 to 11 times as long there in BF16."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)
