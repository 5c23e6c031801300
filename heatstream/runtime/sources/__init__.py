"""Where frames come from: cameras, video files, pictures, folders of pictures, network streams, screens, GStreamer.

:func:`open_source` takes what a person would type and gives a :class:`Source`; every trouble that can be known
beforehand is a :class:`heatstream.errors.SourceError` within :data:`OPEN_SECONDS`.
"""

from heatstream.runtime.sources.base import OPEN_SECONDS, Frame, Source
from heatstream.runtime.sources.cameras import CameraSettings
from heatstream.runtime.sources.live import Live, LiveHealth, Patience
from heatstream.runtime.sources.network import NetworkSettings
from heatstream.runtime.sources.open import open_source, open_sources

__all__ = [
    "OPEN_SECONDS",
    "CameraSettings",
    "Frame",
    "Live",
    "LiveHealth",
    "NetworkSettings",
    "Patience",
    "Source",
    "open_source",
    "open_sources",
]
