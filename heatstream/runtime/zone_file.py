"""Reads the TOML file of zones, lines and postures, and says everything that is wrong with it at once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heatstream.errors import InputError
from heatstream.runtime.zone_rules import DEFAULT_SECONDS, Line, PostureRule, Rule, Zone

__all__ = ["read_zones"]

BEYOND_LIMITS = "has a number of thousands of digits, or lists hundreds deep: shorten it"

Point = tuple[float, float]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Zone(_Section):
    name: str
    polygon: tuple[Point, ...] = Field(min_length=3)
    joints: tuple[str, ...] = ()
    dwell: float | None = Field(default=None, gt=0)


class _Line(_Section):
    name: str
    start: Point = Field(alias="from")
    end: Point = Field(alias="to")
    joints: tuple[str, ...] = ()


class _Posture(_Section):
    posture: Literal["lying", "hands up"]
    seconds: float = Field(default=DEFAULT_SECONDS, ge=0)


class _File(_Section):
    frame: tuple[float, float] | None = None
    zone: tuple[_Zone, ...] = ()
    line: tuple[_Line, ...] = ()
    posture: tuple[_Posture, ...] = ()


def read_zones(path: Path) -> tuple[tuple[Rule, ...], tuple[float, float] | None]:
    """What to watch, and the (width, height) px of the picture in which its points are, None where it says none.

    Raises:
        InputError: the file cannot be read, is not TOML, or says something that cannot be watched.
    """
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table = toml.loads(path.read_text(encoding="utf-8"))
        repr(table)  # of a long number that was written in hexadecimal, no message could be made
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give the TOML file of zones and lines") from None
    except (toml.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    except (ValueError, RecursionError):  # Python's limits, which the readers of TOML let through
        raise InputError(f"{path} {BEYOND_LIMITS}") from None
    try:
        file = _File.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{path} cannot be used: {'; '.join(map(_fault, error.errors(include_url=False)))}") from None
    rules: tuple[Rule, ...] = (
        *(Zone(zone.name, zone.polygon, zone.joints, zone.dwell) for zone in file.zone),
        *(Line(line.name, line.start, line.end, line.joints) for line in file.line),
        *(PostureRule(posture.posture, posture.seconds) for posture in file.posture),
    )
    return rules, file.frame


def _fault(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{key} is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}"
    return f"{key} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
