"""What a frame is: (H, W, 3) uint8, BGR, as OpenCV reads one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["DLPACK_ON_GPU", "MOST_PIXELS", "MOST_SIDE", "check_frame", "lies_on_gpu", "size_trouble"]

DLPACK_ON_GPU = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h

MOST_PIXELS = 2**27
"""Of a picture or frame: 134 million, 403 MB of BGR. A phone's 108 million fit; a hostile 30000x30000 does not."""

MOST_SIDE = 32766
"""Of a picture or frame, in px: the warp of OpenCV 4 addresses pixels with 16 bits."""


def check_frame(frame: object) -> NDArray[np.uint8]:
    """The frame itself, once it is known to be one; nothing is converted, and what would have to be is named.

    Args:
        frame: should be a NumPy array (H, W, 3) uint8, of any strides, or the same in the host's memory of a library
            that exports it by DLPack, such as a torch tensor.

    Raises:
        InputError: it is something else, it is empty, or it is larger than :data:`MOST_PIXELS`.
    """
    if frame is None:
        raise InputError("a frame must be a NumPy array, got None, which cv2.imread gives for a file it cannot read")
    if not isinstance(frame, np.ndarray):
        frame = _exported(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        remedy = _conversion(frame)
        raise InputError(
            f"a frame must be (H, W, 3) uint8 BGR, got {frame.shape} {frame.dtype}" + (f": {remedy}" if remedy else "")
        )
    if frame.size == 0:
        raise InputError(f"a frame must hold pixels, got {frame.shape}")
    if trouble := size_trouble(frame.shape[0], frame.shape[1]):
        raise InputError(f"the frame {trouble}")
    return frame


def lies_on_gpu(frame: object) -> bool:
    """Whether a frame, of whatever library, is in a GPU's memory."""
    if hasattr(frame, "__dlpack_device__") and not isinstance(frame, np.ndarray):
        return frame.__dlpack_device__()[0] in DLPACK_ON_GPU
    return hasattr(frame, "__cuda_array_interface__")


def _exported(frame: object) -> NDArray[Any]:
    """What another library's array holds, without a copy."""
    name = type(frame).__name__
    if isinstance(frame, (list, tuple)):
        raise InputError(
            f"a frame must be one NumPy array (H, W, 3) uint8, got a {name} of {len(frame)}: pipeline.batch(frames) "
            "takes several"
        )
    if lies_on_gpu(frame):
        raise InputError(
            f"the frame, a {name}, lies on a GPU and is looked at on the CPU: load the model with device='cuda', or "
            "hand over frame.cpu() of torch, cupy.asnumpy(frame) of CuPy"
        )
    if hasattr(frame, "__dlpack__"):
        try:
            array: NDArray[Any] = np.from_dlpack(frame)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"the memory of a frame of type {name} cannot be taken: {reason}") from error
        return array
    if hasattr(frame, "convert") and hasattr(frame, "mode"):  # Pillow's
        raise InputError(
            f"a frame must be a NumPy array (H, W, 3) uint8 BGR, got a picture of Pillow ({name}): "
            "np.asarray(picture.convert('RGB'))[:, :, ::-1] is one"
        )
    raise InputError(f"a frame must be a NumPy array (H, W, 3) uint8, got {name}")


def _conversion(array: NDArray[Any]) -> str:
    """What would make a frame of it; empty where nobody can know."""
    shape = array.shape
    if array.ndim == 4:
        return "pipeline.batch(list(frames)) takes several"
    if array.dtype != np.uint8 and np.issubdtype(array.dtype, np.floating):
        return "of values from 0 to 1, (255 * frame).round().astype(np.uint8) is one"
    if array.dtype == np.uint16:
        return "(frame // 256).astype(np.uint8) has the bits that count"
    if array.dtype != np.uint8:
        return ""
    if array.ndim == 2 or (array.ndim == 3 and shape[2] == 1):
        return "of grey, cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) is one"
    if array.ndim == 3 and shape[2] == 4:
        return "of BGRA, frame[:, :, :3] is one; of RGBA, cv2.cvtColor(frame, cv2.COLOR_RGBA2BGR)"
    if array.ndim == 3 and shape[0] == 3:
        return "of channels first, frame.transpose(1, 2, 0) is one, if they are in the order BGR"
    return ""


def size_trouble(height: int, width: int) -> str:
    """Why a picture or frame of this size in px is refused, as it reads behind its name; empty where it is not."""
    if height * width > MOST_PIXELS or max(height, width) > MOST_SIDE:
        return (
            f"is {width}x{height} px, and at most {MOST_PIXELS:,} px and sides of {MOST_SIDE:,} px are taken: "
            "make it smaller"
        )
    return "" if height > 0 < width else "holds no pixels: save it again"
