"""The processes of one training: alone, or several under ``torchrun`` (nccl between GPUs, gloo between CPUs)."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

from heatstream.errors import RecipeError, TrainingError, first_line
from heatstream.models.torch_import import nn, torch
from heatstream.models.training.sync_norm import synchronise_norms

__all__ = ["Processes"]

Value = TypeVar("Value")

PATIENCE = timedelta(hours=24)
"""How long processes wait for the one that validates; a dead one is noticed by its closed connection."""


class Processes:
    """This process among those of the training, and the device it computes on; a context manager.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:1"; under torchrun every process takes the GPU of its local rank.

    Attributes:
        rank: number of this process; number 0 validates, writes and prints.
        world: how many there are.
        device: where this one computes.

    Raises:
        RecipeError: the device is not there.
    """

    def __init__(self, device: str = "auto") -> None:
        self.rank = int(os.environ.get("RANK", 0))
        self.world = int(os.environ.get("WORLD_SIZE", 1))
        self.device = _device(device, self.world)
        self._talk: torch.distributed.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and prints."""
        return self.rank == 0

    def wrap(self, network: nn.Module, *, sync_norms: bool) -> nn.Module:
        """The network with averaged gradients and, if asked for, batch norms over all processes; alone, itself."""
        if self.world == 1:
            return network
        if sync_norms:
            network = synchronise_norms(network, cuda=self.device.type == "cuda")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 has another name for `broadcast_buffers`
            return torch.nn.parallel.DistributedDataParallel(
                network,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                broadcast_buffers=False,  # synchronised norms keep them equal; others do not use them in training
                gradient_as_bucket_view=True,
            )

    def share(self, value: Value) -> Value:
        """The value that process 0 has; waits for it."""
        if self.world == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, 0, group=self._talk)
        return values[0]

    def gather(self, value: Value) -> list[Value]:
        """The values of all processes, in their order; waits for all."""
        if self.world == 1:
            return [value]
        values = [value] * self.world
        torch.distributed.all_gather_object(values, value, group=self._talk)
        return values

    def any(self, value: bool) -> bool:
        """Whether any process says so; waits for all."""
        if self.world == 1:
            return value
        flag = torch.tensor(int(value))
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX, group=self._talk)
        return bool(flag)

    def __enter__(self) -> Processes:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            torch.distributed.init_process_group(backend, timeout=PATIENCE)
            # Short messages go between CPUs, so that none of them waits for a GPU.
            self._talk = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world == 1:
            return
        if error is None:
            torch.distributed.destroy_process_group()
        elif isinstance(error, RuntimeError) and not isinstance(error, TrainingError):
            # A connection that breaks is the only way in which this process learns of another's end.
            raise TrainingError(
                f"process {self.rank} lost the others ({first_line(error)}): see what they say"
            ) from error


def _device(name: str, world: int) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cpu" or (name == "auto" and not available):
        return torch.device("cpu")
    if not available:
        raise RecipeError(f"train.device = {name!r} is not on this machine: give cpu or auto")
    index = int(name.partition(":")[2] or 0)
    if world > 1:
        index = int(os.environ.get("LOCAL_RANK", 0))
    if index >= torch.cuda.device_count():
        raise RecipeError(
            f"GPU {index} is not on this machine, which has {torch.cuda.device_count()}: start fewer processes or "
            "change train.device"
        )
    return torch.device("cuda", index)
