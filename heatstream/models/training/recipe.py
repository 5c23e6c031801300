"""A recipe: everything a training depends on, read from TOML and checked before anything is loaded.

::

    [model]      which network, for which skeleton, starting from which weights
    [data]       the sets it learns from, and the one it is measured on
    [augment]    how windows are drawn from the photos
    [loss]       what is minimised
    [train]      how long, how fast, in which precision, where results go
    [skeleton]   a keypoint layout of one's own; without it labels describe theirs

:mod:`heatstream.models.settings` says what may stand in each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from heatstream import catalog, skeletons
from heatstream.errors import DatasetError, InputError, RecipeError
from heatstream.extras import require
from heatstream.models.data.root import find_root
from heatstream.models.pose.coco import skeleton_of
from heatstream.models.settings import AnyRecipe, LandmarkRecipe, Recipe, SkeletonSettings
from heatstream.models.training.recipe_errors import faults, nearest
from heatstream.skeleton_tables import skeleton_from_table, skeleton_to_table

__all__ = ["differences", "parse_recipe", "read_recipe", "recipe_schema", "write_recipe"]

BEYOND_LIMITS = "it has a number of thousands of digits, or lists hundreds deep: write what a setting takes"

FREE_KEYS = (
    *("data.root", "data.workers", "data.cache_gb"),
    *("train.out", "train.device", "train.threads"),
    *("train.checkpoint_seconds", "train.validate_every", "train.log_every"),
)
"""What may change between two parts of one run: none of it decides what the network learns."""


def read_recipe(path: Path, changes: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe's file. Where it names no skeleton, its labels are read for theirs.

    Args:
        path: the TOML file.
        changes: "section.key=value" lines that replace values of the file; see :func:`parse_recipe`.

    Raises:
        RecipeError: the file cannot be read, or what it says cannot be done; one line per fault, each with its key.
        DatasetError: the labels are damaged, or their keypoints cannot be a skeleton.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"recipe {path} cannot be read: {(error.strerror or 'no such file').lower()}") from error
    except UnicodeDecodeError:
        raise RecipeError(f"recipe {path} is no text: give a TOML file") from None
    try:
        recipe = _usual_skeleton(_of_labels(_parse(text, changes)))
    except RecipeError as error:
        raise RecipeError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None
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
        RecipeError: it is no TOML, or keys are unknown or missing, or values of the wrong type or impossible; one line
            for each.
    """
    return _usual_skeleton(_parse(text, changes))


def _parse(text: str, changes: Sequence[str]) -> AnyRecipe:
    """The recipe, whose skeleton is empty where neither it nor the section `skeleton` says which it is."""
    toml = _toml_reader()
    try:
        table = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is no TOML: {error}") from None
    except (ValueError, RecursionError):  # Python's limits, which the readers of TOML let through
        raise RecipeError(f"the recipe is no TOML: {BEYOND_LIMITS}") from None
    for change in changes:
        _apply(table, change)
    _register(table.get("skeleton"))
    entry = catalog.networks().get(_network_name(table))
    kind = LandmarkRecipe if entry is not None and entry.task == "landmarks" else Recipe
    try:
        text = json.dumps(table, default=str)
    except (ValueError, RecursionError):  # a long number that was written in hexadecimal
        raise RecipeError(f"the recipe cannot be used: {BEYOND_LIMITS}") from None
    try:
        # As JSON: sections and lists become settings and tuples, and nothing else is converted.
        recipe: AnyRecipe = TypeAdapter[Any](kind).validate_json(text)
    except ValidationError as error:
        raise RecipeError("\n".join(faults(error, kind))) from None
    if recipe.skeleton is None:
        return recipe
    if recipe.model.skeleton not in ("", recipe.skeleton.name):
        raise RecipeError(
            f"model.skeleton is {recipe.model.skeleton} and the section [skeleton] describes {recipe.skeleton.name}: "
            "leave one of them out"
        )
    return replace(recipe, model=replace(recipe.model, skeleton=recipe.skeleton.name))


