"""Results as an annotated video that plays up to its last frame, however the run ends.

PyAV is imported after OpenCV, which happens below: the other way round OpenCV's windows hang for ever, because Qt then
finds another build of the X libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.base import Draw
from heatstream.runtime.sinks.output_file import OutputFile
from heatstream.runtime.sinks.sound import Sound

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

__all__ = ["VIDEO_SUFFIXES", "VideoSink"]

DEFAULT_FPS = 25.0
MOST_FPS = 1000.0
LONGEST_SECONDS = 6 * 3600.0
"""A frame may last as long: MP4 counts its ticks in 32 bits. Longer gaps are not believed."""

JUMP_SECONDS = 10.0
"""A live source whose clock jumps by more than this was asleep or had its clock set: the video goes on from there."""

H264_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox")
"""The first one that PyAV's FFmpeg has is used. PyAV's wheels bring libx264; builds of one's own may not."""

YUV420 = "yuv420p"
AT_ONCE = {"flush_packets": "1", "max_interleave_delta": "1"}
"""Of FFmpeg's containers: every packet is written when it comes."""

TICKS = 90_000  # per second, as video systems count


@dataclass(frozen=True)
class _Kind:
    """How a kind of video is written.

    Attributes:
        encoders: the first one there is encodes.
        options: of the encoder.
        pixels: FFmpeg's name of its pixel format. For "yuv420p" width and height must be even.
        file_options: of the container in a file.
        stream_options: of the container in a pipe.
        steady: whether all frames last equally long, so that time is kept by repeating and leaving out frames.
    """

    encoders: tuple[str, ...]
    options: Mapping[str, str]
    pixels: str
    file_options: Mapping[str, str]
    stream_options: Mapping[str, str]
    steady: bool


KINDS = {
    # Every frame is a fragment of its own, which players find without an index. A file that is finished gets an
    # index as well and is an ordinary MP4 then. Without lookahead the encoder keeps no frame back, and no
    # more than two wait for a sound that ended before.
    ".mp4": _Kind(
        encoders=H264_ENCODERS,
        options={"preset": "ultrafast", "tune": "zerolatency", "crf": "23"},
        pixels=YUV420,
        file_options={"movflags": "hybrid_fragmented+frag_every_frame", **AT_ONCE},
        stream_options={"movflags": "empty_moov+default_base_moof+frag_every_frame", **AT_ONCE},
        steady=False,
    ),
    ".avi": _Kind(
        encoders=("mjpeg",),
        options={"qmin": "2", "qmax": "3"},
        pixels="yuvj420p",
        file_options={"flush_packets": "1"},
        stream_options={"flush_packets": "1"},
        steady=True,
    ),
}
VIDEO_SUFFIXES = tuple(KINDS)


