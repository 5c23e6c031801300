"""H3R: landmarks in a box, from binary heatmaps at a quarter of the input (Yu & Tao, TPAMI 2021).

Every pixel of a landmark's map is classified as the landmark or background; training targets are rounded at
random (:mod:`heatstream.models.landmarks.targets`), decoding takes the mean of the strongest pixels
(:func:`heatstream.kernels.decode_landmarks`), so that neither loses the fraction of a coordinate. All branches of
the backbone, brought to a quarter, feed a head of two 1x1 convolutions.

State-dict keys, shapes and order equal those of the official H3R code, so its checkpoints load strictly.
"""

from __future__ import annotations

import math

from heatstream.models.networks.hrnet import HRNet
from heatstream.models.networks.mobilenet import MobileNetV2
from heatstream.models.torch_import import F, Tensor, nn, torch

__all__ = ["H3R"]

CLASSES = 2
"""Background and landmark."""

FIRST_LOG_ODDS = -8.0
"""Of a landmark at any location before anything is learnt: one of 3,000 locations, as in maps of 32x32 to 64x64.

Fresh weights that take every location for either with the same probability spend the first hundreds of steps on the
background, and find the landmarks from there much later.
"""

MEAN_OF_RELU = 1 / math.sqrt(2 * math.pi)
"""Of a fresh batch norm's output after a ReLU."""


class H3R(nn.Module):
    """Two-class maps of L landmarks.

    Args:
        num_landmarks: L, of the skeleton.
        width: channels of an HRNet backbone's finest branch (the 18 of W18); None for MobileNetV2.
    """

    def __init__(self, num_landmarks: int, *, width: int | None = 18) -> None:
        super().__init__()
        self.num_landmarks = num_landmarks
        self.backbone = MobileNetV2() if width is None else HRNet(width=width)
        channels = sum(self.backbone.channels)
        self.heatmap_head = _HeatmapHead(channels, num_landmarks * CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Unnormalised scores of one batch.

        Args:
            images: (N, 3, H, W) float, RGB, (x / 255 - mean) / std, H and W multiples of 32.

        Returns:
            (N, 2, L, H/4, W/4): background and landmark.
        """
        maps: Tensor = self.heatmap_head(self._features(images))
        return maps.reshape(len(maps), CLASSES, self.num_landmarks, *maps.shape[2:])

    def landmarks(self, images: Tensor) -> Tensor:
        """Only the class of the landmarks, which is all that decoding reads: (N, L, H/4, W/4) of :meth:`forward`."""
        return self.heatmap_head.last(self._features(images), self.num_landmarks)

    def _features(self, images: Tensor) -> Tensor:
        """All branches at the finest one's resolution, (N, C, H/4, W/4)."""
        finest, *coarser = self.backbone.branches(images)
        raised = [
            F.interpolate(maps, scale_factor=2 ** (step + 1), mode="bilinear", align_corners=False)
            for step, maps in enumerate(coarser)
        ]
        return torch.cat([finest, *raised], dim=1)


class _HeatmapHead(nn.Module):
    """Two 1x1 convolutions over the joined features."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.head = _Layers(channels, outputs)
        final = self.head.layers[-1]
        assert isinstance(final, nn.Conv2d)
        with torch.no_grad():
            share = FIRST_LOG_ODDS / CLASSES / (channels * MEAN_OF_RELU)
            final.weight[: outputs // CLASSES] -= share
            final.weight[outputs // CLASSES :] += share

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.head.layers(features)
        return maps

    def last(self, features: Tensor, count: int) -> Tensor:
        """The last `count` of the maps, without computing the others."""
        *first, final = self.head.layers
        for layer in first:
            features = layer(features)
        assert isinstance(final, nn.Conv2d)
        return F.conv2d(features, final.weight[-count:])


class _Layers(nn.Module):
    """Holds the head's layers, one module deeper because that is where the official checkpoints have them."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, outputs, kernel_size=1, bias=False),
        )
