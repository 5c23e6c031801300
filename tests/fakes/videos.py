"""Videos made in a test, whose frames can be told apart."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZE", "spot_frame", "write_video"]

SIZE = (64, 96)
"""(height, width) px."""


def spot_frame(index: int) -> NDArray[np.uint8]:
    """A black frame, uint8 BGR, with a soft white spot that goes round."""
    height, width = SIZE
    rows, columns = np.indices(SIZE) + 0.5
    x, y = width * (0.5 + 0.3 * np.cos(index / 9)), height * (0.5 + 0.3 * np.sin(index / 9))
    brightness = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2))
    return np.repeat(np.rint(brightness)[:, :, None], 3, axis=2).astype(np.uint8)


def write_video(path: Path, frames: int, *, gop: int = 10, codec: str = "libx264", **options: str) -> Path:
    """Write a video of the spot.

    Args:
        path: its suffix says which container.
        frames: how many.
        gop: a key frame comes every so many.
        codec: of FFmpeg.
        options: of the codec.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": str(gop), **options})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(spot_frame(index), format="bgr24")))
        container.mux(stream.encode())
    return path
