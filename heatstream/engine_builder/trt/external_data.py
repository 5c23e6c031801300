"""The files beside an ONNX file that hold its weights, found without the library onnx, which robots lack.

An ONNX file is a protocol buffer: fields of a number and a kind, of which the nested ones are bytes again. Only the way
to the tensors is walked; see onnx.proto for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from heatstream.errors import ModelFileError

__all__ = ["external_files"]

# Message -> field number -> message in it.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KEY, _VALUE = 1, 2


def external_files(path: Path, content: bytes) -> tuple[Path, ...]:
    """The files that hold weights of a model file, in the order of their names; mostly there are none.

    Args:
        path: of the model file.
        content: its bytes.

    Raises:
        ModelFileError: one of them is missing or outside the model's folder, or the file is damaged.
    """
    folder = path.resolve().parent
    found = set()
    try:
        for name in sorted(set(_locations(memoryview(content), "model"))):
            file = (folder / name).resolve()
            if not file.is_relative_to(folder):
                raise ModelFileError(f"{path} wants weights from {name}, outside its folder: save it as one file")
            if not file.is_file():
                raise ModelFileError(f"{path} keeps weights in {file}, which is not there: copy it beside the model")
            found.add(file)
    except (IndexError, UnicodeDecodeError, ValueError):
        raise ModelFileError(f"{path} is not an ONNX file, or is damaged: copy or export it again") from None
    return tuple(sorted(found))


def _locations(data: memoryview, message: str) -> Iterator[str]:
    """The names of the files that a message and those in it refer to."""
    inner = _FIELDS[message]
    for number, value in _fields(data):
        if number not in inner or value is None:
            continue
        if inner[number] != "external data":
            yield from _locations(value, inner[number])
            continue
        entry = {key: bytes(text).decode() for key, text in _fields(value) if text is not None}
        if entry.get(_KEY) == "location":
            yield entry.get(_VALUE, "")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """The fields of a message: their numbers, and their bytes where they have some."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == _BYTES:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("cut off")
            yield key >> 3, data[place : place + size]
            place += size
        elif kind == _VARINT:
            _, place = _varint(data, place)
            yield key >> 3, None
        elif kind in (_FIXED32, _FIXED64):
            place += 4 if kind == _FIXED32 else 8
            yield key >> 3, None
        else:
            raise ValueError("an unknown kind of field")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A number of 7 bits a byte, lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("a number without end")
