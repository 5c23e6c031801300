"""Stops a training at the first step whose loss or gradient is not finite, without waiting for the GPU every step."""

from __future__ import annotations

from heatstream.models.torch_import import Tensor, torch

__all__ = ["FiniteCheck"]

NEVER = 2**62


class FiniteCheck:
    """Watches every step on the device; asking costs a wait, so the trainer asks seldom on a GPU.

    Args:
        device: where the training computes.

    Attributes:
        tripped: () float32 on the device, 1 from the first bad step on; torch's fused optimisers leave the weights
            alone where such a flag is given to them as `found_inf`.
    """

    def __init__(self, device: torch.device) -> None:
        self.tripped = torch.zeros((), device=device)
        self._first_bad = torch.full((), NEVER, device=device)

    def watch(self, step: int, *values: Tensor) -> None:
        """Look at the loss and the gradient's norm of a step, () float each; never waits."""
        bad = ~torch.stack([value.detach().float() for value in values]).isfinite().all()
        self.tripped.copy_(torch.maximum(self.tripped, bad.float()))
        here = torch.where(bad, step, NEVER)
        self._first_bad.copy_(torch.minimum(self._first_bad, here))

    def first_bad_step(self) -> int | None:
        """The first step that was not finite; waits for the device."""
        step = int(self._first_bad)
        return None if step == NEVER else step
