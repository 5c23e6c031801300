"""Residual blocks of the HRNet family, with the official attribute names (they are the checkpoints' keys).

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, fig. 5, as used by Sun et al., "Deep
High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019 (HRNet).
"""

from __future__ import annotations

from heatstream.models.torch_import import Tensor, nn

__all__ = ["BasicBlock", "Bottleneck", "conv_bn"]

BN_MOMENTUM = 0.1
"""Share of a new batch in the running statistics; the official value."""


def conv_bn(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, relu: bool = False) -> list[nn.Module]:
    """Convolution without bias (`stride` divides the size), batch norm and, if asked for, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=BN_MOMENTUM),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(channels, channels)
        self.conv2, self.bn2 = conv_bn(channels, channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        y: Tensor = self.relu(self.bn2(self.conv2(residual)) + x)
        return y


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution around a shortcut; (B, inputs, H, W) to (B, 4 * channels, H, W)."""

    EXPANSION = 4

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        outputs = channels * self.EXPANSION
        self.conv1, self.bn1 = conv_bn(inputs, channels, kernel=1)
        self.conv2, self.bn2 = conv_bn(channels, channels)
        self.conv3, self.bn3 = conv_bn(channels, outputs, kernel=1)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Sequential(*conv_bn(inputs, outputs, kernel=1)) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        shortcut = x if self.downsample is None else self.downsample(x)
        y: Tensor = self.relu(residual + shortcut)
        return y
