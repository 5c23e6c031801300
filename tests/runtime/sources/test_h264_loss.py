"""Losses in H.264 streams: seen where a picture that others refer to is missing, and no smeared picture is given."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from types import SimpleNamespace

import av
import numpy as np
import pytest

from heatstream.runtime.sources.connection import StreamEndedError
from heatstream.runtime.sources.h264_loss import LossDetector
from heatstream.runtime.sources.network import AvConnection

PICTURES, GOP = 60, 20
FORMS = {
    "plain": {"tune": "zerolatency", "preset": "ultrafast"},
    "B pictures": {"preset": "medium", "bf": "2"},
    "scaling lists": {"tune": "zerolatency", "x264-params": "cqm=jvt"},
    "refreshed part by part": {"tune": "zerolatency", "x264-params": "intra-refresh=1"},
    "interlaced": {"preset": "fast", "x264-params": "tff=1"},
}


def encoded(options: dict[str, str]) -> BytesIO:
    """MPEG-TS of a bar that walks over a pattern that walks too."""
    buffer = BytesIO()
    rows, columns = np.mgrid[:96, :128]
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=25, options={"sc_threshold": "0", **options})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 96, 128, "yuv420p", GOP
        for number in range(PICTURES):
            image = np.zeros((96, 128, 3), np.uint8)
            image[..., 0], image[..., 1] = columns * 2 + 5 * number, rows + 3 * number
            image[30:60, number : number + 20] = 255
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    buffer.seek(0)
    return buffer


class Damaged:
    """A packet of PyAV's with a hole in the middle."""

    def __init__(self, packet: av.Packet, codec: av.VideoCodecContext) -> None:
        self.size, self.pts, self.time_base, self.is_corrupt = packet.size, packet.pts, packet.time_base, False
        self._data, self._codec = bytes(packet), codec

    def __bytes__(self) -> bytes:
        return self._data[: len(self._data) * 4 // 10] + self._data[len(self._data) * 7 // 10 :]

    def decode(self) -> list[av.VideoFrame]:
        packet = av.Packet(bytes(self))
        packet.pts, packet.time_base = self.pts, self.time_base
        return self._codec.decode(packet)


class Lossy:
    """A container of PyAV's that leaves out one packet, or damages it."""

    format = SimpleNamespace(name="hls")  # of which all comes at once

    def __init__(self, buffer: BytesIO, *, lost: int | None = None, damaged: int | None = None) -> None:
        buffer.seek(0)
        self._container = av.open(buffer)
        self.streams = self._container.streams
        self._lost, self._damaged = lost, damaged

    def demux(self, stream: av.VideoStream) -> Iterator[av.Packet | Damaged]:
        for number, packet in enumerate(self._container.demux(stream)):
            if number == self._damaged:
                yield Damaged(packet, stream.codec_context)
            elif number != self._lost:
                yield packet

    def close(self) -> None:
        self._container.close()


def pictures(container: Lossy) -> tuple[list[bytes], int]:
    """What is given, and how many losses were seen."""
    connection, found = AvConnection(container, "camera"), []  # type: ignore[arg-type]
    try:
        while True:
            found.append(connection.read().image.tobytes())
    except StreamEndedError:
        connection.close()
    return found, connection.undecodable


@pytest.mark.parametrize("form", FORMS)
def test_behind_a_lost_picture_none_is_smeared(form: str) -> None:
    buffer = encoded(FORMS[form])
    whole, losses = pictures(Lossy(buffer))
    assert losses == 0
    assert len(whole) >= PICTURES - 4  # the decoder keeps the last ones back
    for lost in (25, 30):
        given, _ = pictures(Lossy(buffer, lost=lost))
        assert set(given) <= set(whole)
        assert len(whole) - 2 * GOP <= len(given) < len(whole)


def test_behind_a_picture_that_ffmpeg_marks_none_is_smeared() -> None:
    buffer = encoded(FORMS["plain"])
    whole, _ = pictures(Lossy(buffer))
    given, losses = pictures(Lossy(buffer, damaged=30))
    assert losses == 1
    assert set(given) < set(whole)


def test_an_encoder_that_counts_otherwise_is_given_up() -> None:
    buffer = encoded({**FORMS["plain"], "g": "250"})
    packets = [bytes(packet) for packet in av.open(buffer).demux(video=0) if packet.size]
    detector = LossDetector(None)
    lost = [detector(packet) for packet in packets[::2]]  # every number is two behind the one before it
    assert lost == [False, *[True] * 8, *[False] * (len(lost) - 9)]


def test_noise_is_no_loss_and_takes_no_time() -> None:
    rng = np.random.default_rng(0)
    for kind in (0x67, 0x41, 0x65):
        for _ in range(300):
            assert LossDetector(None)(b"\0\0\1" + bytes([kind]) + rng.bytes(600)) is False
