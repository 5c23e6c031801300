"""Reading torch checkpoints: our own, the official SWAHR, HigherHRNet and H3R ones, ImageNet backbones.

Files are read with ``weights_only=True``: a checkpoint can hold tensors and plain containers and can run
nothing. What does not fit is refused before the network is touched, in one sentence.
"""

from __future__ import annotations

import argparse
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from heatstream.errors import CheckpointError
from heatstream.extras import require
from heatstream.files import expanded

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["LoadReport", "Origin", "load_checkpoint", "read_origin", "weights_file"]

Coverage = Literal["network", "network without scale heads", "backbone"]

WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "best_state_dict", "model_state", "net", "network", "params"),
    *("weights", "ema_state_dict", "model_ema", "params_ema"),
)
"""Keys under which training programs keep the weights, beside the optimiser and the rest."""

PREFIXES = ("module.", "1.", "_orig_mod.", "model.", "net.", "network.")
"""What DataParallel, FP16 training (a converter, then the network), torch.compile and Lightning put before keys."""

COUNTERS = ("n_averaged", "total_ops", "total_params")
"""Entries that are no weights: of averaged models, and of a counter of operations, in every module."""

SCALE_HEADS = ("conv_scale_layers.", "quarter_scales.", "half_scales.")
"""Modules that only SWAHR training needs; a HigherHRNet checkpoint has none."""

POSE_HEADS = ("final_layers.", "deconv_layers.", "quarter_", "half_", "heatmap_head.", "context_head.", *SCALE_HEADS)
"""Modules whose shapes follow the skeleton, and which an ImageNet backbone has not got."""

OTHER_HEADS = (
    *("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "stage4.2.fuse_layers."),
    "features.",  # of a MobileNetV2: those after 1/16
)
"""What a backbone trained for something else has on top: these are left behind."""

BACKBONE = "backbone."
"""Where an H3R network keeps its backbone; a backbone of its own has no such prefix."""


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave.

    Attributes:
        coverage: how much of the network it filled.
        missing: keys of the network that it did not hold; they keep the values they had.
        unexpected: keys of the checkpoint that the network has no place for (the heads of another task).
    """

    coverage: Coverage
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        modules = sorted({key.split(".")[0] for key in self.missing})
        rest = f"; not in it: {', '.join(modules)} ({len(self.missing)} entries)" if modules else ""
        return f"loaded the {self.coverage}{rest}"


@dataclass(frozen=True)
class Origin:
    """What a checkpoint of our own training says of itself, under the key ``config``.

    Attributes:
        network: its name, one of :data:`heatstream.catalog.CATALOG`.
        skeleton: name of the keypoint layout that it was trained for.
        size: (height, width) of the training windows in px.
    """

    network: str
    skeleton: str
    size: tuple[int, int]


def read_origin(path: str | Path) -> Origin | None:
    """Which network a checkpoint is of; None where it does not say, as those of others.

    Raises:
        CheckpointError: the file cannot be read.
        MissingExtraError: torch is not installed.
    """
    content = _read(weights_file(path))
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        return None
    network, skeleton, size = (config.get(key) for key in ("network", "skeleton", "size"))
    sides = size if isinstance(size, tuple) else (size, size)  # one side stands for a square
    if not isinstance(network, str) or not isinstance(skeleton, str) or list(map(type, sides)) != [int, int]:
        return None
    return Origin(network, skeleton, (int(sides[0]), int(sides[1])))


def weights_file(name_or_file: str | Path) -> Path:
    """The torch checkpoint that is meant: a file, or the name of a network whose weights come with the package."""
    bundled = Path(str(files("heatstream") / "weights" / f"{name_or_file}.pt"))
    named = isinstance(name_or_file, str) and Path(name_or_file).name == name_or_file
    return bundled if named and os.path.isfile(bundled) else expanded(name_or_file)


def load_checkpoint(model: nn.Module, path: str | Path, *, heads: bool = True) -> LoadReport:
    """Fill a network from a torch checkpoint.

    A SWAHR or H3R checkpoint (or one of our own training) must fill every entry; a HigherHRNet one may lack the
    scale heads; a backbone trained on ImageNet or for single persons must fill the backbone and nothing else.
    Wrappers such as ``{"state_dict": ...}`` and prefixes such as ``module.`` are taken off.

    Args:
        model: the network; left as it was if anything is raised.
        path: the checkpoint, or the name of a network whose weights come with the package.
        heads: False leaves the checkpoint's heads out, as for a network of another skeleton.

    Returns:
        What was filled and what was missing.

    Raises:
        CheckpointError: the file cannot be read, is no checkpoint, holds more than tensors and plain
            containers, or belongs to another network.
        MissingExtraError: torch is not installed.
    """
    path = weights_file(path)
    found = _unprefixed(_state_dict(_read(path), path))
    if not heads:
        found = {key: value for key, value in found.items() if not key.startswith(POSE_HEADS)}
    wanted = model.state_dict()
    if not any(key.startswith(BACKBONE) for key in found):
        found = {BACKBONE + key if BACKBONE + key in wanted else key: value for key, value in found.items()}
    report = _coverage(found, wanted, path)
    matched = {key: found[key] for key in wanted if key in found}
    for key, value in matched.items():
        _check_entry(key, value, wanted[key], path)
    model.load_state_dict(matched, strict=False)
    return report


def _read(path: Path) -> object:
    """The unpickled content, tensors on the CPU."""
    torch = require("torch", extra="train", purpose="reading checkpoints")
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise CheckpointError(f"checkpoint {path} {what}: give the path of a .pth file")
    if path.stat().st_size == 0:
        raise CheckpointError(f"checkpoint {path} is empty: download or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's version: what matters is whether it loads
            with torch.serialization.safe_globals(_harmless()):
                return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle or zip fails in more ways than torch documents
        if forbidden := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"checkpoint {path} holds an object ({forbidden[1]}) besides tensors, which could run code "
                "and is never loaded: save it again as torch.save(model.state_dict(), path)"
            ) from error
        raise CheckpointError(
            f"checkpoint {path} is damaged, cut short or no torch checkpoint: download or save it again"
        ) from error


def _harmless() -> list[Any]:
    """Types that programs keep beside the weights and that hold data alone: numbers of NumPy's, and options."""
    scalar = np.float64(0).__reduce__()[0]  # its name changed with NumPy 2
    old = (scalar, "numpy.core.multiarray.scalar")
    kinds = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    plain = (_plain_dict, "collections.defaultdict")  # torch fills no defaultdict
    return [scalar, old, np.dtype, *kinds, argparse.Namespace, plain, list, dict, int, float]


def _plain_dict(*factory: object) -> dict[Any, Any]:
    """What a defaultdict is read as."""
    return {}


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The tensors by key, taken out of a training program's wrapper."""
    if isinstance(content, Mapping):
        outer = [content, *(content.get(wrapper) for wrapper in WRAPPERS)]
        deeper = [inner.get(wrapper) for inner in outer[1:] if isinstance(inner, Mapping) for wrapper in WRAPPERS]
        for inner in (*outer, *deeper):
            if isinstance(inner, Mapping) and _holds_tensors(inner):
                return dict(inner)
    raise CheckpointError(
        f"checkpoint {path} holds no state dict (a mapping of names to tensors): "
        "save it as torch.save(model.state_dict(), path)"
    )


def _holds_tensors(mapping: Mapping[Any, Any]) -> bool:
    from torch import Tensor

    items = mapping.items()
    return bool(items) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in items)


