"""heatstream: camera frames to people, in real time.

::

    import heatstream

    for result in heatstream.stream("clip.mp4", "swahr-small"):
        print(result.to_json())

:func:`load` makes a pipeline that finds people, and their faces if it is told to; ``pipeline(frame)`` and every item of
:func:`stream` are a :class:`Result`. Importing this package loads no heavy library; each name below does so when it is
first used. What happens is logged under ``heatstream``, which is quiet until a program sets up ``logging``.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from heatstream.errors import HeatstreamError
from heatstream.version import __version__

if TYPE_CHECKING:
    from heatstream.drawing.result import draw
    from heatstream.kernels.settings import DecodeSettings
    from heatstream.model_info import ModelInfo
    from heatstream.results import Event, Face, Faces, Gap, Peaks, Pose, Poses, Result, StageTimes
    from heatstream.runtime.engines.base import Engine
    from heatstream.runtime.health import Health, SourceHealth
    from heatstream.runtime.load import load, load_landmarks
    from heatstream.runtime.pipelines.base import PosePipeline
    from heatstream.runtime.pipelines.landmarks import LandmarkPipeline
    from heatstream.runtime.smoothing import Smoother
    from heatstream.runtime.sources.base import Frame, Source
    from heatstream.runtime.sources.live import LiveHealth
    from heatstream.runtime.stream import Stream, stream
    from heatstream.runtime.timing import StageStats, StreamSummary
    from heatstream.runtime.tracking import Tracker
    from heatstream.runtime.zone_rules import Line, PostureRule, Zone
    from heatstream.runtime.zones import Zones

__all__ = [
    "DecodeSettings",
    "Engine",
    "Event",
    "Face",
    "Faces",
    "Frame",
    "Gap",
    "Health",
    "HeatstreamError",
    "LandmarkPipeline",
    "Line",
    "LiveHealth",
    "ModelInfo",
    "Peaks",
    "Pose",
    "PosePipeline",
    "Poses",
    "PostureRule",
    "Result",
    "Smoother",
    "Source",
    "SourceHealth",
    "StageStats",
    "StageTimes",
    "Stream",
    "StreamSummary",
    "Tracker",
    "Zone",
    "Zones",
    "__version__",
    "draw",
    "load",
    "load_landmarks",
    "stream",
]

_HOMES = {
    "DecodeSettings": "heatstream.kernels.settings",
    "Engine": "heatstream.runtime.engines.base",
    "Event": "heatstream.results",
    "Face": "heatstream.results",
    "Faces": "heatstream.results",
    "Frame": "heatstream.runtime.sources.base",
    "Gap": "heatstream.results",
    "Health": "heatstream.runtime.health",
    "LandmarkPipeline": "heatstream.runtime.pipelines.landmarks",
    "LiveHealth": "heatstream.runtime.sources.live",
    "Line": "heatstream.runtime.zone_rules",
    "ModelInfo": "heatstream.model_info",
    "Peaks": "heatstream.results",
    "Pose": "heatstream.results",
    "PosePipeline": "heatstream.runtime.pipelines.base",
    "Poses": "heatstream.results",
    "PostureRule": "heatstream.runtime.zone_rules",
    "Result": "heatstream.results",
    "Smoother": "heatstream.runtime.smoothing",
    "Source": "heatstream.runtime.sources.base",
    "SourceHealth": "heatstream.runtime.health",
    "StageStats": "heatstream.runtime.timing",
    "StageTimes": "heatstream.results",
    "Stream": "heatstream.runtime.stream",
    "StreamSummary": "heatstream.runtime.timing",
    "Tracker": "heatstream.runtime.tracking",
    "Zone": "heatstream.runtime.zone_rules",
    "Zones": "heatstream.runtime.zones",
    "draw": "heatstream.drawing.result",
    "load": "heatstream.runtime.load",
    "load_landmarks": "heatstream.runtime.load",
    "stream": "heatstream.runtime.stream",
}

if sys.platform == "win32":
    # Else a camera takes many seconds to open there. OpenCV looks when it is loaded, so this has to be said here.
    os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

# Quiet unless the program sets up logging: what is logged under "heatstream" goes nowhere by itself.
logging.getLogger("heatstream").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look-up finds it at once
    return value


def __dir__() -> list[str]:
    return __all__
