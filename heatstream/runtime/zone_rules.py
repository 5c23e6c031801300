"""What can be watched: zones, lines and postures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from heatstream.errors import InputError

__all__ = ["DEFAULT_SECONDS", "Line", "PostureRule", "Rule", "Zone"]

DEFAULT_SECONDS = 0.5  # of a posture before it counts


@dataclass(frozen=True)
class Zone:
    """An area.

    Attributes:
        name: its own.
        polygon: three or more corners, (x, y) px.
        joints: names of the joints whose mean is watched; all when empty.
        dwell: seconds inside after which there is an event, once a visit; None for none.
    """

    name: str
    polygon: tuple[tuple[float, float], ...]
    joints: tuple[str, ...] = ()
    dwell: float | None = None

    def __post_init__(self) -> None:
        if len(self.polygon) < 3:
            raise InputError(f"zone {self.name!r} needs a polygon of at least 3 corners, got {len(self.polygon)}")


@dataclass(frozen=True)
class Line:
    """A border to cross, from one point to another.

    Attributes:
        name: its own.
        start: (x, y) px.
        end: (x, y) px.
        joints: as of :class:`Zone`.
    """

    name: str
    start: tuple[float, float]
    end: tuple[float, float]
    joints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise InputError(f"line {self.name!r} begins where it ends: give it two different points")


@dataclass(frozen=True)
class PostureRule:
    """A posture to tell.

    Attributes:
        posture: ``"lying"``, the trunk being nearer to level than to upright, or ``"hands up"``, both wrists above the
            head.
        seconds: for how long, before it counts and before its end does.
    """

    posture: Literal["lying", "hands up"]
    seconds: float = DEFAULT_SECONDS


Rule: TypeAlias = Zone | Line | PostureRule
"""Something to watch."""
