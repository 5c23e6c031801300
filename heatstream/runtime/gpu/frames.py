"""Frames that are on the GPU already, of whatever library, taken as CuPy arrays without a copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heatstream.errors import InputError
from heatstream.frames import DLPACK_ON_GPU
from heatstream.kernels.cuda.maps import Array
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["device_frame"]


def device_frame(frame: Any, cuda: CudaDevice, stream: Any, arrived: Any) -> Array:
    """A frame in device memory; our stream waits for whoever is still writing it.

    That is whoever works on CuPy's current stream, on the stream that DLPack's exchange tells, or on the default one.

    Args:
        frame: a CuPy array, a torch tensor, a PyCUDA GPUArray, or anything with ``__dlpack__`` or
            ``__cuda_array_interface__``: (H, W, 3) uint8 BGR, rows of any stride. It must stay as it is until the frame
            has been looked at.
        cuda: the GPU.
        stream: on which it will be read.
        arrived: an event of our own for the wait.

    Returns:
        The same memory.

    Raises:
        InputError: it lies elsewhere, or is no frame.
    """
    cupy = cuda.cupy
    if isinstance(frame, cupy.ndarray):
        array = frame
    elif hasattr(frame, "__dlpack_device__"):
        if frame.__dlpack_device__()[0] not in DLPACK_ON_GPU:
            raise InputError(
                f"a frame of type {type(frame).__name__} in the host's memory must be handed over as a NumPy array"
            )
        array = _taken(frame, cupy.from_dlpack)
    elif hasattr(frame, "__cuda_array_interface__"):
        array = _taken(frame, cupy.asarray)
    else:
        raise InputError(
            f"a frame must be a NumPy array or lie on {cuda.title} ({type(frame).__name__} has neither __dlpack__ nor "
            "__cuda_array_interface__)"
        )
    if array.device.id != cuda.index:
        raise InputError(f"the frame lies on cuda:{array.device.id}, and this pipeline runs on {cuda.title}")
    if array.ndim != 3:
        raise InputError(f"a frame must be (H, W, 3) uint8 BGR, got {array.shape} {array.dtype}")
    arrived.record(cupy.cuda.get_current_stream())
    stream.wait_event(arrived)
    return array


def _taken(frame: Any, take: Callable[[Any], Array]) -> Array:
    """As a CuPy array; what a library does not export, such as a tensor that requires gradients, is no frame."""
    try:
        return take(frame)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the memory of a frame of type {type(frame).__name__} cannot be taken: {reason}") from error