def _unprefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off the prefixes that every key shares, as often as they come, and leave out what is no weight."""
    state = {key: value for key, value in state.items() if key.split(".")[-1] not in COUNTERS}
    if not state:
        return state
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _coverage(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: Path) -> LoadReport:
    """Say what kind of checkpoint this is by the keys it has and lacks."""
    missing = tuple(key for key in wanted if key not in found)
    unexpected = tuple(key for key in found if key not in wanted)
    # Batch norms older than torch 0.4.1 do not count their batches; only a momentum of None needs the count.
    lacking = [key for key in missing if not key.endswith(".num_batches_tracked")]
    if not lacking and not unexpected:
        return LoadReport("network", missing, unexpected)
    if not unexpected and all(key.startswith(SCALE_HEADS) for key in lacking):
        return LoadReport("network without scale heads", missing, unexpected)
    heads = {key for key in wanted if key.startswith(POSE_HEADS)}
    is_backbone = heads.issuperset(lacking) and heads.isdisjoint(found)
    if heads and is_backbone and all(key.startswith(OTHER_HEADS) for key in unexpected):
        return LoadReport("backbone", missing, unexpected)
    examples = f"{len(lacking)} entries are missing" + (f" (the first is {lacking[0]})" if lacking else "")
    extra = f"{len(unexpected)} are not of it" + (f" (the first is {unexpected[0]})" if unexpected else "")
    raise CheckpointError(
        f"checkpoint {path} is of another network: {examples} and {extra}; "
        "give a checkpoint of the network that was asked for"
    )


def _check_entry(key: str, value: Tensor, wanted: Tensor, path: Path) -> None:
    """Refuse what `load_state_dict` would refuse less clearly, or would not refuse."""
    import torch

    if value.shape != wanted.shape:
        raise CheckpointError(_shape_message(key, tuple(value.shape), tuple(wanted.shape), path))
    plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not plain or value.is_floating_point() != wanted.is_floating_point():
        raise CheckpointError(
            f"checkpoint {path} holds {key} as {value.dtype} ({value.layout}, {value.device}), expected "
            f"{wanted.dtype}: save plain floating-point weights"
        )
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise CheckpointError(
            f"checkpoint {path} holds values in {key} that are not finite: the training diverged, use an "
            "earlier checkpoint"
        )


def _shape_message(key: str, shape: tuple[int, ...], wanted: tuple[int, ...], path: Path) -> str:
    """Say what differs in words where the key tells: the width of an HRNet, or the number of joints."""
    if key.removeprefix(BACKBONE) == "transition1.0.0.weight" and len(shape) == len(wanted):
        return (
            f"checkpoint {path} is an HRNet of width {shape[0]}, expected {wanted[0]}: choose the network of "
            "that width or another checkpoint"
        )
    if key.startswith("final_layers.") and len(shape) == len(wanted):
        maps_per_joint = 2 if key.startswith("final_layers.0.") else 1  # the first predicts tags too
        return (
            f"checkpoint {path} predicts {shape[0] // maps_per_joint} keypoints, expected "
            f"{wanted[0] // maps_per_joint}: choose the network for its skeleton or another checkpoint"
        )
    if key == "heatmap_head.head.layers.3.weight" and shape[1:] == wanted[1:]:
        return (  # two classes per landmark
            f"checkpoint {path} predicts {shape[0] // 2} landmarks, expected {wanted[0] // 2}: choose the network for "
            "its skeleton or another checkpoint"
        )
    return (
        f"checkpoint {path} holds {key} of shape {shape}, expected {wanted}: it is of another network, give "
        "a checkpoint of the one that was asked for"
    )