def _register(table: object) -> None:
    """Make the layout of the section `skeleton` known, before its name is looked up."""
    if not isinstance(table, Mapping):
        return
    try:
        layout = skeleton_from_table(table)
    except InputError:
        return  # reading the section tells, with its key
    try:
        skeletons.register(layout)
    except InputError as error:
        raise RecipeError(f"skeleton.name: {error}") from None


def _of_labels(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with the skeleton that the first set's COCO keypoint JSON describes, where it says none itself."""
    first = recipe.data.sets[0]
    if recipe.model.skeleton or getattr(first, "format", "coco") != "coco":
        return recipe
    try:
        labels = find_root(recipe.data.root) / first.annotations
    except DatasetError:
        return recipe  # checking the files tells
    if not labels.is_file():
        return recipe
    layout = skeletons.register(skeleton_of(labels))
    own = None
    if layout.name not in skeletons.SKELETONS:
        own = TypeAdapter(SkeletonSettings).validate_json(json.dumps(skeleton_to_table(layout)))
    return replace(recipe, skeleton=own, model=replace(recipe.model, skeleton=layout.name))


def _usual_skeleton(recipe: AnyRecipe) -> AnyRecipe:
    """The recipe with the network's usual skeleton, where it still has none."""
    if recipe.model.skeleton:
        return recipe
    return replace(recipe, model=replace(recipe.model, skeleton=catalog.get(recipe.model.name).skeleton))


def write_recipe(recipe: AnyRecipe) -> str:
    """The recipe as TOML, every value written out; :func:`parse_recipe` makes the same recipe of it.

    Raises:
        MissingExtraError: ``tomli_w`` is not installed.
    """
    text: str = require("tomli_w", extra="train", purpose="writing recipes").dumps(_table(recipe))
    return text


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of recipes, by which editors complete and check them."""
    return TypeAdapter(AnyRecipe).json_schema()


def differences(one: AnyRecipe, other: AnyRecipe) -> list[str]:
    """The keys, with both values, in which two recipes differ so that they are two trainings."""
    ours, theirs = dict(_flatten(_table(one))), dict(_flatten(_table(other)))
    keys = [key for key in {**ours, **theirs} if key not in FREE_KEYS and ours.get(key) != theirs.get(key)]
    return [f"{key} ({ours.get(key)!r}, there {theirs.get(key)!r})" for key in keys]


def _table(recipe: AnyRecipe) -> dict[str, Any]:
    """Nested tables of plain values, as TOML has them; what is None is left out."""
    table: dict[str, Any] = TypeAdapter(type(recipe)).dump_python(recipe, mode="json", exclude_none=True)
    return table


def _flatten(table: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted key, such as ``("data.sets.0.weight", 1.0)``."""
    if isinstance(table, Mapping):
        parts: Iterable[tuple[Any, Any]] = table.items()
    elif isinstance(table, list) and table and isinstance(table[0], Mapping):
        parts = enumerate(table)
    else:
        yield key, table
        return
    for name, value in parts:
        yield from _flatten(value, f"{key}.{name}" if key else str(name))


def _toml_reader() -> ModuleType:
    """The module with ``loads`` and ``TOMLDecodeError``; the standard library's from Python 3.11 on."""
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    module: ModuleType = require(name, extra="train", purpose="reading recipes")
    return module


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
    if name.isdecimal() and int(name) < len(values):
        return int(name)
    raise RecipeError(f"there is no {key}.{name}: {nearest(name, [f'{key}.{i}' for i in range(len(values))])}")


def _toml_value(text: str) -> Any:
    toml = _toml_reader()
    try:
        return toml.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or beyond Python's limits
        return text.strip()


if __name__ == "__main__":
    print(json.dumps(recipe_schema(), indent=1))
