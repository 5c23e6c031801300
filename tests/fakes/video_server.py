"""A camera on the network that can be killed: ``python -m tests.fakes.video_server KIND --port 8554 ...``.

``mjpeg`` and ``mpegts`` are HTTP servers of one stream, ``garbage`` answers as a video would and sends noise, ``rtsp``
is GStreamer's RTSP server, by Debian's gir1.2-gst-rtsp-server-1.0 and python3-gi in the system's own Python. Frames are
those of ``tests.fakes.clock_code``.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2

from tests.fakes.clock_code import code_picture
from tests.fakes.patience import HANG_SECONDS

RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"


def has_rtsp_server() -> bool:
    """Whether the system's Python has GStreamer's RTSP server."""
    test = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        return subprocess.run([SYSTEM_PYTHON, "-c", test], capture_output=True, timeout=HANG_SECONDS).returncode == 0
    except OSError:
        return False


def serve_mjpeg(connection: socket.socket, size: tuple[int, int], fps: float) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
    while True:
        data = cv2.imencode(".jpg", code_picture(*size))[1].tobytes()
        connection.sendall(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
        connection.sendall(data + b"\r\n")
        time.sleep(1 / fps)


def serve_mpegts(connection: socket.socket, size: tuple[int, int], fps: float) -> None:
    class Pipe(BytesIO):
        def write(self, data: object) -> int:
            connection.sendall(bytes(data))  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
    with av.open(Pipe(), "w", format="mpegts", options={"flush_packets": "1", "muxdelay": "0"}) as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = round(fps)
        stream.options = {"tune": "zerolatency", "preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, 1000)
        start = time.monotonic()
        while True:
            frame = av.VideoFrame.from_ndarray(code_picture(*size), format="bgr24")
            frame.pts, frame.time_base = int((time.monotonic() - start) * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
            time.sleep(1 / fps)


def serve_garbage(connection: socket.socket, size: tuple[int, int], fps: float) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
    while True:
        connection.sendall(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n" + os.urandom(5002))
        time.sleep(1 / fps)


KINDS = {"mjpeg": serve_mjpeg, "mpegts": serve_mpegts, "garbage": serve_garbage}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=[*KINDS, "rtsp"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--fps", type=float, default=25.0)
    options = parser.parse_args()
    serve = KINDS[options.kind]
    server = socket.create_server(("127.0.0.1", options.port))
    print("ready", flush=True)

    def work(connection: socket.socket) -> None:
        with connection:
            try:
                if connection.recv(4096):
                    serve(connection, tuple(options.size), options.fps)
            except OSError:
                pass

    while True:
        threading.Thread(target=work, args=(server.accept()[0],), daemon=True).start()


def start(kind: str, port: int, *, size: tuple[int, int] = (240, 320), fps: float = 25.0) -> subprocess.Popen[str]:
    """A server in a process of its own, that listens already."""
    if kind == "rtsp":
        arguments = [SYSTEM_PYTHON, str(RTSP_SERVER), str(port), *map(str, size), str(round(fps))]
    else:
        places = ["--port", str(port), "--size", *map(str, size), "--fps", str(fps)]
        arguments = [sys.executable, "-m", "tests.fakes.video_server", kind, *places]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2], stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


if __name__ == "__main__":
    main()
