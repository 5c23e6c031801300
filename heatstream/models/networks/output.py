"""What every SWAHR network returns: heatmaps at two resolutions, tags and, for training, scale maps.

One named tuple for all backbones, so that losses, ONNX export and evaluation never ask which network they hold.
"""

from __future__ import annotations

from typing import NamedTuple

from heatstream.models.torch_import import Tensor


class SwahrOutput(NamedTuple):
    """The maps of one forward pass; B images of H x W pixels, K joints, all in the network's float dtype.

    The pairs are ordered (1/4 resolution, 1/2 resolution).

    Attributes:
        heatmaps: ((B, K, H/4, W/4), (B, K, H/2, W/2)), near 1 at a joint and near 0 elsewhere, not clipped.
        tags: (B, K, H/4, W/4), one associative-embedding value per joint and pixel (Newell et al. 2017, sec. 3).
        scales: same shapes as `heatmaps`, or None when the forward pass was not asked for them. A value s
            stands for a Gaussian of standard deviation sigma * s (Luo et al. 2021, sec. 3.2); needed only to train.
    """

    heatmaps: tuple[Tensor, Tensor]
    tags: Tensor
    scales: tuple[Tensor, Tensor] | None = None
