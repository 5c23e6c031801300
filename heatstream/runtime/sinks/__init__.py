"""Where results go: video files, pictures, JSON Lines, COCO json, a window."""

from heatstream.runtime.sinks.base import Draw, Sink
from heatstream.runtime.sinks.json_files import CocoSink, JsonLinesSink
from heatstream.runtime.sinks.pictures import PictureSink, VideoSink, save_sink
from heatstream.runtime.sinks.recorder import Recorder
from heatstream.runtime.sinks.window import WindowSink, display_trouble

__all__ = [
    "CocoSink",
    "Draw",
    "JsonLinesSink",
    "PictureSink",
    "Recorder",
    "Sink",
    "VideoSink",
    "WindowSink",
    "display_trouble",
    "save_sink",
]
