"""Recordings read back: message by message as far as they are whole, and written anew where their end is missing."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heatstream.errors import InputError, SinkError
from heatstream.extras import require
from heatstream.runtime.sinks.foxglove import require_foxglove
from heatstream.runtime.sinks.mcap import McapFile
from heatstream.runtime.sinks.output_file import same_place

__all__ = ["Recorded", "Recovered", "read_recording", "recover"]

LARGEST_RECORD = 2**28
"""Bytes. Half a second takes far less; a damaged length is not believed."""

FLUSH_BYTES = 2**20

MAGIC_SIZE = 8


@dataclass(frozen=True)
class Recorded:
    """One message of a recording.

    Attributes:
        topic: for example ``/heatstream/results``.
        encoding: ``json`` or ``protobuf``.
        schema: name, encoding and text of its schema; None where it has none.
        time: its capture time in nanoseconds.
        data: as it was recorded.
        metadata: of its channel.
    """

    topic: str
    encoding: str
    schema: tuple[str, str, bytes] | None
    time: int
    data: bytes
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Recovered:
    """What became of a recording.

    Attributes:
        path: the new file.
        messages: how many of each topic are in it.
        seconds: capture time from its first to its last message.
        damage: what ended the old one; None where it was whole, with its index.
    """

    path: Path
    messages: dict[str, int]
    seconds: float
    damage: str | None


def read_recording(path: str | Path) -> Iterator[Recorded]:
    """The messages of an MCAP file in their order, up to its end or its first damage.

    Raises:
        MissingExtraError: the library ``mcap`` is not installed.
        InputError: the file cannot be read, or is no MCAP file.
    """
    yield from _Reader(Path(path))


def recover(path: Path, output: Path) -> Recovered:
    """Write what is whole of a recording into a new file, with the index that players seek by.

    Args:
        path: a recording whose run was killed, or whose disk was full.
        output: the new file, ``.mcap``.

    Raises:
        MissingExtraError: the libraries of the extra ``mcap`` are not installed.
        InputError: the file cannot be read, holds no whole message, or is the output.
        SinkError: the new file cannot be written.
    """
    if same_place(path, output):
        raise InputError(f"{output} is the recording itself: give the new file another name")
    foxglove = require_foxglove("recordings")
    context = foxglove.Context()
    reader = _Reader(path)
    channels: dict[tuple[str, Any], Any] = {}
    counts: Counter[str] = Counter()
    first = last = 0
    waiting = 0
    file = McapFile(output, context)
    try:
        for message in reader:
            key = message.topic, message.schema
            if key not in channels:
                name, encoding, data = message.schema or ("", "", b"")
                schema = foxglove.Schema(name=name, encoding=encoding, data=data)
                channels[key] = foxglove.Channel(
                    message.topic,
                    message_encoding=message.encoding,
                    schema=schema,
                    metadata=dict(message.metadata),
                    context=context,
                )
            channels[key].log(message.data, log_time=message.time)
            first = min(first, message.time) if counts else message.time
            last = max(last, message.time)
            counts[message.topic] += 1
            waiting += len(message.data)
            if waiting > FLUSH_BYTES:
                file.end_chunk()
                waiting = 0
        file.close(keep=bool(counts))
    except SinkError:
        file.close()
        raise
    except BaseException:
        file.close(keep=bool(counts))
        raise
    if not counts:
        raise InputError(f"{path} holds no whole message, there is nothing to recover: {reader.damage}")
    return Recovered(output, dict(counts), (last - first) / 1e9, reader.damage)


class _Reader:
    """Goes through a file once; :attr:`damage` says afterwards what ended it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Recorded]:
        mcap = require("mcap.stream_reader", extra="mcap", purpose="reading recordings")
        records = require("mcap.records", extra="mcap", purpose="reading recordings")
        exceptions = require("mcap.exceptions", extra="mcap", purpose="reading recordings")
        try:
            file = self._path.open("rb")
        except OSError as error:
            raise InputError(f"{self._path} cannot be read ({error.strerror}): name a recording (.mcap)") from None
        schemas: dict[int, tuple[str, str, bytes]] = {}
        channels: dict[int, Any] = {}
        indexed = False
        with file:
            found = iter(mcap.StreamReader(file, emit_chunks=True, record_size_limit=LARGEST_RECORD).records)
            while True:
                try:
                    record = next(found, None)
                    if record is None:
                        break
                except exceptions.InvalidMagic:
                    if file.tell() <= MAGIC_SIZE:
                        raise InputError(f"{self._path} is not an MCAP file: name a recording (.mcap)") from None
                    self.damage = "its end is damaged"
                    return
                except Exception as error:  # damage shows as whatever a length or a checksum leads to
                    self.damage = f"it is damaged {file.tell()} bytes in ({type(error).__name__})"
                    if isinstance(error, (exceptions.EndOfFile, struct.error)):
                        self.damage = "its end is missing"
                    return
                parts = [record]
                if isinstance(record, records.Chunk):
                    try:
                        parts = mcap.breakup_chunk(record, True)
                    except Exception as error:  # the next chunk may be whole
                        self.damage = f"a part is damaged {file.tell()} bytes in ({type(error).__name__})"
                        continue
                for part in parts:
                    if isinstance(part, records.Schema):
                        schemas[part.id] = (part.name, part.encoding, part.data)
                    elif isinstance(part, records.Channel):
                        channels[part.id] = part
                    elif isinstance(part, records.Message) and part.channel_id in channels:
                        channel = channels[part.channel_id]
                        yield Recorded(
                            channel.topic,
                            channel.message_encoding,
                            schemas.get(channel.schema_id),
                            part.log_time,
                            part.data,
                            channel.metadata,
                        )
                indexed = indexed or isinstance(record, records.Statistics)
        if not indexed and self.damage is None:
            self.damage = "its index is missing"
