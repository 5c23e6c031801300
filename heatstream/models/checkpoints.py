"""Filling a network from a checkpoint: our own, official SWAHR, HigherHRNet and H3R, MMPose's, Paddle's, backbones.

Where in a file the weights are, and which prefixes stand before their names, is found by name and shape: it is where
most of the network's entries are. What does not fit is refused before the network is touched, in one sentence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from heatstream import skeletons
from heatstream.errors import CheckpointError, InputError
from heatstream.extras import require
from heatstream.models.checkpoint_file import read_content, weights_file
from heatstream.models.paddle_names import official_names
from heatstream.skeleton_tables import skeleton_from_table, skeleton_to_table

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["LoadReport", "Origin", "load_checkpoint", "origin_config", "read_origin", "uses_udp", "weights_file"]

Coverage = Literal["network", "network without scale heads", "backbone"]

WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "best_state_dict", "model_state", "net", "network", "params"),
    *("weights", "ema_state_dict", "model_ema", "params_ema"),
)
"""Keys under which training programs keep the weights: of several that fit alike, the first is taken."""

DEEPEST = 4
"""How many mappings lie inside each other."""

COUNTERS = ("n_averaged", "total_ops", "total_params")
"""Entries that are no weights: of averaged models, and of a counter of operations, in every module."""

SCALE_HEADS = ("conv_scale_layers.", "quarter_scales.", "half_scales.")
"""Modules that only SWAHR training needs; a HigherHRNet checkpoint has none."""

POSE_HEADS = (
    *("final_layers.", "final_layer.", "deconv_layers.", "quarter_", "half_", "heatmap_head.", "context_head."),
    *SCALE_HEADS,
)
"""Modules whose shapes follow the skeleton, and which an ImageNet backbone has not got."""

OTHER_HEADS = (
    *("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "stage4.2.fuse_layers."),
    "features.",  # of a MobileNetV2: those after 1/16
)
"""What a backbone trained for something else has on top: these are left behind."""

BACKBONE = "backbone."
"""Where an H3R network keeps its backbone; a backbone of its own has no such prefix."""

MOST_NAMES = 4
"""How many parts a report names."""

State = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class LoadReport:
    """What a checkpoint gave.

    Attributes:
        coverage: how much of the network it filled.
        missing: keys of the network that it did not hold, or that were left out; they keep the values they had.
        unexpected: keys of the checkpoint that were left out: heads of another task or skeleton, a second network.
    """

    coverage: Coverage
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        rest = f"; fresh: {_parts(self.missing)}" if self.missing else ""
        left = f"; left out: {_parts(self.unexpected)}" if self.unexpected else ""
        return f"loaded the {self.coverage}{rest}{left}"


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


def origin_config(network: str, skeleton: str, size: int | tuple[int, int]) -> dict[str, Any]:
    """What :func:`read_origin` reads; a skeleton that is none of the known ones is written out."""
    config: dict[str, Any] = {"network": network, "skeleton": skeleton, "size": size}
    if skeleton not in skeletons.SKELETONS:
        config["skeleton_table"] = skeleton_to_table(skeletons.get(skeleton))
    return config


def read_origin(path: str | Path) -> Origin | None:
    """Which network a checkpoint is of; None where it does not say, as those of others.

    A skeleton of its own is known to this process from then on.

    Raises:
        CheckpointError: the file cannot be read, or its skeleton has the name of another one.
        MissingExtraError: torch is not installed.
    """
    content = read_content(weights_file(path))
    config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        return None
    network, skeleton, size = (config.get(key) for key in ("network", "skeleton", "size"))
    sides = size if isinstance(size, tuple) else (size, size)  # one side stands for a square
    if not isinstance(network, str) or not isinstance(skeleton, str) or list(map(type, sides)) != [int, int]:
        return None
    table = config.get("skeleton_table")
    if isinstance(table, Mapping):
        try:
            skeletons.register(skeleton_from_table(table))
        except InputError as error:
            raise CheckpointError(f"checkpoint {path}: {error}") from None
    return Origin(network, skeleton, (int(sides[0]), int(sides[1])))


def uses_udp(path: Path) -> bool:
    """Whether a checkpoint of MMPose was trained with UDP, whose keys and shapes are those of any other.

    Its file's name says so, and the configuration that MMPose keeps in ``meta``.
    """
    content = read_content(path)
    meta = content.get("meta") if isinstance(content, Mapping) else None
    texts = [value for value in meta.values() if isinstance(value, str)] if isinstance(meta, Mapping) else []
    return "_udp" in path.stem or any("use_udp=True" in text.replace(" ", "") for text in texts)


def load_checkpoint(model: nn.Module, path: str | Path, *, heads: bool | None = True) -> LoadReport:
    """Fill a network from a checkpoint.

    A SWAHR or H3R checkpoint (or one of our own training) must fill every entry; a HigherHRNet one may lack the
    scale heads; a backbone trained on ImageNet or for single persons must fill the backbone and nothing else.
    Wrappers such as ``{"state_dict": ...}`` and prefixes such as ``module.`` are taken off.

    Args:
        model: the network; left as it was if anything is raised.
        path: the checkpoint, or the name of a network whose weights come with the package.
        heads: False leaves the checkpoint's heads out, as for a network of another skeleton; None leaves them out
            where their shapes are of another number of keypoints.

    Returns:
        What was filled and what was missing.

    Raises:
        CheckpointError: the file cannot be read, is no checkpoint, holds more than tensors and plain
            containers, or belongs to another network.
        MissingExtraError: torch is not installed.
    """
    require("torch", extra="train", purpose="reading checkpoints")
    path = weights_file(path)
    wanted = model.state_dict()
    found, aside = _best_match(read_content(path), wanted, path)
    if heads is None:
        heads = all(
            found[key].shape == value.shape
            for key, value in wanted.items()
            if key in found and key.startswith(POSE_HEADS)
        )
    if not heads:
        aside += tuple(key for key in found if key.startswith(POSE_HEADS))
        found = {key: value for key, value in found.items() if not key.startswith(POSE_HEADS)}
    report = _coverage(found, wanted, aside, path)
    matched = {key: found[key] for key in wanted if key in found}
    for key, value in matched.items():
        _check_entry(key, value, wanted[key], path)
    model.load_state_dict(matched, strict=False)
    return report


def _best_match(content: object, wanted: State, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The entries of a file by the network's names, and the names of those that belong to something else.

    Of all mappings of tensors in the file that one is taken which fills most of the network.
    """
    states = list(_states(content))
    if not states:
        raise CheckpointError(
            f"checkpoint {path} holds no state dict (a mapping of names to tensors): "
            "save it as torch.save(model.state_dict(), path)"
        )
    best: tuple[tuple[int, int, int], dict[str, Tensor], tuple[str, ...]] | None = None
    for number, (name, state) in enumerate(states):
        found, aside = _unprefixed(official_names(state), wanted, path)
        hits = sum(key in wanted and value.shape == wanted[key].shape for key, value in found.items())
        rank = (hits, -WRAPPERS.index(name) if name in WRAPPERS else -len(WRAPPERS), -number)
        if best is None or rank > best[0]:
            best = rank, found, aside
    assert best is not None
    return best[1], best[2]


