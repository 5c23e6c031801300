"""What H3R minimises: targets drawn on the batch's device, and the cross-entropy of every location.

Yu & Tao, "Heatmap Regression via Randomized Rounding", TPAMI 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heatstream.models.landmarks.targets import randomized_rounding, soft_rounding
from heatstream.models.pose.losses import location_loss
from heatstream.models.settings import LandmarkLossSettings
from heatstream.models.torch_import import Tensor, nn, torch

if TYPE_CHECKING:
    from heatstream.models.landmarks.dataset import LandmarkSample

__all__ = ["LandmarkCriterion"]


class LandmarkCriterion:
    """Compares a network's maps with a batch of samples.

    Args:
        settings: how targets are made.
        seed: of the rounding; with a batch's first number it decides every draw.
    """

    def __init__(self, settings: LandmarkLossSettings, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed

    def output(self, network: nn.Module, images: Tensor) -> Tensor:
        """The network's logits of a batch, (N, 2, L, h, w)."""
        maps: Tensor = network(images)
        return maps

    def __call__(self, output: Tensor, batch: LandmarkSample, *, first: int) -> dict[str, Tensor]:
        """The batch mean of :func:`heatstream.models.pose.losses.location_loss`, as "location".

        Args:
            output: (N, 2, L, h, w) float32, float16 or bfloat16.
            batch: a collated `LandmarkSample`: its fields are tensors with a batch axis, on the device of `output`.
            first: global number of the batch's first sample.
        """
        tensors: Any = batch  # collated: the fields hold tensors
        height, width = output.shape[-2:]
        stride = tensors.image.shape[1] / height
        target = self._target(tensors.points, (height, width), stride, first)
        with torch.autocast(output.device.type, enabled=False):
            return {"location": location_loss(output, target).mean()}

    def _target(self, points: Tensor, size: tuple[int, int], stride: float, first: int) -> Tensor:
        """(N, L, h, w); empty for landmarks that are unlabelled or out of the window."""
        if self.settings.rounding == "soft":
            return soft_rounding(points, size, stride=stride)
        if self.settings.rounding == "nearest":
            # Whole cells are rounded to themselves; half a cell beyond the last one still belongs to it.
            inside = ((points >= 0) & (points < _extent(points, size, stride))).all(dim=-1, keepdim=True)
            cells = torch.minimum((points / stride).round(), _extent(points, size, 1.0) - 1)
            return soft_rounding(torch.where(inside, cells, float("nan")), size)
        generator = torch.Generator(points.device)
        state = np.random.SeedSequence((self._seed, first)).generate_state(1, np.uint64)
        generator.manual_seed(int(state[0] >> np.uint64(1)))  # torch takes 63 bits
        return randomized_rounding(points, size, generator, stride=stride)


def _extent(points: Tensor, size: tuple[int, int], stride: float) -> Tensor:
    """(2,) width and height of the maps, in units of which `stride` make one cell."""
    height, width = size
    return points.new_tensor((width * stride, height * stride))
