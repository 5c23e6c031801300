"""Where results go: video files, pictures, JSON Lines, COCO json, a window."""

from heatstream.runtime.sinks.base import Draw, Sink
from heatstream.runtime.sinks.by_source import OfSource, numbered
from heatstream.runtime.sinks.clips import ClipRecorder
from heatstream.runtime.sinks.coco import CocoSink
from heatstream.runtime.sinks.events import EventsSink
from heatstream.runtime.sinks.json_lines import JsonLinesSink
from heatstream.runtime.sinks.output_file import same_place, writes_to_stdout
from heatstream.runtime.sinks.picture import PictureSink
from heatstream.runtime.sinks.picture_folder import PictureFolder
from heatstream.runtime.sinks.recorder import Recorder
from heatstream.runtime.sinks.save import names_folder, save_sink
from heatstream.runtime.sinks.video import VideoSink
from heatstream.runtime.sinks.window import KEYS_TEXT, WindowSink, display_trouble

__all__ = [
    "KEYS_TEXT",
    "ClipRecorder",
    "CocoSink",
    "Draw",
    "EventsSink",
    "JsonLinesSink",
    "OfSource",
    "PictureFolder",
    "PictureSink",
    "Recorder",
    "Sink",
    "VideoSink",
    "WindowSink",
    "display_trouble",
    "names_folder",
    "numbered",
    "same_place",
    "save_sink",
    "writes_to_stdout",
]