def _states(content: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping of names to tensors in a file, with the key it lies under; tensors beside other things too.

    Where the modules of a network are mappings of their own, they are one state dict, their names joined.
    """
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    own = {str(key): tensor for key, value in content.items() if (tensor := _tensor(value)) is not None}
    if own:
        yield name, own
    inner = {str(key): list(_states(value, str(key), depth + 1)) for key, value in content.items()}
    parts = {key: states[0][1] for key, states in inner.items() if states and states[0][0] == key}
    for states in inner.values():
        yield from states
    if len(parts) > 1:
        yield name, {f"{key}.{inside}": value for key, part in parts.items() for inside, value in part.items()}


def _tensor(value: object) -> Tensor | None:
    """A tensor, or an array as one; None for anything else. Paddle may keep (name, array) pairs."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value))
    return None


def _unprefixed(state: State, wanted: State, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Take off what stands before the network's names, and set aside what belongs to something else.

    Names that end like one of the network's and have its shape tell the prefixes. The network is under that one under
    which most of its entries are. Heads may stand under another, as MMPose's do, if it has whole modules of the network
    that the first has not. What stands beside the first prefix is set aside; what stands under it and fits nowhere is
    kept, and refused later.
    """
    state = {key: value for key, value in state.items() if key.split(".")[-1] not in COUNTERS}
    of_backbone = not any(key.startswith(BACKBONE) or f".{BACKBONE}" in key for key in state)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for key, value in state.items():
        for prefix, name in _suffixes(key):
            inner = BACKBONE + name if of_backbone and BACKBONE + name in wanted else name
            # A name of the network with another shape counts where nothing says that it is another network's.
            if inner in wanted and (value.shape == wanted[inner].shape or not prefix or name.startswith(POSE_HEADS)):
                groups[prefix][key] = inner
                break
    if not groups:
        return dict(state), ()
    ranked = sorted(groups, key=lambda prefix: -len(groups[prefix]))
    main = ranked[0]
    if 2 * len(groups[main]) > len(wanted):  # what is alike in a network's parts are no networks
        _refuse_twins(ranked, groups, path)
    # A name that has the network's prefix and another shape is the network's all the same.
    names = {key: _inside(key, main, wanted, of_backbone) for key in state if key.startswith(main)}
    for prefix in ranked[1:]:
        if _is_complement(groups[prefix].values(), set(names.values()) & wanted.keys(), wanted):
            names |= groups[prefix]
    beside = tuple(key for key in state if key not in names)
    return {names[key]: value for key, value in state.items() if key in names}, beside


def _suffixes(key: str) -> Iterator[tuple[str, str]]:
    """Every way to cut a name into a prefix that ends in a dot, or none, and the rest; the longest rest first."""
    at = 0
    while True:
        yield key[:at], key[at:]
        at = key.find(".", at) + 1
        if not at:
            return


def _inside(key: str, prefix: str, wanted: State, of_backbone: bool) -> str:
    name = key[len(prefix) :]
    return BACKBONE + name if of_backbone and BACKBONE + name in wanted else name


def _refuse_twins(ranked: list[str], groups: Mapping[str, Mapping[str, str]], path: Path) -> None:
    """Refuse a file that holds the network twice under names of which none is the usual one."""
    first, *rest = ranked
    names = set(groups[first].values())
    for other in rest:
        if len(groups[other]) == len(names) and names == set(groups[other].values()):
            last = [prefix.rstrip(".").rpartition(".")[2] for prefix in (first, other)]
            if not any(each in ("", "module", *WRAPPERS) for each in last):
                raise CheckpointError(
                    f"checkpoint {path} holds the network several times, as {first}* and {other}*: save the one that "
                    "you mean, as torch.save(model.state_dict(), path)"
                )


def _is_complement(names: Any, taken: set[str], wanted: State) -> bool:
    """Whether these are whole modules of the network, of which nothing is taken yet."""
    modules = {name.split(".")[0] for name in names}
    if modules & {name.split(".")[0] for name in taken}:
        return False
    whole = {name for name in wanted if name.split(".")[0] in modules and not name.endswith("num_batches_tracked")}
    return whole <= set(names)


def _parts(keys: tuple[str, ...]) -> str:
    """The modules that entries belong to, human-readable."""
    modules = list(dict.fromkeys(key.split(".")[0] for key in keys))
    more = f" and {len(modules) - MOST_NAMES} more" if len(modules) > MOST_NAMES else ""
    return f"{', '.join(modules[:MOST_NAMES])}{more} ({len(keys)} entries)"


def _coverage(found: State, wanted: State, aside: tuple[str, ...], path: Path) -> LoadReport:
    """Say what kind of checkpoint this is by the keys it has and lacks; `aside` was left out already."""
    missing = tuple(key for key in wanted if key not in found)
    unexpected = tuple(key for key in found if key not in wanted)
    # Batch norms older than torch 0.4.1 do not count their batches; only a momentum of None needs the count.
    lacking = [key for key in missing if not key.endswith(".num_batches_tracked")]
    if not lacking and not unexpected:
        return LoadReport("network", missing, aside)
    if not unexpected and all(key.startswith(SCALE_HEADS) for key in lacking):
        return LoadReport("network without scale heads", missing, aside)
    heads = {key for key in wanted if key.startswith(POSE_HEADS)}
    is_backbone = heads.issuperset(lacking) and heads.isdisjoint(found)
    if heads and is_backbone and all(key.startswith(OTHER_HEADS) for key in unexpected):
        return LoadReport("backbone", missing, (*unexpected, *aside))
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
    if value.is_floating_point() and not bool(torch.isfinite(value.to(wanted.dtype)).all()):  # as it will be
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
