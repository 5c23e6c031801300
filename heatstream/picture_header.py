"""What the first bytes of a picture say of it, before a decoder allocates anything.

A few hundred bytes can announce any number of pixels, and decoders believe them. Nothing here raises: what is not
understood is no picture.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["PictureHeader", "jpeg_end", "read_header"]

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
JPEG_MARKER_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)  # neither a stuffed byte nor a restart
JPEG_END, JPEG_SCAN = 0xD9, 0xDA
JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
NETPBM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})")
PAM_LINES = 64
HEADER_BYTES = 1 << 16
"""How far into a file of boxes (AVIF, HEIC, JPEG 2000) the size is looked for."""


@dataclass(frozen=True)
class PictureHeader:
    """What a picture announces.

    Attributes:
        kind: ``"jpeg"``, ``"png"``, ``"webp"``, ``"tiff"``, ``"bmp"``, ``"gif"``, ``"netpbm"``, ``"jpeg2000"``,
            ``"avif"`` or ``"heic"``.
        height: px.
        width: px.
        several: there are more pages or frames than the first.
        whole: False where the end is known to be missing.
    """

    kind: str
    height: int
    width: int
    several: bool = False
    whole: bool = True


def read_header(data: bytes) -> PictureHeader | None:
    """What a picture announces; None where it is of no kind that is known, or its header is damaged."""
    for start, kind, read in _KINDS:
        if data.startswith(start):
            try:
                return read(kind, data)
            except (struct.error, IndexError, ValueError):
                return None
    return _boxes(data) if data[4:8] == b"ftyp" else None


def jpeg_end(data: bytes, start: int = 0) -> int | None:
    """The first byte behind the JPEG that begins at ``start``; None where it is cut off or damaged.

    Phones put a film, and others a second picture, behind a JPEG's end, so its segments are followed to its own end
    mark.
    """
    try:
        return _walk_jpeg(data, start)[1]
    except (struct.error, IndexError):
        return None


def _walk_jpeg(data: bytes, start: int) -> tuple[tuple[int, int] | None, int | None]:
    """(height, width) of the first frame, and the end; either is None where the data end before it."""
    size, at = None, start + 2
    while True:
        while at < len(data) and data[at] == 0xFF and data[at + 1 : at + 2] == b"\xff":
            at += 1  # fill bytes
        if at + 1 >= len(data) or data[at] != 0xFF:
            return size, None
        marker = data[at + 1]
        if marker == JPEG_END:
            return size, at + 2
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a length
            at += 2
            continue
        if at + 4 > len(data):
            return size, None
        if size is None and marker in JPEG_SIZES and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = height, width
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == JPEG_SCAN:
            found = JPEG_MARKER_IN_SCAN.search(data, at)
            if found is None:
                return size, None
            at = found.end() - 2


def _jpeg(kind: str, data: bytes) -> PictureHeader | None:
    size, end = _walk_jpeg(data, 0)
    if size is None:
        return PictureHeader(kind, 1, 1, whole=False)
    return PictureHeader(kind, *size, whole=end is not None)


def _png(kind: str, data: bytes) -> PictureHeader:
    width, height = struct.unpack_from(">II", data, 16)
    several, at = False, 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        several |= name == b"acTL"
        at += 12 + length
        if name == b"IEND":
            return PictureHeader(kind, height, width, several=several, whole=at <= len(data))
    return PictureHeader(kind, height, width, several=several, whole=False)


def _webp(kind: str, data: bytes) -> PictureHeader | None:
    chunk = data[12:16]
    several = False
    if chunk == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        several = bool(data[20] & 0x02)
    elif chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return PictureHeader(kind, height, width, several=several, whole=len(data) >= 8 + _u32(data, 4))


def _riff(kind: str, data: bytes) -> PictureHeader | None:
    return _webp(kind, data) if data[8:12] == b"WEBP" else None


def _bmp(kind: str, data: bytes) -> PictureHeader:
    if _u32(data, 14) == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return PictureHeader(kind, abs(height), abs(width))


def _gif(kind: str, data: bytes) -> PictureHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureHeader(kind, height, width)


def _tiff(kind: str, data: bytes) -> PictureHeader | None:
    order = "<" if data.startswith(b"II") else ">"
    # BigTIFF (version 43) has places and counts of 64 bits.
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    place, number, first, size = ("Q", "Q", 8, 20) if big else ("I", "H", 4, 12)
    at = struct.unpack_from(order + place, data, first)[0]
    count = struct.unpack_from(order + number, data, at)[0]
    begin = at + struct.calcsize(order + number)
    value = size - struct.calcsize(order + place)  # in an entry, at its end
    sides = {}
    for entry in range(begin, begin + size * count, size):
        tag, form = struct.unpack_from(order + "HH", data, entry)
        if tag in (256, 257):  # width, length
            sides[tag] = struct.unpack_from(order + {3: "H", 4: "I"}.get(form, place), data, entry + value)[0]
    several = struct.unpack_from(order + place, data, begin + size * count)[0] != 0
    return PictureHeader(kind, sides[257], sides[256], several=several) if len(sides) == 2 else None


def _netpbm(kind: str, data: bytes) -> PictureHeader | None:
    found = NETPBM.match(data[:HEADER_BYTES])
    return PictureHeader(kind, int(found[2]), int(found[1])) if found else None


def _pam(kind: str, data: bytes) -> PictureHeader | None:
    lines = (line.split() for line in data[:HEADER_BYTES].split(b"\n", PAM_LINES)[:PAM_LINES])
    sides = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    return PictureHeader(kind, sides[b"HEIGHT"], sides[b"WIDTH"]) if {b"HEIGHT", b"WIDTH"} <= sides.keys() else None


def _jpeg2000(kind: str, data: bytes) -> PictureHeader | None:
    at = data.find(b"ihdr", 0, HEADER_BYTES)
    if at < 0:
        return None
    height, width = struct.unpack_from(">II", data, at + 4)
    stream = data.find(b"\xff\x4f\xff\x51", 0, HEADER_BYTES)  # the codestream says it again, and is believed
    return _codestream(kind, data[stream:], height, width) if stream >= 0 else PictureHeader(kind, height, width)


def _codestream(kind: str, data: bytes, height: int = 0, width: int = 0) -> PictureHeader:
    right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
    return PictureHeader(kind, max(height, bottom - top), max(width, right - left))


def _boxes(data: bytes) -> PictureHeader | None:
    """AVIF and HEIC: the largest size of any picture in the file, since a grid is made of many."""
    brands = data[8 : min(_u32_big(data, 0), 256)]
    kind = "avif" if b"avi" in brands else "heic"
    if kind == "heic" and not any(brand in brands for brand in (b"hei", b"hev", b"mif1")):
        return None
    head = data[:HEADER_BYTES]
    sizes = [struct.unpack_from(">II", head, found.end() + 4) for found in re.finditer(b"ispe", head[:-12])]
    if not sizes:
        return None
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return PictureHeader(kind, height, width, several=data[8:12] in (b"avis", b"hevc", b"msf1"))


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u32_big(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


_KINDS = (
    (JPEG, "jpeg", _jpeg),
    (PNG, "png", _png),
    (b"RIFF", "webp", _riff),
    (b"BM", "bmp", _bmp),
    (b"GIF8", "gif", _gif),
    (b"II*\0", "tiff", _tiff),
    (b"MM\0*", "tiff", _tiff),
    (b"II+\0", "tiff", _tiff),
    (b"MM\0+", "tiff", _tiff),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000", _jpeg2000),
    (b"\xff\x4f\xff\x51", "jpeg2000", _codestream),
    (b"P7\n", "netpbm", _pam),
    *((b"P%d" % number, "netpbm", _netpbm) for number in range(1, 7)),
)
