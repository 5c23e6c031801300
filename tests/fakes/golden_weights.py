"""Weights drawn from their own names, as the golden data's README lays down; no checkpoint is needed."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.typing import NDArray

SWAHR_GAIN = 0.8
"""Gain of the convolutions for SWAHR w32 and w48; with 1 the activations grow to several 10^4."""

H3R_GAINS = {"hrnet18": 0.7, "mobilenetv2": 1.0}
"""The same for H3R, by backbone."""


def golden_entry(key: str, shape: tuple[int, ...], *, gain: float) -> NDArray[np.float32]:
    """One floating-point entry of a state dict, drawn from a generator seeded with the CRC-32 of its key."""
    random = np.random.RandomState(zlib.crc32(key.encode()))
    kind = key.rpartition(".")[2]
    if kind == "running_var":
        return (0.5 + random.random_sample(shape)).astype(np.float32)
    normal = random.standard_normal(shape)
    if kind == "weight" and len(shape) > 1:
        return normal.astype(np.float32) * np.float32(gain / np.sqrt(np.prod(shape[1:])))
    return ((1 if kind == "weight" else 0) + 0.1 * normal).astype(np.float32)


def fill_golden_weights(module: torch.nn.Module, *, gain: float = SWAHR_GAIN) -> None:
    """Fill every entry of a module's state dict in place."""
    with torch.no_grad():
        for key, entry in module.state_dict().items():
            if entry.is_floating_point():
                entry.copy_(torch.from_numpy(golden_entry(key, tuple(entry.shape), gain=gain)))
            else:
                entry.zero_()
