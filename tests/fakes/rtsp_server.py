"""GStreamer's RTSP server with one stream, ``/live``: ``/usr/bin/python3 rtsp_server.py PORT HEIGHT WIDTH FPS [GOP]``.

It runs in the system's own Python, which has GStreamer's bindings and little else; so the pictures of
``tests.fakes.clock_code`` are put together from bytes here.
"""

import sys
import time
import zlib

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

port, height, width, fps = map(int, sys.argv[1:5])
gop = int(sys.argv[5]) if len(sys.argv) > 5 else fps
Gst.init(None)
chroma = bytes([128]) * (width * height // 2)
latest = 0


def picture():
    """I420: the fields as luma, no colour."""
    global latest
    latest = max(int(time.monotonic() * 1000), latest + 1)  # a timer that is late makes two in one millisecond
    moment = latest & 0xFFFFFF
    bits = moment << 8 | (zlib.crc32(moment.to_bytes(3, "big")) & 0xFF)
    rows = []
    for row in range(4):
        fields = (bits >> (31 - row * 8 - column) & 1 for column in range(8))
        rows.append(b"".join(bytes([235 if field else 16]) * (width // 8) for field in fields) * (height // 4))
    return b"".join(rows) + chroma


def configure(factory, media):
    """Feed a stream that somebody has asked for."""
    source = media.get_element().get_child_by_name("src")
    GLib.timeout_add(
        1000 // fps, lambda: source.emit("push-buffer", Gst.Buffer.new_wrapped(picture())) == Gst.FlowReturn.OK
    )


factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( appsrc name=src is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
    f"x264enc tune=zerolatency speed-preset=ultrafast bitrate=1000 key-int-max={gop} ! rtph264pay name=pay0 pt=96 )"
)
factory.set_shared(True)
factory.connect("media-configure", configure)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(str(port))
server.get_mount_points().add_factory("/live", factory)
if not server.attach(None):
    sys.exit(f"nothing listens on port {port}")
print("ready", flush=True)
GLib.MainLoop().run()
