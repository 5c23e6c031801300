"""HRNet, and the SWAHR pose network built on it, with the official module names in the official order.

- Sun et al., "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019: the
  backbone, which keeps branches of several resolutions side by side and lets them exchange features.
- Cheng et al., "HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose Estimation",
  CVPR 2020: heatmaps at 1/4 and, after a deconvolution, at 1/2 of the input; associative-embedding tags at
  1/4.
- Luo et al., "Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation", CVPR 2021 (SWAHR): a
  scale map beside each heatmap, needed only to train.

State-dict keys, shapes and order equal those of the official SWAHR code, so its checkpoints load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence

from heatstream.errors import RecipeError
from heatstream.models.networks.blocks import BN_MOMENTUM, BasicBlock, Bottleneck, conv_bn
from heatstream.models.networks.output import SwahrOutput
from heatstream.models.torch_import import Tensor, nn, torch

__all__ = ["HRNet", "HRNetAE", "SwahrHRNet"]

STEM_CHANNELS = 64
DEFAULT_MODULES = (1, 4, 3)
"""Exchange modules in stages 2, 3 and 4 (Sun et al. 2019, sec. 3)."""


class HRNet(nn.Module):
    """The HRNet backbone (Sun et al. 2019, fig. 1 and sec. 3).

    Args:
        width: channels of the finest branch (the 32 of W32); each coarser branch doubles them.
        modules: number of exchange modules in stages 2, 3 and 4.
        blocks: residual blocks of every branch in every module, and of layer 1.
        coarse_outputs: the last exchange module brings all four branches up to date, or only the finest.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        modules: tuple[int, int, int] = DEFAULT_MODULES,
        blocks: int = 4,
        coarse_outputs: bool = True,
    ) -> None:
        super().__init__()
        channels = [width * 2**branch for branch in range(4)]
        self.channels = channels if coarse_outputs else channels[:1]
        self.conv1, self.bn1 = conv_bn(3, STEM_CHANNELS, stride=2)
        self.conv2, self.bn2 = conv_bn(STEM_CHANNELS, STEM_CHANNELS, stride=2)
        self.relu = nn.ReLU(inplace=True)
        wide = STEM_CHANNELS * Bottleneck.EXPANSION
        inputs = [STEM_CHANNELS] + [wide] * (blocks - 1)
        self.layer1 = nn.Sequential(*(Bottleneck(channels, STEM_CHANNELS) for channels in inputs))
        self.transition1 = _transition([wide], channels[:2])
        self.stage2 = _stage(channels[:2], modules=modules[0], blocks=blocks)
        self.transition2 = _transition(channels[:2], channels[:3])
        self.stage3 = _stage(channels[:3], modules=modules[1], blocks=blocks)
        self.transition3 = _transition(channels[:3], channels)
        self.stage4 = _stage(channels, modules=modules[2], blocks=blocks, coarse_outputs=coarse_outputs)

    def branches(self, images: Tensor) -> list[Tensor]:
        """The branches after stage 4, of `channels` channels each.

        Args:
            images: (B, 3, H, W) float, H and W multiples of 32.

        Returns:
            (B, width, H/4, W/4) and, with `coarse_outputs`, three more, each of half the size and twice the
            channels of the one before.
        """
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            branches = stage(_widen(transition, branches))
        return branches


class SwahrHRNet(HRNet):
    """SWAHR with an HRNet backbone (Luo et al. 2021 on Cheng et al. 2020).

    Args:
        num_keypoints: joints K of the skeleton.
        width, modules, blocks: of the backbone, see :class:`HRNet`; only the finest branch leaves it.
    """

    def __init__(
        self,
        num_keypoints: int,
        *,
        width: int = 32,
        modules: tuple[int, int, int] = DEFAULT_MODULES,
        blocks: int = 4,
    ) -> None:
        super().__init__(width=width, modules=modules, blocks=blocks, coarse_outputs=False)
        self.num_keypoints = num_keypoints
        predictions = 2 * num_keypoints  # a heatmap and a tag map per joint
        self.final_layers = nn.ModuleList(
            _zero_at_first(nn.Conv2d(width, count, kernel_size=1)) for count in (predictions, num_keypoints)
        )
        self.deconv_layers = nn.ModuleList([_upsampler(width + predictions, width, blocks=blocks)])
        self.conv_scale_layers = nn.ModuleList(_scale_head(width, num_keypoints) for _ in range(2))

    def forward(self, images: Tensor, *, scales: bool = False) -> SwahrOutput:
        """Maps of one batch.

        Args:
            images: (B, 3, H, W) float, RGB, (x / 255 - mean) / std, H and W multiples of 32.
            scales: also give the scale maps, which only training needs (Luo et al. 2021, sec. 3.2).

        Returns:
            Heatmaps at (1/4, 1/2), tags at 1/4 and, where asked for, scale maps at (1/4, 1/2).
        """
        coarse = self.branches(images)[0]
        predictions = self.final_layers[0](coarse)
        fine = self.deconv_layers[0](torch.cat((coarse, predictions), dim=1))
        heatmaps, tags = predictions.split(self.num_keypoints, dim=1)
        return SwahrOutput(
            heatmaps=(heatmaps, self.final_layers[1](fine)),
            tags=tags,
            scales=(self.conv_scale_layers[0](coarse), self.conv_scale_layers[1](fine)) if scales else None,
        )


