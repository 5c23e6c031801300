"""What a frame is: (H, W, 3) uint8, BGR, as OpenCV reads one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["check_frame"]


def check_frame(frame: object) -> NDArray[np.uint8]:
    """The frame itself, once it is known to be one.

    Args:
        frame: should be a NumPy array (H, W, 3) uint8, of any strides.

    Raises:
        InputError: it is something else, or it is empty.
    """
    if frame is None:
        raise InputError("a frame must be a NumPy array, got None, which cv2.imread gives for a file it cannot read")
    if not isinstance(frame, np.ndarray):
        raise InputError(f"a frame must be a NumPy array (H, W, 3) uint8, got {type(frame).__name__}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}")
    if frame.size == 0:
        raise InputError(f"a frame must hold pixels, got {frame.shape}")
    return frame