class VideoSink:
    """An annotated video.

    Frames last as long as they did in the source; in an ``.avi``, whose frames all last equally long, those of a live
    source are repeated or left out so that it keeps the pace of the world. Frames of another size than the first
    one are brought to its size, aspect kept. A run that is killed, or a disk that fills up, leaves a video of all
    frames but the last. The sound of a film comes along into an ``.mp4``: copied where browsers play it there, else
    encoded as AAC.

    Args:
        path: ``.mp4`` (H.264, which browsers play) or ``.avi`` (Motion JPEG), which is replaced; a pipe of such a name
            is written on.
        draw: gives the picture of a result.
        fps: frames per second of the source; 25 when None.
        live: whether capture times are those of a clock that may be set.
        sound: the film that frames come from, for its sound; None for silence.

    Raises:
        SinkError: the name ends otherwise, the file cannot be written, or another run writes it.
    """

    def __init__(
        self, path: Path, draw: Draw, *, fps: float | None = None, live: bool = False, sound: Path | None = None
    ) -> None:
        kind = KINDS.get(path.suffix.lower())
        if kind is None:
            raise SinkError(f"{path} is not named as a video: use one of {', '.join(KINDS)}")
        self._path = path
        self._kind = kind
        self._draw = draw
        self._fps = min(fps, MOST_FPS) if fps is not None and fps >= 1 / LONGEST_SECONDS else DEFAULT_FPS
        self._live = live
        self._sound = None if kind.steady else sound
        self._size = (0, 0)  # (height, width) px
        self._start: float | None = None  # capture time of the video's beginning
        self._time = 0.0  # seconds of the newest frame
        self._duration = 1 / self._fps  # seconds of the newest frame
        self._frames = 0  # in the video, the newest one included
        self._file = OutputFile(path)
        self._writer: _Writer | None = None

    def write(self, result: Result) -> None:
        """Draw and write one frame.

        Raises:
            SinkError: the video cannot be begun, or there is no room; the video up to here plays.
        """
        if self._writer is None:
            self._size = (result.frame.shape[0], result.frame.shape[1])
            self._writer = self._begin(result.capture_time)
        self._tell_time(result.capture_time)
        copies = self._copies() if self._kind.steady and self._live else 1
        if not copies:
            return
        picture = _fitted(self._draw(result), self._size)
        for _ in range(copies):
            time = self._frames / self._fps if self._kind.steady else self._time
            self._writer.write(picture, time, self._duration)
            self._frames += 1

    def close(self) -> Path | None:
        """Finish the video, so that it plays.

        Raises:
            SinkError: there is no room for its end; what was written before plays.
        """
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
        finally:
            path = self._file.close()
        return path

    def _begin(self, start: float) -> _Writer:
        """A video whose first frame has that capture time, with sound if that can be written."""
        import av

        if self._sound is not None:
            writer = _Writer(self._path, self._file, self._kind, self._size, self._fps)
            try:
                writer.add_sound(self._sound, start)
                return writer
            except (av.FFmpegError, ValueError):  # of a damaged film
                self._file.cut(0)
        return _Writer(self._path, self._file, self._kind, self._size, self._fps)

    def _tell_time(self, capture_time: float) -> None:
        """Where in the video a frame of that capture time is to be."""
        if self._start is None:
            self._start = capture_time
            return
        time = capture_time - self._start
        if time <= self._time or time - self._time > (JUMP_SECONDS if self._live else LONGEST_SECONDS):
            # Pictures have no time, the machine slept or its clock was set, or a film is damaged: go on from here.
            time = self._time + 1 / self._fps
            self._start = capture_time - time
        self._duration = time - self._time
        self._time = time

    def _copies(self) -> int:
        """How often the newest frame has to be written to keep pace with the world."""
        return max(0, round(self._time * self._fps) + 1 - self._frames)


