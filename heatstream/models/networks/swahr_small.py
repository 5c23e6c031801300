"""SWAHR-small and SWAHR-tiny: bottom-up pose networks on a pose-pretrained MobileNetV2, for 256 to 384 px.

The trunk is MobileNetV2 (Sandler et al. 2018), for SWAHR-small one and a half times as wide, with a top-down pyramid
(FPN) to 1/4: the layers of MoveNet (Google), whose weights :mod:`heatstream.models.networks.movenet` brings here. On
top: its heatmaps at 1/4, through a sigmoid; a second way down the pyramid with a wider view, for the tags, because to
tell whose a joint is takes more than to see that it is one, and for what the heatmaps lack; a residual that turns
upsampled logits into heatmaps at 1/2; and, for training only, SWAHR's scales (Luo et al. 2021, sec. 3.2).

SWAHR-small's pretrained layers look twice, at the image and at half of it: people who fill a picture of 384 px are
larger than any that they were trained with, and are of a usual size in the half. That takes a quarter more work.

Convolutions have biases and, but for the scales', no batch norms: the pretrained ones are folded. Only convolution,
ReLU, clipping, addition, average pooling, concatenation, bilinear x2 upsampling, a transposed convolution, the sigmoid
and a ramp: exports to ONNX and runs in FP16 without special cases.
"""

from __future__ import annotations

from typing import NamedTuple

from heatstream.models.networks.movenet import pretrained_normalisation
from heatstream.models.networks.output import SwahrOutput
from heatstream.models.torch_import import F, Tensor, nn, torch

__all__ = ["FRONT", "Look", "SwahrSmall"]

FRONT = ("backbone", "fpn", "quarter_head")
"""The pretrained modules: what :meth:`SwahrSmall.look` runs."""

TAG_UNITS_PER_COLUMN = 1 / 8
"""Eight columns of the 1/4 maps, 32 input px, are one unit, the distance at which decoding parts two people."""

