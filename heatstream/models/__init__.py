"""PyTorch networks, their training targets and losses; needs the `train` extra.

:func:`create` makes a network by name, :func:`load_checkpoint` fills it. Importing the package loads nothing
heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatstream.models.checkpoints import LoadReport, load_checkpoint
from heatstream.models.networks.registry import create

if TYPE_CHECKING:
    from heatstream.models.networks.output import SwahrOutput

__all__ = ["LoadReport", "SwahrOutput", "create", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    if name == "SwahrOutput":  # on first use, because it brings torch along
        from heatstream.models.networks.output import SwahrOutput

        return SwahrOutput
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