class _Writer:
    """A video that is being written."""

    def __init__(self, path: Path, file: OutputFile, kind: _Kind, size: tuple[int, int], fps: float) -> None:
        import av

        self._path = path
        self._file = file
        self._pixels = kind.pixels
        self._frames = 0
        self._whole = 0  # size of the file up to the end of its last whole frame
        self._io = _Io(file)
        rate = Fraction(fps).limit_denominator(1001)
        options = kind.file_options if file.seekable else kind.stream_options
        self._container: OutputContainer = av.open(
            self._io, "w", format=path.suffix.lower()[1:], container_options=dict(options)
        )
        self._stream = cast("VideoStream", self._container.add_stream(_encoder(kind.encoders), rate=rate))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = kind.pixels
        if kind.pixels == YUV420:
            self._stream.height, self._stream.width = (side + side % 2 for side in size)
            self._stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601
            self._stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
        self._stream.options = dict(kind.options)
        self._stream.codec_context.gop_size = max(1, round(2 * fps))
        self._time_base = 1 / rate if kind.steady else Fraction(1, TICKS)
        self._stream.codec_context.time_base = self._time_base
        self._sound: Sound | None = None
        self._end = 0.0  # s, of the newest frame

    def add_sound(self, film: Path, start: float) -> None:
        """Take the sound of a film along from that capture time on, before the first frame is written."""
        self._sound = Sound.of(film, start, self._container)
        if self._sound is not None:
            self._container.start_encoding()

    def write(self, picture: NDArray[np.uint8], time: float, duration: float) -> None:
        """Encode a picture and write it.

        Raises:
            SinkError: there is no room; the video ends whole before.
        """
        import av

        frame = _yuv420(picture) if self._pixels == YUV420 else av.VideoFrame.from_ndarray(picture, format="bgr24")
        self._mux_sound(time)
        self._end = time + duration
        frame.time_base = self._time_base
        frame.pts = round(time / self._time_base)
        for packet in self._stream.encode(frame):
            packet.duration = max(1, round(duration / packet.time_base))
            self._container.mux(packet)
        self._check()
        self._frames += 1
        self._whole = self._io.size

    def close(self) -> None:
        """Write what is left, and the index.

        Raises:
            SinkError: there is no room for it; the video ends whole before its last frame.
        """
        if self._io.error is not None:  # which was told
            return
        self._io.finishing = True
        self._mux_sound(self._end)
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._close()
        self._check()
        self._io.finish()

    def _mux_sound(self, time: float) -> None:
        if self._sound is not None:
            self._sound.mux(self._container, time)

    def _close(self) -> None:
        self._container.close()
        if self._sound is not None:
            self._sound.close()

    def _check(self) -> None:
        """Raise what went wrong in the file, which FFmpeg knows nothing of."""
        error = self._io.error
        if error is None:
            return
        self._close()
        # The frame before this one was written together with this one, and where the sound has ended before, FFmpeg
        # waits a little longer for it.
        frames = max(0, self._frames - (1 if self._sound is None else 3))
        if not self._file.seekable:
            raise error
        if frames == 0:
            self._file.discard()
        else:
            self._file.cut(self._whole)
        end = f"it ends after {frames} frames and plays up to there" if frames else "nothing of it is left"
        raise SinkError(f"{error}; {end}")


class _Io:
    """The file as FFmpeg sees it. What goes wrong is kept for us, and FFmpeg is told that all is well.

    While the video is being finished, what is written anew in front waits until everything behind it is in the file:
    should there be no room, or the run be killed, it is the video it was.
    """

    def __init__(self, file: OutputFile) -> None:
        self._file = file
        self._place = 0
        self._in_front: list[tuple[int, bytes]] = []
        self.size = 0
        self.error: SinkError | None = None
        self.finishing = False
        if file.seekable:
            self.seek = self._seek
            self.tell = self._tell

    def write(self, data: bytes) -> int:
        """Write at the present place."""
        if self.error is None:
            try:
                if self.finishing and self._place < self.size:
                    self._in_front.append((self._place, bytes(data)))
                else:
                    self._file.write_at(self._place, data)
            except SinkError as error:
                self.error = error
        self._place += len(data)
        self.size = max(self.size, self._place)
        return len(data)

    def finish(self) -> None:
        """Write what waited."""
        for place, data in self._in_front:
            self._file.write_at(place, data)

    def _seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self.size)[whence]
        return self._place

    def _tell(self) -> int:
        return self._place


def _yuv420(picture: NDArray[np.uint8]) -> VideoFrame:
    """A BGR picture as H.264 takes it, its sides made even by repeating the last column and row.

    OpenCV does this in a third of the time that FFmpeg takes.
    """
    import av

    below, right = picture.shape[0] % 2, picture.shape[1] % 2
    if below or right:
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420), np.uint8)
    return av.VideoFrame.from_ndarray(planes, format=YUV420)


def _encoder(names: tuple[str, ...]) -> str:
    """The first of these encoders that FFmpeg has."""
    import av

    for name in names:
        if name in av.codecs_available:
            return name
    raise SinkError(f"PyAV's FFmpeg has none of {', '.join(names)}: pip install --force-reinstall av, or save .avi")


def _fitted(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture at (height, width), aspect kept, black around it."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    factor = min(size[0] / height, size[1] / width)
    inner = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + inner[0], left : left + inner[1]] = cv2.resize(picture, inner[::-1])
    return fitted