STEM_CHANNELS = 32

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first block (Sandler et al. 2018, table 2)."""

TAPS = (2, 5, 9, 16)
"""The last blocks at 1/4, 1/8, 1/16 and 1/32."""

LAST_CHANNELS = 1280
FEATURES = 24
"""Channels of the pyramid at 1/4."""

HEAD_CHANNELS = 96
COARSE_SHARE = -0.85
"""Logit of the share that the second look has in the heatmaps at first: 0.3."""

MULTIPLE = 32
"""Of the height and width that the trunk takes: it halves them five times."""

COARSE_STRIDES = (4, 8, 16, 32)
"""In the half image, of the maps of the second look."""

CONTEXT_CHANNELS = (64, 48)
"""Of the context head at 1/8 and above, and at 1/4."""


AT_A_TIME = 2
"""Images that a CPU looks at with frozen modules: fewer take slower convolutions, more do not fit into its caches."""


class Look(NamedTuple):
    """What the pretrained modules see in B images of height H and width W.

    Attributes:
        taps: the trunk's maps at 1/8, 1/16 and 1/32.
        features: (B, 24, H / 4, W / 4), the pyramid's.
        logits: (B, K, H / 4, W / 4), of the heatmaps.
        coarse: of the half image, at 1/8 to 1/64 of the image, the first with its heatmaps; empty without a second
            look.
        coarse_logits: (B, K, H / 8, W / 8), of the half image's heatmaps; None without a second look.
    """

    taps: list[Tensor]
    features: Tensor
    logits: Tensor
    coarse: list[Tensor]
    coarse_logits: Tensor | None


class SwahrSmall(nn.Module):
    """A bottom-up keypoint network with SWAHR heads.

    Args:
        num_joints: number of joints K of the skeleton.
        width: of the trunk: 1.5, as MoveNet MultiPose has it, or 1, as MoveNet Lightning.
        looks: 2 to look at the half image too, or 1.
    """

    def __init__(self, num_joints: int = 17, *, width: float = 1.5, looks: int = 2) -> None:
        super().__init__()
        self.num_joints = num_joints
        self.looks = looks
        self.backbone = Trunk(width)
        taps = self.backbone.tap_channels
        self.fpn = Pyramid(taps)
        self.quarter_head = Head(num_joints)
        self.quarter_scales = ScaleHead(FEATURES, num_joints)
        self.half_head = Head(4 * num_joints)
        self.half_scales = ScaleHead(FEATURES, num_joints)
        coarse = (FEATURES + num_joints, *taps[1:]) if looks > 1 else ()
        self.context_head = ContextHead(taps, coarse, (1 + looks) * num_joints)
        self.upsample = _upsample()
        self.shuffle = Shuffle(num_joints)
        # The heatmaps start as those of the pretrained head, of the coarse look for a third, and those at 1/2 as those
        # at 1/4.
        with torch.no_grad():
            self.half_head.out.weight.zero_()
            self.context_head.out.weight[: looks * num_joints] = 0
            for layer in (self.half_head.out, self.context_head.out):
                assert layer.bias is not None
                layer.bias.zero_()
            self.context_head.out.bias[num_joints : looks * num_joints] = COARSE_SHARE  # type: ignore[index]

    def forward(self, images: Tensor, scales: bool = False, seen: Look | None = None) -> SwahrOutput:
        """Return the maps of a batch.

        Args:
            images: (B, 3, H, W) float, RGB, ImageNet-normalised; H and W multiples of 32.
            scales: also compute the scale maps, which only training needs.
            seen: what :meth:`look` gave for these images, if it was called before.

        Returns:
            `SwahrOutput` in the dtype of `images` (or autocast's); heatmaps in 0..1.
        """
        if seen is None:
            seen = self.look(images)
        features, logits4 = seen.features, seen.logits
        outputs = self.context_head(seen.taps, features, seen.coarse)
        if seen.coarse_logits is not None:
            residual, share, tags = outputs.split(self.num_joints, dim=1)
            logits4 = logits4 + share.sigmoid() * (self.upsample(seen.coarse_logits) - logits4)
        else:
            residual, tags = outputs.split(self.num_joints, dim=1)
        logits4 = logits4 + residual
        logits2 = self.upsample(logits4) + self.shuffle(self.half_head(features))
        maps = (self.quarter_scales(features), self.half_scales(self.upsample(features))) if scales else None
        return SwahrOutput(
            heatmaps=(logits4.sigmoid(), logits2.sigmoid()), tags=tags.float() + tag_position(tags), scales=maps
        )

    def look(self, images: Tensor) -> Look:
        """Run the pretrained modules on (B, 3, H, W) images.

        Where they are frozen, they keep nothing for gradients; and a CPU looks at a few images at a time, because
        their maps stay in its caches and those of a dozen do not: that takes about half of the time.
        """
        if any(parameter.requires_grad for name in FRONT for parameter in getattr(self, name).parameters()):
            return self._look(images)
        with torch.no_grad():
            if images.device.type != "cpu" or len(images) <= AT_A_TIME:
                return self._look(images)
            each = [self._look(few) for few in torch.split(images, AT_A_TIME)]
            return Look(
                taps=[torch.cat(maps) for maps in zip(*(look.taps for look in each), strict=True)],
                features=torch.cat([look.features for look in each]),
                logits=torch.cat([look.logits for look in each]),
                coarse=[torch.cat(maps) for maps in zip(*(look.coarse for look in each), strict=True)],
                coarse_logits=torch.cat([look.coarse_logits for look in each if look.coarse_logits is not None])
                if self.looks > 1
                else None,
            )

    def _look(self, images: Tensor) -> Look:
        taps, last = self.backbone(images)
        features = self.fpn(taps, last)
        coarse_logits, coarse = self._coarse(images) if self.looks > 1 else (None, [])
        return Look(taps[1:], features, self.quarter_head(features), coarse, coarse_logits)

    def _coarse(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the pretrained layers see in the half image: logits at 1/8, and all that the context head takes.

        Half of a height or width that is no multiple of 64 is padded; where the padding lies no map is read.
        """
        half = F.avg_pool2d(images, 2)
        height, width = half.shape[-2:]
        bottom, right = -height % MULTIPLE, -width % MULTIPLE
        if bottom or right:
            half = F.pad(half, (0, right, 0, bottom))
        taps, last = self.backbone(half)
        features = self.fpn(taps, last)
        logits = self.quarter_head(features)
        maps = [torch.cat((features, logits.sigmoid()), dim=1), *taps[1:]]
        if bottom or right:
            sizes = [(-(-height // stride), -(-width // stride)) for stride in COARSE_STRIDES]
            maps = [each[..., :rows, :columns] for each, (rows, columns) in zip(maps, sizes, strict=True)]
            logits = logits[..., : sizes[0][0], : sizes[0][1]]
        return logits, maps


class Trunk(nn.Module):
    """MobileNetV2 with a 1x1 on top; `tap_channels` are those of its maps at 1/4 to 1/32.

    Images are brought to the pretrained normalisation by a scale and a shift of their own. Folded into the first
    layer, its weights would no longer be those of the pretrained FP16 file to the bit, and half of all that an FP16
    export drifts by would come from rounding them again; and padding would mean another colour than it did.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, width: float) -> None:
        super().__init__()
        scale, shift = pretrained_normalisation()
        self.register_buffer("scale", torch.tensor(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(1, 3, 1, 1), persistent=False)
        inputs = in_eights(width * STEM_CHANNELS)
        self.conv1 = SameConv2d(3, inputs, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = []
        for expansion, usual, count, stride in STAGES:
            outputs = in_eights(width * usual)
            for number in range(count):
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride=1 if number else stride))
                channels.append(outputs)
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.tap_channels = tuple(channels[tap] for tap in TAPS)
        self.last = nn.Conv2d(inputs, LAST_CHANNELS, 1)

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map (B, 3, H, W) to the four `TAPS` at 1/4 to 1/32, and (B, 1280, H / 32, W / 32)."""
        x = F.relu6(self.conv1(images * self.scale + self.shift), inplace=True)
        taps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in TAPS:
                taps.append(x)
        return taps, F.relu6(self.last(x), inplace=True)


class InvertedResidual(nn.Module):
    """Widen, filter per channel, narrow without ReLU; a shortcut where the shape stays (sec. 3.3)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion > 1 else None
        self.dw = SameConv2d(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.dw(y), inplace=True))
        return x + y if self.skips else y


class SameConv2d(nn.Conv2d):
    """A 3x3 padded as TensorFlow does: at stride 2 nothing before and one pixel after, where torch pads both sides.

    With torch's padding every stage of a pretrained network would see its input shifted by a pixel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        return super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride[0] > 1 else x)


class Pyramid(nn.Module):
    """From coarse to fine: upsample, add the finer tap, filter and narrow."""

    def __init__(self, taps: tuple[int, ...]) -> None:
        super().__init__()
        quarter, eighth, sixteenth, _ = taps
        self.lat5 = nn.Conv2d(LAST_CHANNELS, 64, 1)
        self.lat4 = nn.Conv2d(sixteenth, 64, 1)
        self.lat3 = nn.Conv2d(eighth, 32, 1)
        self.lat2 = nn.Conv2d(quarter, FEATURES, 1)
        self.sep5 = Separable(64, 32)
        self.sep4 = Separable(32, FEATURES)
        self.sep3 = Separable(FEATURES, FEATURES)
        self.upsample = _upsample()

    def forward(self, taps: list[Tensor], last: Tensor) -> Tensor:
        """Map the trunk's maps to (B, 24, H / 4, W / 4)."""
        quarter, eighth, sixteenth, _ = taps
        merged = self.sep5(self.upsample(self.lat5(last)) + self.lat4(sixteenth))
        merged = self.sep4(self.upsample(merged) + self.lat3(eighth))
        features: Tensor = self.sep3(self.upsample(merged) + self.lat2(quarter))
        return features


class Separable(nn.Module):
    """A depthwise 3x3, a 1x1 and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pw = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        return F.relu(self.pw(self.dw(x)))


class Head(Separable):
    """A separable convolution and a 1x1 on the pyramid's features."""

    def __init__(self, outputs: int) -> None:
        super().__init__(FEATURES, HEAD_CHANNELS)
        self.out = nn.Conv2d(HEAD_CHANNELS, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 24, H, W) to (B, outputs, H, W)."""
        y: Tensor = self.out(super().forward(x))
        return y


class Shuffle(nn.Module):
    """Four channels to one of twice the size: torch's `PixelShuffle`, as a transposed convolution with ones.

    TensorRT writes the batch of an image into a depth to space, and then builds no engine for several.
    """

    kernel: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        corners = torch.eye(4).view(4, 1, 2, 2)
        self.register_buffer("kernel", corners.repeat(outputs, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 4 outputs, H, W) to (B, outputs, 2 H, 2 W)."""
        return F.conv_transpose2d(x, self.kernel, stride=2, groups=len(self.kernel) // 4)


class ContextHead(nn.Module):
    """Maps at 1/4 from a second way down the pyramid, which mixes where maps are small and that costs little."""

    def __init__(self, taps: tuple[int, ...], coarse: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        _, eighth, sixteenth, thirty_second = taps
        wide, narrow = CONTEXT_CHANNELS
        self.coarse = nn.ModuleList(nn.Conv2d(channels, wide, 1) for channels in coarse)
        self.lat5 = nn.Conv2d(thirty_second, wide, 1)
        self.mix5 = nn.Sequential(Mixer(wide), Mixer(wide))
        self.lat4 = nn.Conv2d(sixteenth, wide, 1)
        self.mix4 = nn.Sequential(Mixer(wide), Mixer(wide))
        self.lat3 = nn.Conv2d(eighth, wide, 1)
        self.mix3 = nn.Sequential(Mixer(wide), Mixer(wide))
        self.reduce = nn.Conv2d(wide, narrow, 1)
        self.lat2 = nn.Conv2d(FEATURES, narrow, 1)
        self.mix2 = Mixer(narrow)
        self.out = nn.Conv2d(narrow, outputs, 1)
        self.upsample = _upsample()

    def forward(self, taps: list[Tensor], features: Tensor, coarse: list[Tensor]) -> Tensor:
        """Map to (B, outputs, H / 4, W / 4).

        Args:
            taps: the trunk's at 1/8, 1/16 and 1/32, of the image.
            features: (B, 24, H / 4, W / 4), the pyramid's.
            coarse: of the half image, at 1/8, 1/16, 1/32 and 1/64; empty without a second look.
        """
        eighth, sixteenth, thirty_second = taps
        second = [layer(maps) for layer, maps in zip(self.coarse, coarse, strict=True)]
        merged = self.lat5(thirty_second)
        if second:
            height, width = merged.shape[-2:]
            coarsest = self.upsample(second[3])
            if coarsest.shape != merged.shape:
                coarsest = coarsest[..., :height, :width]
            merged = merged + second[2] + coarsest
        merged = self.upsample(self.mix5(merged)) + self.lat4(sixteenth)
        merged = self.mix4(F.relu(merged + second[1] if second else merged))
        merged = self.upsample(merged) + self.lat3(eighth)
        merged = self.mix3(F.relu(merged + second[0] if second else merged))
        merged = self.mix2(F.relu(self.upsample(self.reduce(merged)) + self.lat2(features)))
        maps: Tensor = self.out(merged)
        return maps


class Mixer(nn.Module):
    """A residual: depthwise 5x5, 1x1 and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.pw = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return x + F.relu(self.pw(self.dw(x)))


class ScaleHead(nn.Module):
    """Raw scale maps: 1x1, then a 9x9 per joint that smooths them over a joint's blob (Luo et al. 2021, sec. 3.2)."""

    def __init__(self, channels: int, num_joints: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(channels, num_joints, 1, bias=False), nn.BatchNorm2d(num_joints), nn.ReLU(inplace=True)
        )
        self.out = nn.Conv2d(num_joints, num_joints, 9, padding=4, groups=num_joints)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, K, H, W)."""
        y: Tensor = self.out(self.reduce(x))
        return y


def tag_position(tags: Tensor) -> Tensor:
    """The horizontal position of every column of tag maps, (W,) float32, in tag units from the middle.

    A network need not learn from scratch to tell equal-looking people apart: their tags start as far from each
    other as they stand, and it learns what draws the joints of one body together. A convolution cannot know
    positions by itself (Liu et al. 2018, CoordConv).
    """
    width = tags.shape[3]
    columns = 2 * torch.arange(width, device=tags.device) - width
    return columns.float() * (TAG_UNITS_PER_COLUMN / 2)


def in_eights(channels: float) -> int:
    """The nearest multiple of eight, as MobileNets have them."""
    return int(channels + 4) // 8 * 8


def _upsample() -> nn.Module:
    """Bilinear x2 with pixel centres at +0.5, as the pretrained pyramid was trained with."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
