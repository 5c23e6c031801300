"""Whether pictures of an H.264 stream were lost on their way, which FFmpeg conceals and does not tell.

Every picture that later ones refer to counts on by one in ``frame_num``, near the beginning of its slices, modulo a
power of two that the stream's parameters give (ITU-T H.264, 7.3.2.1.1, 7.3.3 and 7.4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["LossDetector"]

START_CODE = re.compile(b"\0\0\1")
SLICE, KEY_SLICE, PARAMETERS = 1, 5, 7  # kinds of units
MOST_BYTES = 512  # of a unit; what is looked for stands before
CHROMA_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
MOST_LENGTH = 16  # bits of frame_num
MOST_CYCLE = 255  # pictures


class LossDetector:
    """Looks at one packet after the other: ``lost = detector(packet)``.

    Args:
        extradata: the stream's parameters as far as the container gives them. Where they have MP4's form the packets
            have it too, and nothing is looked for: such streams come over connections that lose nothing.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._off = (extradata or b"").startswith(b"\1")
        self._parameters: _Parameters | None = None
        self._latest: int | None = None  # of the pictures that later ones refer to
        self(extradata or b"")

    def __call__(self, packet: bytes) -> bool:
        """Whether pictures are missing right before this one."""
        for unit in () if self._off else _units(packet):
            kind = unit[0] & 31
            if kind == PARAMETERS:
                self._parameters = _Parameters(unit)
            elif kind in (SLICE, KEY_SLICE):
                return self._follow(unit, key=kind == KEY_SLICE)
        return False

    def _follow(self, unit: bytes, *, key: bool) -> bool:
        if self._parameters is None or not self._parameters.usable:
            return False
        number, latest = self._parameters.frame_number(unit), self._latest
        if unit[0] >> 5:  # later ones refer to it
            self._latest = number
        return not key and latest is not None and (number - latest) % self._parameters.numbers > 1


class _Parameters:
    """What of a sequence parameter set is needed.

    Attributes:
        numbers: how many there are before they begin anew.
        usable: whether every picture is counted.
    """

    def __init__(self, unit: bytes) -> None:
        bits = _Bits(unit)
        profile = bits.read(8)
        bits.read(16)
        bits.golomb()  # its number
        self._planes_apart = False
        if profile in CHROMA_PROFILES:
            chroma = bits.golomb()
            self._planes_apart = chroma == 3 and bool(bits.read(1))
            bits.golomb()
            bits.golomb()
            bits.read(1)
            if bits.read(1):
                for matrix in range(12 if chroma == 3 else 8):
                    if bits.read(1):
                        bits.skip_scaling(16 if matrix < 6 else 64)
        self._length = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.read(1)
            bits.golomb()
            bits.golomb()
            for _ in range(min(bits.golomb(), MOST_CYCLE)):
                bits.golomb()
        bits.golomb()
        gaps_allowed = bits.read(1)
        self.usable = self._length <= MOST_LENGTH and not gaps_allowed
        self.numbers = 1 << min(self._length, MOST_LENGTH)

    def frame_number(self, unit: bytes) -> int:
        """Of a slice."""
        bits = _Bits(unit)
        for _ in range(3):  # its first block, its type, the number of the picture's parameters
            bits.golomb()
        if self._planes_apart:
            bits.read(2)
        return bits.read(self._length)


class _Bits:
    """Reads a unit, from behind its first byte; behind its end are zeros."""

    def __init__(self, unit: bytes) -> None:
        data = unit[1:].replace(b"\0\0\3", b"\0\0")
        self._left = 8 * len(data)
        self._value = int.from_bytes(data, "big")

    def read(self, count: int) -> int:
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else 0
        return value & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number."""
        zeros = 0
        while zeros < 32 and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def skip_scaling(self, size: int) -> None:
        """A scaling list: differences, until one says that the rest is as before."""
        scale = 8
        for _ in range(size):
            code = self.golomb()
            scale = (scale + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
            if scale == 0:
                break


def _units(data: bytes) -> Iterator[bytes]:
    """The beginnings of what stands behind start codes."""
    for code in START_CODE.finditer(data):
        if unit := data[code.end() : code.end() + MOST_BYTES]:
            yield unit
