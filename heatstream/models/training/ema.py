"""The exponential moving average of a network's weights, which finds more than the weights of any one step."""

from __future__ import annotations

from copy import deepcopy

from heatstream.models.torch_import import nn, torch

__all__ = ["WeightEma"]


class WeightEma:
    """A second network in evaluation mode whose weights follow those of the first.

    Batch-norm statistics are averaged too; whole numbers are copied. torch's own AveragedModel counts its updates in a
    buffer of its own and names every weight ``module.``; here the decay is a function of the step and the averaged
    network is saved under the names that `heatstream export` loads, so nothing else has to be resumed.

    Args:
        network: the one to follow; it is copied, with its device and memory format.

    Attributes:
        network: the averaged one.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)

    def follow(self, network: nn.Module, decay: float) -> None:
        """Move towards `network`: ``decay * old + (1 - decay) * new`` for every value."""
        with torch.no_grad():
            pairs = list(zip(_values(self.network), _values(network), strict=True))
            floats = [(mine, theirs) for mine, theirs in pairs if mine.is_floating_point()]
            torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], 1 - decay)
            for mine, theirs in pairs:
                if not mine.is_floating_point():
                    mine.copy_(theirs)


def _values(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
