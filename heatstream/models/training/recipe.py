"""A recipe: everything a training depends on, read from TOML and checked before anything is loaded.

::

    [model]      which network, for which skeleton, starting from which weights
    [data]       the sets it learns from, and the one it is measured on
    [augment]    how windows are drawn from the photos
    [loss]       what is minimised
    [train]      how long, how fast, in which precision, where results go

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

from heatstream.catalog import CATALOG
from heatstream.errors import RecipeError
from heatstream.extras import require
from heatstream.models.settings import AnyRecipe, LandmarkRecipe, Recipe
from heatstream.models.training.recipe_errors import faults, nearest

__all__ = ["differences", "parse_recipe", "read_recipe", "recipe_schema", "write_recipe"]

BEYOND_LIMITS = "it has a number of thousands of digits, or lists hundreds deep: write what a setting takes"

FREE_KEYS = (
    *("data.root", "data.workers", "data.cache_gb"),
    *("train.out", "train.device", "train.threads"),
    *("train.checkpoint_seconds", "train.validate_every", "train.log_every"),
)
"""What may change between two parts of one run: none of it decides what the network learns."""


def read_recipe(path: Path, changes: Sequence[str] = ()) -> AnyRecipe:
    """Read a recipe's file.

    Args:
        path: the TOML file.
        changes: "section.key=value" lines that replace values of the file; see :func:`parse_recipe`.

    Raises:
        RecipeError: the file cannot be read, or what it says cannot be done; one line per fault, each with its key.
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
    toml = _toml_reader()
    try:
        table = toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is no TOML: {error}") from None
    except (ValueError, RecursionError):  # Python's limits, which the readers of TOML let through
        raise RecipeError(f"the recipe is no TOML: {BEYOND_LIMITS}") from None
    for change in changes:
        _apply(table, change)
    entry = CATALOG.get(_network_name(table))
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
    if entry is not None and not recipe.model.skeleton:
        recipe = replace(recipe, model=replace(recipe.model, skeleton=entry.skeleton))
    return recipe


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
    if name.isdigit() and int(name) < len(values):
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
