"""Between plain tables, as TOML gives them, and frozen dataclasses: every key known, every value of its type."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from heatstream.errors import RecipeError

__all__ = ["flatten", "from_table", "nearest", "to_table"]

Settings = TypeVar("Settings")

MOST_NAMES = 8
"""How many names an error lists where none is close."""

WHOLE_LIMIT = 2**63
"""TOML's whole numbers have 64 bits; Python reads longer ones, which nothing else takes."""

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}


def from_table(kind: type[Settings], table: Mapping[str, Any]) -> Settings:
    """Make a dataclass of dataclasses from nested tables.

    Raises:
        RecipeError: a key is unknown or missing, or a value is of another type; the message starts with the key.
    """
    known = list(_keys(kind, ""))
    settings: Settings = _read(kind, table, "", known)
    return settings


def to_table(settings: Any) -> dict[str, Any]:
    """The nested tables that `from_table` makes the same dataclass from; what is None is left out."""
    return {
        field.name: _plain(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) is not None
    }


def flatten(table: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted key, such as ``("data.sets.0.weight", 1.0)``."""
    if isinstance(table, Mapping):
        parts: Iterable[tuple[Any, Any]] = table.items()
    elif isinstance(table, list) and table and isinstance(table[0], Mapping):
        parts = enumerate(table)
    else:
        yield key, table
        return
    for name, value in parts:
        yield from flatten(value, f"{key}.{name}" if key else str(name))


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the closest known name, or what there is; empty where nothing is known."""
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    rest = ", ..." if len(known) > MOST_NAMES else ""
    return f"there are {', '.join(known[:MOST_NAMES])}{rest}" if known else "there is none"


def _read(kind: Any, value: Any, key: str, known: list[str]) -> Any:
    """`value` as the type `kind`, which is one that settings use."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, key, known)
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _read(inner, value, key, known)
    if origin is Literal:
        if value not in arguments:
            raise RecipeError(f"{key} = {value!r} is not one of its values: {nearest(str(value), arguments)}")
        return value
    if origin is tuple:
        return _read_tuple(arguments, value, key, known)
    if type(value) is int and not -WHOLE_LIMIT <= value < WHOLE_LIMIT:
        raise RecipeError(f"{key} has {len(str(value))} digits, more than TOML's numbers: give {WORDS[kind]}")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise RecipeError(f"{key} = {value!r} is of the wrong type: give {WORDS[kind]}")
    return value


def _read_dataclass(kind: Any, value: Any, key: str, known: list[str]) -> Any:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{key} = {value!r} is of the wrong type: it is a section, [{key}]")
    prefix = f"{key}." if key else ""
    hints = get_type_hints(kind)
    for name in value:
        if name not in hints:
            # Indices of sets are left out of the known keys.
            general = ".".join(part for part in f"{prefix}{name}".split(".") if not part.isdigit())
            raise RecipeError(f"there is no key {prefix}{name}: {_nearest_key(general, known)}")
    for field in dataclasses.fields(kind):
        if field.name not in value and _is_required(field):
            raise RecipeError(f"{prefix}{field.name} is missing: add it to the recipe")
    return kind(**{name: _read(hints[name], part, f"{prefix}{name}", known) for name, part in value.items()})


def _read_tuple(arguments: tuple[Any, ...], value: Any, key: str, known: list[str]) -> tuple[Any, ...]:
    repeated = arguments[-1] is Ellipsis
    if not isinstance(value, (list, tuple)):
        what = "sections, [[" + key + "]]" if dataclasses.is_dataclass(arguments[0]) else "a list in brackets"
        raise RecipeError(f"{key} = {value!r} is of the wrong type: give {what}")
    if not repeated and len(value) != len(arguments):
        raise RecipeError(f"{key} = {list(value)!r} has {len(value)} values: give {len(arguments)}")
    kinds = (arguments[0],) * len(value) if repeated else arguments
    return tuple(
        _read(kind, part, f"{key}.{i}", known) for i, (kind, part) in enumerate(zip(kinds, value, strict=True))
    )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _nearest_key(key: str, known: list[str]) -> str:
    """The nearest in the same section, else the same name in another section, else the section's keys."""
    section, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == section}
    if close := difflib.get_close_matches(name.lower(), siblings, n=1) or _longer(name.lower(), siblings):
        return f"did you mean {siblings[close[0]]}?"
    elsewhere = {k.rpartition(".")[2]: k for k in known}
    if close := difflib.get_close_matches(name.lower(), elsewhere, n=1, cutoff=0.8):
        return f"did you mean {elsewhere[close[0]]}?"
    return nearest(key, siblings.values())


def _longer(name: str, known: Iterable[str]) -> list[str]:
    """The names that `name` is the beginning of."""
    return [each for each in known if each.startswith(name)]


def _keys(kind: Any, key: str) -> Iterator[str]:
    """The dotted keys of a dataclass, sections included."""
    for name, hint in get_type_hints(kind).items():
        full = f"{key}.{name}" if key else name
        yield full
        for part in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(part):
                yield from _keys(part, full)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_table(value)
    return [_plain(part) for part in value] if isinstance(value, tuple) else value
