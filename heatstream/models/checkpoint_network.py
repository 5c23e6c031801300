"""Opening a torch checkpoint as the network it is of, described as a model file of it would be.

`export` and `eval` share this, so that a checkpoint is measured exactly as its export will run.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from heatstream.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from torch import nn

    from heatstream.model_info import ModelInfo

__all__ = ["RANDOM", "open_network", "sized"]

RANDOM = "random"
"""What a model file says of weights that nobody trained."""


def open_network(name: str | None, checkpoint: Path | None) -> tuple[nn.Module, ModelInfo]:
    """A network with the weights of a checkpoint, and how it is fed.

    Skeleton and input size are those of the training where the checkpoint tells, as ours do, and the catalogue's
    otherwise.

    Args:
        name: of the network; what the checkpoint says when left out.
        checkpoint: the weights, or the name of a network whose weights come with the package; random ones when left
            out.

    Raises:
        UnknownNameError: there is no such network or skeleton.
        CheckpointError: the checkpoint cannot be read, is of another network, or does not say of which it is.
        MissingExtraError: torch is not installed.
    """
    from heatstream import catalog
    from heatstream.models import create, load_checkpoint
    from heatstream.models.checkpoints import read_origin, weights_file

    checkpoint = None if checkpoint is None else weights_file(str(checkpoint))
    origin = None if checkpoint is None else read_origin(checkpoint)
    if origin is not None and name not in (None, origin.network):
        raise CheckpointError(f"{checkpoint} holds a {origin.network}, not a {name}: name that one")
    name = name if origin is None else origin.network
    if name is None:
        known = ", ".join(catalog.CATALOG)
        raise CheckpointError(f"{checkpoint} does not say which network it is of: name one of {known}")
    entry = catalog.get(name)
    info = entry.info(weights=RANDOM)
    if origin is not None:
        # Our training warps photographs with pixel centres where they are.
        info = replace(info, skeleton=origin.skeleton, input_size=origin.size, geometry="exact")
    network = create(entry.name, skeleton=info.skeleton)
    if checkpoint is None:
        return network, info
    report = load_checkpoint(network, checkpoint)
    backbone = report.coverage == "backbone"
    return network, replace(
        info, weights=f"{checkpoint.name} (backbone alone) and {RANDOM} (heads)" if backbone else checkpoint.name
    )


def sized(info: ModelInfo, text: str | None, short_side: int | None = None) -> ModelInfo:
    """The description with the input size that a person asked for.

    Args:
        info: of a network of any size.
        text: ``"256x448"`` or ``"256"`` for one size; ``"any"`` or ``"any:384"`` for the official geometry, in which
            the short side is as long as the network's own size, or 384, and the long side follows; None for the
            network's own size.
        short_side: 384 is short for ``"any:384"``.

    Raises:
        InputError: the text is not understood, the size is not a multiple of 32 px (64 for any), both are given, or a
            short side for a network that looks into boxes.
    """
    from heatstream.model_info import FREE_SIZE_MULTIPLE, SIZE_MULTIPLE

    if short_side is not None:
        if text is not None:
            raise InputError(f"--short-side {short_side} is --size any:{short_side}: leave one of them out")
        if info.task == "pose":  # boxes are brought to one size, which is refused below
            info = replace(info, any_size=True, input_size=(FREE_SIZE_MULTIPLE, FREE_SIZE_MULTIPLE))
        return info.with_short_side(short_side)
    if text is None:
        return info
    match = re.fullmatch(r"(any)(?::(\d{1,5}))?|(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip().lower())
    if match is None:
        raise InputError(f"--size {text!r} is not understood: give HEIGHTxWIDTH such as 256x448, or any")
    free = match[1] is not None
    height = int(match[2] or info.input_size[0]) if free else int(match[3])
    width = height if free else int(match[4] or height)
    multiple = FREE_SIZE_MULTIPLE if free else SIZE_MULTIPLE
    nearest = [max(1, round(side / multiple)) * multiple for side in (height, width)]
    if nearest != [height, width]:
        suggestion = f"any:{nearest[0]}" if free else f"{nearest[0]}x{nearest[1]}"
        raise InputError(f"--size {text!r} is not made of multiples of {multiple}: try {suggestion}")
    return replace(info, any_size=free, input_size=(height, width))
