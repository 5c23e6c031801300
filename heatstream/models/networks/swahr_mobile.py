"""SWAHR-mobile: the small bottom-up pose network, MobileNetV2-style, for 256 px and a few watts.

Encoder: fused inverted residuals (Gupta & Tan, EfficientNet-EdgeTPU) while maps are large and narrow, where a
dense 3x3 is faster than a depthwise one on CPUs and tensor cores; MobileNetV2 inverted residuals (Sandler et al.
2018, sec. 3.3) at 1/16 and 1/32, where most parameters live. Decoder: top-down sums (FPN) to 1/4. Heads: SWAHR
(Luo et al. 2021) at 1/4 and, fed by the upsampled 1/4 features and predictions as in HigherHRNet (Cheng et al.
2020, sec. 3.2), at 1/2.

Only convolution, batch norm, ReLU, addition, concatenation, nearest x2 upsampling and a ramp: exports to ONNX and folds
into FP16 engines without special cases.
"""

from __future__ import annotations

from heatstream.models.networks.output import SwahrOutput
from heatstream.models.torch_import import Tensor, nn, torch

TAG_UNITS_PER_COLUMN = 1 / 8
"""Eight columns of the 1/4 maps, 32 input px, are one unit, the distance at which decoding parts two people."""


class SwahrMobile(nn.Module):
    """A bottom-up keypoint network with SWAHR heads.

    Args:
        num_joints: number of joints K of the skeleton.
        stem: channels at 1/2.
        widths: channels at 1/4, 1/8, 1/16 and 1/32.
        depths: residual blocks after the downsampling block at 1/4, 1/8, 1/16 and 1/32.
    """

    def __init__(
        self,
        num_joints: int = 17,
        *,
        stem: int = 16,
        widths: tuple[int, int, int, int] = (24, 48, 88, 144),
        depths: tuple[int, int, int, int] = (1, 2, 5, 3),
    ) -> None:
        super().__init__()
        self.num_joints = num_joints
        quarter, eighth, sixteenth, last = widths

        self.stem = conv_bn_relu(3, stem, 3, stride=2)
        self.stage4 = _stage(FusedInvertedResidual, stem, quarter, depths[0], expand=2, first_expand=4)
        self.stage8 = _stage(FusedInvertedResidual, quarter, eighth, depths[1], expand=2, first_expand=4)
        self.stage16 = _stage(InvertedResidual, eighth, sixteenth, depths[2], expand=4, first_expand=3)
        self.stage32 = _stage(InvertedResidual, sixteenth, last, depths[3], expand=4, first_expand=3)

        self.top = nn.Sequential(nn.Conv2d(last, sixteenth, 1, bias=False), nn.BatchNorm2d(sixteenth))
        self.merge16 = TopDown(sixteenth, sixteenth, eighth, InvertedResidual(sixteenth, sixteenth, expand=4))
        self.merge8 = TopDown(eighth, eighth, quarter, FusedInvertedResidual(eighth, eighth, expand=2))
        self.merge4 = FusedInvertedResidual(quarter, quarter, expand=2)
        self.lateral4 = nn.Sequential(nn.Conv2d(quarter, quarter, 1, bias=False), nn.BatchNorm2d(quarter))
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

        features = 2 * quarter
        self.quarter_features = conv_bn_relu(quarter, features, 3)
        self.quarter_head = nn.Conv2d(features, 2 * num_joints, 1)
        self.quarter_scales = ScaleHead(features, num_joints)

        half = stem
        self.half_project = nn.Sequential(
            nn.Conv2d(features + 2 * num_joints, half, 1, bias=False), nn.BatchNorm2d(half)
        )
        self.half_skip = nn.Conv2d(stem, half, 1)
        self.half_features = nn.Sequential(nn.ReLU(inplace=True), conv_bn_relu(half, half, 3))
        self.half_head = nn.Conv2d(half, num_joints, 1)
        self.half_scales = ScaleHead(half, num_joints)

        self._initialise()

    def forward(self, images: Tensor, scales: bool = False) -> SwahrOutput:
        """Return the maps of a batch.

        Args:
            images: (B, 3, H, W) float, RGB, ImageNet-normalised; H and W multiples of 32.
            scales: also compute the scale maps, which only training needs.

        Returns:
            `SwahrOutput` in the dtype of `images` (or autocast's).
        """
        half = self.stem(images)
        quarter = self.stage4(half)
        eighth = self.stage8(quarter)
        sixteenth = self.stage16(eighth)

        merged: Tensor = self.top(self.stage32(sixteenth))
        merged = self.merge16(merged, sixteenth)
        merged = self.merge8(merged, eighth)
        merged = self.merge4(self.upsample(merged) + self.lateral4(quarter))

        features4 = self.quarter_features(merged)
        predicted4 = self.quarter_head(features4)
        heatmaps4, tags = predicted4.split(self.num_joints, dim=1)

        # Projecting before upsampling gives the same sum for a quarter of the work.
        projected = self.half_project(torch.cat((features4, predicted4), dim=1))
        features2 = self.half_features(self.upsample(projected) + self.half_skip(half))
        heatmaps2 = self.half_head(features2)

        maps = (self.quarter_scales(features4), self.half_scales(features2)) if scales else None
        return SwahrOutput(heatmaps=(heatmaps4, heatmaps2), tags=tags.float() + tag_position(tags), scales=maps)

    def _initialise(self) -> None:
        """He initialisation; heads start near zero, so that empty background is right from the first step."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, (InvertedResidual, FusedInvertedResidual)) and module.skips:
                # A residual branch that starts at zero lets a deep network learn from the first step.
                nn.init.zeros_(module.last_norm.weight)
        for head in (self.quarter_head, self.half_head, self.quarter_scales.out, self.half_scales.out):
            nn.init.normal_(head.weight, std=0.001)


def tag_position(tags: Tensor) -> Tensor:
    """The horizontal position of every column of tag maps, (W,) float32, in tag units from the middle.

    A network need not learn from scratch to tell equal-looking people apart: their tags start as far from each
    other as they stand, and it learns what draws the joints of one body together. A convolution cannot know
    positions by itself (Liu et al. 2018, CoordConv).
    """
    width = tags.shape[3]
    columns = 2 * torch.arange(width, device=tags.device) - width
    return columns.float() * (TAG_UNITS_PER_COLUMN / 2)


class FusedInvertedResidual(nn.Module):
    """Dense 3x3 that expands, 1x1 that projects; identity shortcut where shapes allow it."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, expand: int) -> None:
        super().__init__()
        hidden = channels_in * expand
        self.skips = stride == 1 and channels_in == channels_out
        self.last_norm = nn.BatchNorm2d(channels_out)
        self.expand = conv_bn_relu(channels_in, hidden, 3, stride=stride)
        self.project = nn.Conv2d(hidden, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H / stride, W / stride)."""
        y: Tensor = self.last_norm(self.project(self.expand(x)))
        return x + y if self.skips else y


class InvertedResidual(nn.Module):
    """MobileNetV2's block with a 5x5 depthwise convolution, whose reach small maps need more than depth."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, expand: int) -> None:
        super().__init__()
        hidden = channels_in * expand
        self.skips = stride == 1 and channels_in == channels_out
        self.last_norm = nn.BatchNorm2d(channels_out)
        self.expand = conv_bn_relu(channels_in, hidden, 1)
        self.depthwise = conv_bn_relu(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = nn.Conv2d(hidden, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H / stride, W / stride)."""
        y: Tensor = self.last_norm(self.project(self.depthwise(self.expand(x))))
        return x + y if self.skips else y


class TopDown(nn.Module):
    """One step of the decoder: upsample by two is left to the next step, so that work stays at the lower size."""

    def __init__(self, channels: int, lateral: int, channels_out: int, block: nn.Module) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(lateral, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.block = block
        self.reduce = nn.Sequential(nn.Conv2d(channels, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out))
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Merge (B, channels, H / 2, W / 2) and (B, lateral, H, W) into (B, channels_out, H, W)."""
        merged: Tensor = self.reduce(self.block(self.upsample(coarse) + self.lateral(fine)))
        return merged


class ScaleHead(nn.Module):
    """Raw scale maps: 1x1, then a 9x9 per joint that smooths them over a joint's blob (Luo et al. 2021, sec. 3.2)."""

    def __init__(self, channels: int, num_joints: int) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(channels, num_joints, 1)
        self.out = nn.Conv2d(num_joints, num_joints, 9, padding=4, groups=num_joints)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, K, H, W)."""
        y: Tensor = self.out(self.reduce(x))
        return y


def conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return convolution without bias ("same" padding), batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _stage(
    block: type[FusedInvertedResidual] | type[InvertedResidual],
    channels_in: int,
    channels_out: int,
    depth: int,
    *,
    expand: int,
    first_expand: int,
) -> nn.Sequential:
    """Return one downsampling block and `depth` residual blocks."""
    blocks: list[nn.Module] = [FusedInvertedResidual(channels_in, channels_out, stride=2, expand=first_expand)]
    blocks += [block(channels_out, channels_out, expand=expand) for _ in range(depth)]
    return nn.Sequential(*blocks)
