"""Results as a recording: MCAP, which Foxglove, robots' tools and :mod:`heatstream.runtime.recordings` read."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heatstream.errors import SinkError
from heatstream.results import Result
from heatstream.runtime.sinks.foxglove import FoxgloveChannels, require_foxglove
from heatstream.runtime.sinks.output_file import OutputFile
from heatstream.runtime.threads import start_thread

__all__ = ["CHUNK_SECONDS", "McapFile", "McapSink"]

CHUNK_SECONDS = 0.5
"""A chunk is ended and handed to the system this often: SIGKILL loses no more."""

FILE_SECONDS = 3600.0
"""A recording goes on in a new file after an hour of capture time."""

# Behind every chunk, until the next one takes its place: what makes a file without an index a whole one. Data end
# (opcode 15, a checksum of 0 says none), footer (opcode 2, no summary), magic. See https://mcap.dev/spec.
TAIL = struct.pack("<BQI", 15, 4, 0) + struct.pack("<BQQQI", 2, 20, 0, 0, 0) + b"\x89MCAP0\r\n"


class McapFile:
    """One MCAP file that is whole after every chunk, without an index at first; :meth:`close` writes that.

    Args:
        path: the file, which is replaced.
        context: Foxglove's; all that is logged in it lands in the file.

    Raises:
        SinkError: it cannot be written.
    """

    def __init__(self, path: Path, context: Any) -> None:
        foxglove = require_foxglove("recordings")
        options = foxglove.mcap.MCAPWriteOptions(
            profile="heatstream",
            chunk_size=None,  # time ends chunks
            disable_seeking=True,
            calculate_data_section_crc=False,  # of chunks there are checksums
            compression_threads=0,
        )
        self._io = _Io(OutputFile(path))
        self._writer = foxglove.open_mcap(self._io, context=context, writer_options=options)

    def end_chunk(self) -> None:
        """Hand everything so far to the system.

        Raises:
            SinkError: there is no room; the file ends whole before this chunk.
        """
        self._writer.flush()
        self._io.append(TAIL)

    def close(self, *, keep: bool = True) -> Path | None:
        """Write the index, and close the file; harmless when repeated.

        Args:
            keep: False where nothing was logged: everything is as it was before then.

        Raises:
            SinkError: there is no room for it; the file is whole without.
        """
        try:
            self._writer.close()
            if keep:
                self._io.append(b"")
        finally:
            path = self._io.file.close()
        return path


class McapSink:
    """A recording of a stream.

    A full disk ends the recording and not the run: what was recorded is whole, ``tell`` is told at once, and
    :meth:`close` raises it. A new file, ``NAME-2.mcap``, is begun after every hour.

    Args:
        path: ``.mcap``, which is replaced.
        channels: what is recorded.
        tell: takes what went wrong, for the user.

    Raises:
        SinkError: the name ends otherwise, or the file cannot be written.
    """

    def __init__(self, path: Path, channels: FoxgloveChannels, *, tell: Callable[[str], object]) -> None:
        if path.suffix.lower() != ".mcap":
            raise SinkError(f"{path} is not named as a recording: give it a name that ends in .mcap")
        self._path = path
        self._channels = channels
        self._tell = tell
        self._files = 1
        self._file: McapFile | None = McapFile(path, channels.context)
        self._start: float | None = None  # capture time of the file's first result
        self._error: SinkError | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = start_thread("mcap", self._end_chunks, stop=self._closing.set)

    def write(self, result: Result) -> None:
        """Record one result; after trouble nothing happens."""
        with self._lock:
            if self._file is None:
                return
            if self._start is None:
                self._begin(result)
            elif result.capture_time - self._start >= FILE_SECONDS:
                self._next_file()
                self._begin(result)
            if self._file is not None:
                self._channels.log(result)

    def close(self) -> Path | None:
        """Finish the recording; harmless when repeated.

        Raises:
            SinkError: it ended before the run did.
        """
        self._closing.set()
        self._thread.join()
        with self._lock:
            path = self._close_file()
            error, self._error = self._error, None
        if error is not None:
            raise error
        return path

    def _begin(self, result: Result) -> None:
        self._start = result.capture_time
        self._channels.log_header(result.capture_time)

    def _next_file(self) -> None:
        self._close_file()
        if self._error is not None:
            return
        self._files += 1
        try:
            name = f"{self._path.stem}-{self._files}{self._path.suffix}"
            self._file = McapFile(self._path.with_name(name), self._channels.context)
        except SinkError as error:
            self._give_up(error)

    def _close_file(self) -> Path | None:
        file, self._file = self._file, None
        if file is None:
            return None
        try:
            return file.close(keep=self._start is not None)
        except SinkError as error:
            self._give_up(error)
            return None

    def _give_up(self, error: SinkError) -> None:
        if self._error is None:
            self._error = error
            self._tell(f"the recording ends here, the run goes on: {error}")

    def _end_chunks(self) -> None:
        """The thread that ends chunks, also while no frame comes."""
        while not self._closing.wait(CHUNK_SECONDS):
            with self._lock:
                if self._file is None or self._start is None:
                    continue
                try:
                    self._file.end_chunk()
                except SinkError as error:
                    self._give_up(error)
                    self._close_file()


class _Io:
    """The file as Foxglove's writer sees it: a buffer that is written to the file chunk by chunk."""

    def __init__(self, file: OutputFile) -> None:
        self.file = file
        self._waiting: list[bytes] = []
        self._size = 0
        self._failed = False

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self._waiting.append(bytes(data))
        self._size += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Tell the place; nothing is ever written elsewhere."""
        return self._size

    def flush(self) -> None:
        """Does nothing: :meth:`append` does."""

    def append(self, tail: bytes) -> None:
        """Write what was taken, and a tail that the next data replace; after trouble nothing more is written.

        Raises:
            SinkError: there is no room.
        """
        data, self._waiting = b"".join(self._waiting), []
        if self._failed or not data:
            return
        try:
            self.file.append(data, tail)
        except SinkError:
            self._failed = True
            raise
