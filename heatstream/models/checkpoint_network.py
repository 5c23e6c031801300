"""Opening a torch checkpoint as the network it is of, described as a model file of it would be.

`export` and `eval` share this, so that a checkpoint is measured exactly as its export will run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heatstream.errors import CheckpointError

if TYPE_CHECKING:
    from torch import nn

    from heatstream.model_info import ModelInfo

__all__ = ["RANDOM", "open_network"]

RANDOM = "random"
"""What a model file says of weights that were not trained."""


def open_network(
    name: str | None, checkpoint: Path | None, *, skeleton: str | None = None
) -> tuple[nn.Module, ModelInfo]:
    """A network with the weights of a checkpoint, and how it is fed.

    Skeleton and input size are those of the training where the checkpoint tells, as ours do, and the catalogue's
    otherwise.

    Args:
        name: of the network; what the checkpoint says when left out.
        checkpoint: the weights, or the name of a network whose weights come with the package; random ones when left
            out.
        skeleton: name of the layout of a checkpoint that does not say it; the network's usual one when left out.

    Raises:
        UnknownNameError: there is no such network or skeleton.
        CheckpointError: the checkpoint cannot be read, is of another network, does not say of which it is, or was
            trained with UDP.
        MissingExtraError: torch is not installed.
    """
    from heatstream import catalog
    from heatstream.models import create, load_checkpoint
    from heatstream.models.checkpoints import read_origin, uses_udp, weights_file

    checkpoint = None if checkpoint is None else weights_file(str(checkpoint))
    origin = None if checkpoint is None else read_origin(checkpoint)
    if origin is not None and name not in (None, origin.network):
        raise CheckpointError(f"{checkpoint} holds a {origin.network}, not a {name}: name that one")
    name = name if origin is None else origin.network
    if name is None:
        known = ", ".join(catalog.networks())
        raise CheckpointError(f"{checkpoint} does not say which network it is of: name one of {known}")
    entry = catalog.get(name)
    info = entry.info(weights=RANDOM)
    if skeleton is not None:
        info = replace(info, skeleton=skeleton)
    if origin is not None:
        # Our training warps photographs with pixel centres where they are.
        info = replace(info, skeleton=origin.skeleton, input_size=origin.size, geometry="exact")
        if skeleton not in (None, origin.skeleton):
            raise CheckpointError(f"{checkpoint} finds {origin.skeleton}, not {skeleton}: leave the skeleton out")
    if info.skeleton != entry.skeleton:
        info = replace(info, calibration=())  # of the scores of other weights
    network = create(entry.name, skeleton=info.skeleton)
    if checkpoint is None:
        return network, info
    if origin is None and uses_udp(checkpoint):
        raise CheckpointError(
            f"{checkpoint} was trained with UDP, which places pixels differently: positions would be up to 2 px off in "
            "the network's input; use the file of the same network without _udp in its name"
        )
    report = load_checkpoint(network, checkpoint)
    backbone = report.coverage == "backbone"
    return network, replace(
        info, weights=f"{checkpoint.name} (only the backbone) and {RANDOM} (heads)" if backbone else checkpoint.name
    )