class HRNetAE(HRNet):
    """HRNet with associative embedding and one stage, as MMPose trains it: heatmaps and tags at 1/4 alone.

    Decoding averages the maps of two stages; those at 1/2 are the same ones, enlarged: it decodes what is there.

    Args:
        num_keypoints: joints K of the skeleton.
        width: of the backbone, see :class:`HRNet`; only the finest branch leaves it.
    """

    def __init__(self, num_keypoints: int, *, width: int = 32) -> None:
        super().__init__(width=width, coarse_outputs=False)
        self.num_keypoints = num_keypoints
        self.final_layer = _zero_at_first(nn.Conv2d(width, 2 * num_keypoints, kernel_size=1))

    def forward(self, images: Tensor, *, scales: bool = False) -> SwahrOutput:
        """Maps of one batch, as :meth:`SwahrHRNet.forward` gives them.

        Raises:
            RecipeError: scale maps are asked for, which it has not got.
        """
        if scales:
            raise RecipeError("this network has no scale heads: set loss.scale_adaptive = false")
        heatmaps, tags = self.final_layer(self.branches(images)[0]).split(self.num_keypoints, dim=1)
        enlarged = nn.functional.interpolate(heatmaps, scale_factor=2, mode="bilinear", align_corners=False)
        return SwahrOutput(heatmaps=(heatmaps, enlarged), tags=tags, scales=None)


class _ExchangeModule(nn.Module):
    """Residual blocks on each branch, then each output is a sum over all branches (Sun et al. 2019, sec. 3).

    Args:
        channels: of each branch, finest first; branch i has 1/2**i of the finest's resolution.
        blocks: residual blocks per branch.
        outputs: how many of the branches, from the finest, are given out.
    """

    def __init__(self, channels: Sequence[int], *, blocks: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(count) for _ in range(blocks))) for count in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampler(channels, source, target) for source in range(len(channels)))
            for target in range(outputs)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        own = [branch(x) for branch, x in zip(self.branches, branches, strict=True)]
        fused = []
        for resamplers in self.fuse_layers:
            assert isinstance(resamplers, nn.ModuleList)
            first, *rest = (resample(x) for resample, x in zip(resamplers, own, strict=True))
            fused.append(self.relu(sum(rest, start=first)))
        return fused


def _stage(channels: Sequence[int], *, modules: int, blocks: int, coarse_outputs: bool = True) -> nn.Sequential:
    """Exchange modules in a row; without `coarse_outputs` the last gives only the finest branch."""
    outputs = [len(channels)] * modules
    if not coarse_outputs:
        outputs[-1] = 1
    return nn.Sequential(*(_ExchangeModule(channels, blocks=blocks, outputs=count) for count in outputs))


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """What turns the branches of one stage into those of the next, which has one coarser branch more."""
    layers: list[nn.Module] = []
    for branch, channels in enumerate(after):
        if branch == len(before):
            layers.append(nn.Sequential(nn.Sequential(*conv_bn(before[-1], channels, stride=2, relu=True))))
        elif before[branch] != channels:
            layers.append(nn.Sequential(*conv_bn(before[branch], channels, relu=True)))
        else:
            layers.append(nn.Identity())
    return nn.ModuleList(layers)


def _widen(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Apply a transition: the new branch comes from the coarsest one there is."""
    return [layer(x) for layer, x in zip(transition, [*branches, branches[-1]], strict=True)]


def _resampler(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """Bring branch `source` to the channels and resolution of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:
        upsample = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
        return nn.Sequential(*conv_bn(channels[source], channels[target], kernel=1), upsample)
    steps = target - source
    keep = [nn.Sequential(*conv_bn(channels[source], channels[source], stride=2, relu=True)) for _ in range(steps - 1)]
    return nn.Sequential(*keep, nn.Sequential(*conv_bn(channels[source], channels[target], stride=2)))


def _upsampler(inputs: int, channels: int, *, blocks: int) -> nn.Sequential:
    """Doubles the resolution: deconvolution, then residual blocks (Cheng et al. 2020, sec. 3.2)."""
    deconvolution = nn.Sequential(
        nn.ConvTranspose2d(inputs, channels, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels, momentum=BN_MOMENTUM),
        nn.ReLU(inplace=True),
    )
    return nn.Sequential(deconvolution, *(nn.Sequential(BasicBlock(channels)) for _ in range(blocks)))


def _scale_head(inputs: int, num_keypoints: int) -> nn.Sequential:
    """A scale map per joint, from the features that its heatmap is read from (Luo et al. 2021, sec. 3.2).

    The map is given raw: how far the scale factor lies from 1.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, num_keypoints, kernel_size=1),
        nn.BatchNorm2d(num_keypoints, momentum=BN_MOMENTUM),
        nn.ReLU(inplace=True),
        _zero_at_first(nn.Conv2d(num_keypoints, num_keypoints, kernel_size=9, padding=4, groups=num_keypoints)),
    )


def _zero_at_first(head: nn.Conv2d) -> nn.Conv2d:
    """Start a head as HigherHRNet does, with maps near zero; a scale map of zero keeps its target."""
    nn.init.normal_(head.weight, std=0.001)
    assert head.bias is not None
    nn.init.zeros_(head.bias)
    return head
