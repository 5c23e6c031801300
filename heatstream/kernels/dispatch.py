"""One door for both forms of a step: NumPy arrays go to the reference, CuPy arrays to the CUDA kernels.

The reference modules (:mod:`heatstream.kernels.reference`) know nothing of CUDA; the launchers
(:mod:`heatstream.kernels.cuda`) are imported when the first CuPy array arrives.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.geometry import Geometry
from heatstream.kernels.reference import crops, decode, landmarks
from heatstream.kernels.reference import letterbox as letterbox_reference
from heatstream.kernels.settings import DecodeSettings
from heatstream.results import Poses

__all__ = ["crop_rotated", "decode_landmarks", "decode_poses", "letterbox"]


def decode_poses(
    heatmaps: NDArray[np.float32], tags: NDArray[np.float32], settings: DecodeSettings | None = None
) -> list[Poses]:
    """Find the people in a batch of maps, as :func:`heatstream.kernels.reference.decode.decode_poses` specifies it.

    CuPy arrays are decoded on the current stream, and the call waits for the result. It is the reference's up to the
    rounding of sub-pixel positions.

    Args:
        heatmaps: (B, K, H, W) float32, one map per joint, 1 at a certain joint; CuPy's may be float16.
        tags: (B, K, H, W, T) of the same type, T = 1, or 2 with the tags of the mirrored image.
        settings: how to decode; the official defaults when left out.

    Returns:
        B results, coordinates in map px, people in the order in which the grouping started them.

    Raises:
        InputError: the arrays' shapes disagree, only one is CuPy's, no skeleton has K keypoints, or the settings ask
            for more than the CUDA kernels hold.
    """
    if not (_is_cupy(heatmaps) or _is_cupy(tags)):
        return decode.decode_poses(heatmaps, tags, settings)
    from heatstream.kernels.cuda.pose_decoder import decode_on_gpu

    settings = settings or DecodeSettings()
    return decode_on_gpu(heatmaps, tags, settings, decode.check_maps(heatmaps, tags, settings))


def decode_landmarks(
    maps: NDArray[np.floating],
    topk: int = 9,
    stride: float = 4.0,
    *,
    to_source: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Landmarks of maps, as :func:`heatstream.kernels.reference.landmarks.decode_landmarks` specifies it.

    CuPy arrays are decoded on the current stream and give a CuPy array; the call does not wait. The result is the
    reference's up to rounding.

    Args:
        maps: (N, L, H, W) float16 or float32, unnormalised scores.
        topk: how many activations take part, 1 to 32.
        stride: input px per map px.
        to_source: (N, 2, 3) transforms from input px to source px; with maps of CuPy's, NumPy's or CuPy's.

    Returns:
        (N, L, 2) float32, (x, y) in input px, or source px with ``to_source``; NaN where a map is not finite.

    Raises:
        InputError: the arrays' shapes disagree, or a map has fewer than ``topk`` pixels.
    """
    if not _is_cupy(maps):
        return landmarks.decode_landmarks(maps, topk, stride, to_source=to_source)
    from heatstream.kernels.cuda.landmarks import landmarks_on_gpu

    landmarks.check_landmarks(maps, topk, to_source)
    positions: NDArray[np.float32] = landmarks_on_gpu(maps, topk, stride, to_source)
    return positions


def letterbox(
    frame: NDArray[np.uint8],
    geometry: Geometry,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Warp a frame into the network's input and normalise it, as :mod:`heatstream.kernels.reference.letterbox` does.

    A frame of CuPy's is warped on the current stream and gives a CuPy array; the call does not wait. The grey levels
    are the reference's where OpenCV computes as the kernel does: see ``letterbox.cu``.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides.
        geometry: where the frame lands.
        mean: of R, G, B, where 1 is full brightness.
        std: of R, G, B, in the same unit.

    Returns:
        (1, 3, height, width) float32, RGB, ``(value / 255 - mean) / std``; new memory.

    Raises:
        InputError: a frame of CuPy's has another shape or type.
    """
    if not _is_cupy(frame):
        return letterbox_reference.letterbox(frame, geometry, mean, std)
    from heatstream.kernels.cuda.letterbox import letterbox_on_gpu

    images: NDArray[np.float32] = letterbox_on_gpu(frame, geometry, mean, std)
    return images


def crop_rotated(
    frame: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    input_size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
) -> NDArray[np.float32]:
    """Cut crops out of a frame, as :func:`heatstream.kernels.reference.crops.crop_rotated` specifies it.

    A frame of CuPy's is cut on the current stream and gives a CuPy array; the call does not wait. The result is the
    reference's up to rounding.

    Args:
        frame: (H, W, 3) uint8, BGR, any strides.
        transforms: (N, 2, 3), from input px to source px; with a frame of CuPy's, NumPy's or CuPy's.
        input_size: (height, width) in px.
        mean: of x / 255 per channel, RGB.
        std: of x / 255 per channel, RGB.

    Returns:
        (N, 3, height, width) float32, RGB, (x / 255 - mean) / std.

    Raises:
        InputError: the frame is not (H, W, 3) uint8, or the transforms not (N, 2, 3) and, NumPy's, finite.
    """
    if not _is_cupy(frame):
        return crops.crop_rotated(frame, transforms, input_size, mean, std)
    from heatstream.kernels.cuda.crops import crops_on_gpu

    crops.check_crops(frame, transforms)
    images: NDArray[np.float32] = crops_on_gpu(frame, transforms, input_size, mean, std)
    return images


def _is_cupy(array: Any) -> bool:
    """Whether this is CuPy's array; whoever holds one has imported CuPy."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)
