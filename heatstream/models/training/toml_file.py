"""TOML in and out: the standard library reads it from Python 3.11 on, and nothing in it writes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heatstream.extras import require

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["reader", "write_toml"]


def reader() -> ModuleType:
    """The module with ``loads`` and ``TOMLDecodeError``.

    Raises:
        MissingExtraError: Python is older than 3.11 and ``tomli`` is not installed.
    """
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    module: ModuleType = require(name, extra="train", purpose="reading recipes")
    return module


def write_toml(table: Mapping[str, Any]) -> str:
    """The text of a table of strings, numbers, booleans, lists of these, tables, and lists of tables."""
    return "\n".join(_lines(table, "")).strip() + "\n"


def _lines(table: Mapping[str, Any], name: str) -> list[str]:
    plain = {key: value for key, value in table.items() if not _is_table(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if key in plain:
            continue
        full = f"{name}.{key}" if name else key
        parts = [(f"[[{full}]]", part) for part in value] if isinstance(value, list) else [(f"[{full}]", value)]
        for heading, part in parts:
            lines += ["", heading, *_lines(part, full)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
