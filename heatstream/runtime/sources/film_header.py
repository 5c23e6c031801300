"""What PyAV knows of a film and OpenCV does not tell: when it begins, and whether it is to be shown mirrored.

Phones record with the camera beside the screen, and may store what it sees with the wish that it be mirrored. OpenCV
turns frames by the angle of the container's display matrix, and takes a mirror for a turn or for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_mirroring", "start_seconds"]

Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def start_seconds(name: str) -> float:
    """When the first frame of a film is shown, s; 0 where that cannot be told.

    Args:
        name: of the file, as FFmpeg takes it.
    """
    import av

    try:
        with av.open(name, metadata_errors="ignore") as container:
            film = container.streams.video[0]
            return float((film.start_time or 0) * (film.time_base or 0))
    except (av.FFmpegError, IndexError):
        return 0.0


def read_mirroring(name: str) -> Turn | None:
    """What brings the frames of a film into the place they are to be shown in; None where it holds no mirror.

    Args:
        name: of the file, as FFmpeg takes it.
    """
    import av

    try:
        with av.open(name, metadata_errors="ignore") as container:
            frame = next(container.decode(video=0))
            matrix = frame.side_data.get("DISPLAYMATRIX")
            if matrix is None:
                return None
            # ISO/IEC 14496-12: x' = a x + c y, y' = b x + d y, and the places that projections have.
            a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    except (av.FFmpegError, StopIteration, IndexError, struct.error):
        return None
    if a * d - b * c >= 0:
        return None
    swapped = abs(b) > abs(a)
    right, down = (c, b) if swapped else (a, d)

    def turn(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        placed = image.transpose(1, 0, 2) if swapped else image
        return np.ascontiguousarray(placed[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])

    return turn
