"""What is wrong with a recipe, in plain sentences: every fault at once, each with the key it is about."""

from __future__ import annotations

import dataclasses
import difflib
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["faults", "nearest"]

MOST_NAMES = 8
"""How many names a fault lists where none is close."""

WRONG_TYPE = {
    "bool_type": "true or false",
    "dataclass_type": "a section, [{key}]",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "a text in quotes",
}

IMPOSSIBLE = {
    "finite_number": "a finite number",
    "greater_than": "a number above {gt:.19g}",
    "greater_than_equal": "{ge:.19g} or more",
    "less_than": "a number below {lt:.19g}",
    "less_than_equal": "{le:.19g} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "value_error": "{error}",
}
"""Pydantic's kinds of errors, and what to give instead."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 100
_repr.maxlong = 30


def faults(error: ValidationError, kind: type) -> list[str]:
    """One sentence per fault of a recipe.

    Args:
        error: what reading it as ``kind`` gave.
        kind: the recipe's class.
    """
    known = list(_keys(kind, ""))
    return [_sentence(each, known) for each in error.errors(include_url=False)]


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the closest known name, or what there is; empty where nothing is known."""
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    rest = ", ..." if len(known) > MOST_NAMES else ""
    return f"there are {', '.join(known[:MOST_NAMES])}{rest}" if known else "there is none"


def _sentence(error: ErrorDetails, known: list[str]) -> str:
    key, kind, given = ".".join(map(str, error["loc"])), error["type"], error["input"]
    context: Mapping[str, Any] = error.get("ctx", {})
    value = f"{key} = {_repr.repr(given)}"
    if kind == "unexpected_keyword_argument":
        # Indices of sets are left out of the known keys.
        general = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
        return f"there is no key {key}: {_nearest_key(general, known)}"
    if kind == "missing" and isinstance(given, Mapping):
        return f"{key} is missing: add it to the recipe"
    if kind == "missing":  # a value of a list of fixed length
        return f"{key} is missing: the list has {len(given)} values, give one more"
    if kind == "too_long":
        return f"{value} has {context['actual_length']} values: give {context['max_length']}"
    if kind == "tuple_type":
        sections = any(other.startswith(f"{key}.") for other in known)
        return f"{value} is of the wrong type: give {f'sections, [[{key}]]' if sections else 'a list in brackets'}"
    if kind == "literal_error":
        values = re.findall("'([^']*)'", context["expected"])
        return f"{value} is not one of its values: {nearest(str(given), values)}"
    if kind == "unknown_name":
        return f"{key}: {error['msg']}"
    if kind in WRONG_TYPE:
        return f"{value} is of the wrong type: give {WRONG_TYPE[kind].format(key=key)}"
    if isinstance(given, Mapping):  # a fault of a section as a whole
        return f"{key}: {context['error']}"
    return f"{value} is impossible: give {IMPOSSIBLE[kind].format(**context)}"


def _nearest_key(key: str, known: list[str]) -> str:
    """The nearest in the same section, else the same name in another section, else the section's keys."""
    section, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == section}
    longer = [sibling for sibling in siblings if sibling.startswith(name.lower())]
    if close := difflib.get_close_matches(name.lower(), siblings, n=1) or longer:
        return f"did you mean {siblings[close[0]]}?"
    elsewhere = {k.rpartition(".")[2]: k for k in known}
    if close := difflib.get_close_matches(name.lower(), elsewhere, n=1, cutoff=0.8):
        return f"did you mean {elsewhere[close[0]]}?"
    return nearest(key, siblings.values())


def _keys(kind: Any, key: str) -> Iterator[str]:
    """The dotted keys of a dataclass, sections included."""
    for name, hint in get_type_hints(kind).items():
        full = f"{key}.{name}" if key else name
        yield full
        for part in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(part):
                yield from _keys(part, full)
