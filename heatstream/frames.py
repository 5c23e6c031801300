"""What a frame is: (H, W, 3) uint8, BGR, as OpenCV reads one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["MOST_PIXELS", "MOST_SIDE", "check_frame", "size_trouble"]

MOST_PIXELS = 2**27
"""Of a picture or frame: 134 million, 403 MB of BGR. A phone's 108 million fit; a hostile 30000x30000 does not."""

MOST_SIDE = 32766
"""Of a picture or frame, in px: the warp of OpenCV 4 addresses pixels with 16 bits."""


def check_frame(frame: object) -> NDArray[np.uint8]:
    """The frame itself, once it is known to be one.

    Args:
        frame: should be a NumPy array (H, W, 3) uint8, of any strides.

    Raises:
        InputError: it is something else, it is empty, or it is larger than :data:`MOST_PIXELS`.
    """
    if frame is None:
        raise InputError("a frame must be a NumPy array, got None, which cv2.imread gives for a file it cannot read")
    if not isinstance(frame, np.ndarray):
        raise InputError(f"a frame must be a NumPy array (H, W, 3) uint8, got {type(frame).__name__}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
    if frame.size == 0:
        raise InputError(f"a frame must hold pixels, got {frame.shape}")
    if trouble := size_trouble(frame.shape[0], frame.shape[1]):
        raise InputError(f"the frame {trouble}")
    return frame


def size_trouble(height: int, width: int) -> str:
    """Why a picture or frame of this size in px is refused, as it reads behind its name; empty where it is not."""
    if height * width > MOST_PIXELS or max(height, width) > MOST_SIDE:
        return (
            f"is {width}x{height} px, and at most {MOST_PIXELS:,} px and sides of {MOST_SIDE:,} px are taken: "
            "make it smaller"
        )
    return "" if height > 0 < width else "holds no pixels: save it again"
