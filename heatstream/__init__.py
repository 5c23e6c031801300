"""heatstream: camera frames to people, in real time.

::

    import heatstream

    pipeline = heatstream.load("swahr-mobile")
    for result in heatstream.stream("clip.mp4", pipeline):
        print(result.poses.to_json())

Importing this package loads no heavy library; each name below does so when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from heatstream.errors import HeatstreamError
from heatstream.version import __version__

if TYPE_CHECKING:
    from heatstream.results import Faces, Poses
    from heatstream.runtime.load import load
    from heatstream.runtime.stream import stream

__all__ = ["Faces", "HeatstreamError", "Poses", "__version__", "load", "stream"]

_HOMES = {
    "Faces": "heatstream.results",
    "Poses": "heatstream.results",
    "load": "heatstream.runtime.load",
    "stream": "heatstream.runtime.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up finds it at once
    return value


def __dir__() -> list[str]:
    return __all__
