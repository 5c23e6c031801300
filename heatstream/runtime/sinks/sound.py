"""The sound of the source's film, brought along into the annotated one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

__all__ = ["Sound"]

COPIED = frozenset({"aac", "flac", "libopus", "mp3", "mp3float", "opus"})
"""What browsers play in an MP4, by the names of FFmpeg's decoders; everything else is encoded anew."""

ENCODER = "aac"
MOST_RATE = 48_000  # Hz; of AAC's rates the highest that every player takes


class Sound:
    """The first sound track of a film, packet by packet beside the frames.

    Args:
        path: of the film.
        source: the film, open; it is closed with this.
        start: capture time of the first frame that is written, s.
        container: the film that is written, its video already added.
    """

    def __init__(self, path: Path, source: InputContainer, start: float, container: OutputContainer) -> None:
        import av

        self._path = path
        self._source = source
        self._stream = source.streams.audio[0]
        film = source.streams.video[0]
        began = 0 if film.start_time is None or film.time_base is None else film.start_time * film.time_base
        self._begin = start + float(began)  # s, of the source's clock
        self._given = -1.0  # s, of the newest packet
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        context = self._stream.codec_context
        if context.name in COPIED:
            self._packets = self._copied(container.add_stream_from_template(self._stream))
        elif ENCODER in av.codecs_available:
            rate = min(context.sample_rate, MOST_RATE)
            output = container.add_stream(ENCODER, rate=rate, layout="mono" if context.channels == 1 else "stereo")
            self._packets = self._encoded(cast("AudioStream", output))
        else:
            self._warn(f"this FFmpeg cannot write {context.name} to an MP4")

    @classmethod
    def of(cls, path: Path, start: float, container: OutputContainer) -> Sound | None:
        """That of a film; None where it has none, or cannot be opened again."""
        import av

        try:
            source = av.open(str(path.absolute()), metadata_errors="ignore")
        except (av.FFmpegError, OSError, ValueError):  # the latter for a name that is not UTF-8
            return None
        found = source.streams.audio[0].codec_context if source.streams.audio and source.streams.video else None
        if found is not None and found.sample_rate > 0 and found.channels > 0:
            return cls(path, source, start, container)
        source.close()
        return None

    def mux(self, container: OutputContainer, time: float) -> None:
        """Write the packets up to a time of the written film, s, and one more, so that no frame waits for its sound."""
        import av

        while self._given <= time:
            try:
                packet = next(self._packets, None)
                if packet is None:
                    self._given = math.inf
                    return
                self._given = float((packet.pts or 0) * (packet.time_base or 0))
                container.mux(packet)
            except (av.FFmpegError, ValueError) as error:
                self._given = math.inf
                self._warn(f"it is damaged ({getattr(error, 'strerror', None) or error})")

    def close(self) -> None:
        """Close the source's film."""
        self._source.close()

    def _copied(self, output: AudioStream) -> Iterator[Packet[AudioStream]]:
        for packet in self._source.demux(self._stream):
            if packet.pts is None or packet.dts is None or packet.time_base is None:
                continue
            begin = round(self._begin / packet.time_base)
            if packet.pts < begin:
                continue
            packet.pts -= begin
            packet.dts -= begin
            packet.stream = output
            yield packet

    def _encoded(self, output: AudioStream) -> Iterator[Packet[AudioStream]]:
        import av

        resampler = av.AudioResampler(format="fltp", layout=output.layout, rate=output.rate)
        for frame in self._frames():
            for sized in resampler.resample(frame):
                yield from output.encode(sized)
        for sized in resampler.resample(None):
            yield from output.encode(sized)
        yield from output.encode(None)

    def _frames(self) -> Iterator[AudioFrame]:
        for frame in self._source.decode(self._stream):
            if frame.pts is None or frame.time_base is None:
                continue
            begin = round(self._begin / frame.time_base)
            if frame.pts >= begin:
                frame.pts -= begin
                yield frame

    def _warn(self, why: str) -> None:
        warnings.warn(f"the sound of {self._path} is left out from here on: {why}", RuntimeWarning, stacklevel=3)
