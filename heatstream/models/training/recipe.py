"""A recipe: everything a training depends on, read from TOML and checked before anything is loaded.

::

    [model]      which network, for which skeleton, starting from which weights
    [data]       the sets it learns from, and the one it is measured on
    [augment]    how windows are drawn from the photos
    [loss]       what is minimised
    [train]      how long, how fast, in which precision, where results go

The network's task decides what may stand in the three in the middle: :class:`Recipe` for poses,
:class:`LandmarkRecipe` for landmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from heatstream.errors import RecipeError
from heatstream.models.landmarks.criterion import LandmarkLossSettings
from heatstream.models.landmarks.settings import LandmarkAugmentSettings, LandmarkDataSettings
from heatstream.models.networks.registry import NETWORKS
from heatstream.models.pose.augment import AugmentSettings
from heatstream.models.pose.criterion import LossSettings
from heatstream.models.pose.dataset import DataSettings
from heatstream.models.training.recipe_checks import check_values
from heatstream.models.training.toml_dataclass import flatten, from_table, nearest, to_table
from heatstream.models.training.toml_file import reader, write_toml

__all__ = [
    "AnyRecipe",
    "LandmarkRecipe",
    "ModelSettings",
    "Recipe",
    "TrainSettings",
    "differences",
    "parse_recipe",
    "read_recipe",
    "write_recipe",
]

FREE_KEYS = (
    *("data.root", "data.workers", "data.cache_gb"),
    *("train.out", "train.device", "train.threads"),
    *("train.checkpoint_seconds", "train.validate_every", "train.log_every"),
)
"""What may change between two parts of one run: none of it decides what the network learns."""


@dataclass(frozen=True)
class ModelSettings:
    """Which network.

    Attributes:
        name: one of :data:`heatstream.models.NETWORKS`.
        skeleton: name of the keypoint layout that it learns; empty for the network's usual one.
        init: a checkpoint to start from (ours, official SWAHR or HigherHRNet, an HRNet backbone), relative to the
            current folder, or "swahr-mobile" for the weights that come with the package; empty for random weights.
        fresh_heads: leave the heads of `init` out, as for another skeleton.
    """

    name: str
    skeleton: str = ""
    init: str = ""
    fresh_heads: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """How the network learns.

    Attributes:
        steps: optimiser steps of the whole training.
        batch: images per step, over all processes.
        rate: highest learning rate.
        optimiser: "adam", or "adamw", which spares biases and norms the weight decay.
        weight_decay: per step and rate.
        schedule: what the rate does after the warm-up: "cosine" to a hundredth, "linear" to zero, "step" to a tenth
            at every milestone, or "constant".
        milestones: of the step schedule, as shares of `steps`.
        warmup_steps: during which the rate rises linearly.
        clip: highest norm of the gradient; 0 for any.
        ema: how much of their old value the averaged weights keep per step; 0 averages nothing.
        precision: what the network computes in; weights and losses are always float32.
        sync_norms: whether batch norms see the whole batch when several processes share it. False is a third quicker
            between CPUs; then every process normalises its own share.
        seed: of initial weights, order and augmentation.
        out: folder of the run.
        checkpoint_seconds: how often everything is saved.
        validate_every: steps between validations; 0 validates after the last step alone.
        log_every: steps between two lines of numbers.
        device: "auto", "cpu", "cuda" or "cuda:1".
        threads: CPU threads of the network; 0 for torch's choice.
    """

    steps: int
    batch: int
    rate: float
    optimiser: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = 0.0
    schedule: Literal["cosine", "linear", "step", "constant"] = "cosine"
    milestones: tuple[float, ...] = ()
    warmup_steps: int = 0
    clip: float = 0.0
    ema: float = 0.0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sync_norms: bool = True
    seed: int = 0
    out: str = ""
    checkpoint_seconds: float = 30.0
    validate_every: int = 0
    log_every: int = 50
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class Recipe:
    """A whole training of poses; see the settings of each part."""

    model: ModelSettings
    data: DataSettings
    train: TrainSettings
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)


@dataclass(frozen=True)
class LandmarkRecipe:
    """A whole training of landmarks in boxes; see the settings of each part."""

    model: ModelSettings
    data: LandmarkDataSettings
    train: TrainSettings
    augment: LandmarkAugmentSettings = field(default_factory=LandmarkAugmentSettings)
    loss: LandmarkLossSettings = field(default_factory=LandmarkLossSettings)


AnyRecipe = Recipe | LandmarkRecipe


def read_recipe(path: Path, changes: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe's file.

    Args:
        path: the TOML file.
        changes: "section.key=value" lines that replace values of the file; see :func:`parse_recipe`.

    Raises:
        RecipeError: the file cannot be read, or what it says cannot be done; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {(error.strerror or 'no such file').lower()}") from error
    except UnicodeDecodeError:
        raise RecipeError(f"recipe {path} is no text: give a TOML file") from None
    try:
        recipe = parse_recipe(text, changes)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    if recipe.train.out:
        return recipe
    return replace(recipe, train=replace(recipe.train, out=str(Path("runs") / path.stem)))


def parse_recipe(text: str, changes: Sequence[str] = ()) -> AnyRecipe:
    """Make a recipe of TOML text.

    Args:
        text: the TOML.
        changes: lines such as ``train.rate=1e-3`` or ``data.sets.0.weight=2``. Values are TOML; what is not, is a
            text, so that ``model.name=swahr-w32`` needs no quotes.

    Raises:
        RecipeError: it is no TOML, a key is unknown or missing, or a value is of the wrong type or impossible.
    """
    toml = reader()
    try:
        table = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is no TOML: {error}") from None
    for change in changes:
        _apply(table, change)
    network = NETWORKS.get(_network_name(table))
    landmarks = network is not None and network.task == "landmarks"
    recipe: AnyRecipe = from_table(LandmarkRecipe, table) if landmarks else from_table(Recipe, table)
    if network is not None and not recipe.model.skeleton:
        recipe = replace(recipe, model=replace(recipe.model, skeleton=network.skeleton))
    check_values(recipe)
    return recipe


def write_recipe(recipe: AnyRecipe) -> str:
    """The recipe as TOML, every value written out; :func:`parse_recipe` makes the same recipe of it."""
    return write_toml(to_table(recipe))


def differences(one: AnyRecipe, other: AnyRecipe) -> list[str]:
    """The keys, with both values, in which two recipes differ so that they are two trainings."""
    ours, theirs = dict(flatten(to_table(one))), dict(flatten(to_table(other)))
    keys = [key for key in {**ours, **theirs} if key not in FREE_KEYS and ours.get(key) != theirs.get(key)]
    return [f"{key} ({ours.get(key)!r}, there {theirs.get(key)!r})" for key in keys]


def _network_name(table: Mapping[str, Any]) -> str:
    """The network that the tables name; empty where they name none, which reading them will tell."""
    model = table.get("model")
    name = model.get("name") if isinstance(model, Mapping) else None
    return name if isinstance(name, str) else ""


def _apply(table: dict[str, Any], change: str) -> None:
    """Put one ``section.key=value`` into the tables, in place."""
    key, found, text = change.partition("=")
    names = key.strip().split(".")
    if not found or not all(names):
        raise RecipeError(f"--set {change} is not understood: write it as section.key=value, such as train.steps=1000")
    place: Any = table
    for depth, name in enumerate(names[:-1]):
        place = _inside(place, name, ".".join(names[:depth]))
    last, section = names[-1], ".".join(names[:-1])
    if isinstance(place, list):
        place[_index(last, place, section)] = _toml_value(text)
    elif isinstance(place, Mapping):
        table_here: dict[str, Any] = place  # type: ignore[assignment]
        table_here[last] = _toml_value(text)
    else:
        raise RecipeError(f"there is no key {key}: {section} is a value, set it whole")


def _inside(place: Any, name: str, key: str) -> Any:
    """The table or list called `name` in `place`, made if it is not there."""
    if isinstance(place, list):
        return place[_index(name, place, key)]
    if isinstance(place, dict):
        return place.setdefault(name, {})
    raise RecipeError(f"there is no key {key}.{name}: {key} is a value, set it whole")


def _index(name: str, values: list[Any], key: str) -> int:
    if name.isdigit() and int(name) < len(values):
        return int(name)
    raise RecipeError(f"there is no {key}.{name}: {nearest(name, [f'{key}.{i}' for i in range(len(values))])}")


def _toml_value(text: str) -> Any:
    toml = reader()
    try:
        return toml.loads(f"value = {text}")["value"]
    except toml.TOMLDecodeError:
        return text.strip()
