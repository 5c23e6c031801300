"""What the decode kernels read and are compiled for: the Python side of ``maps.cuh``.

Nothing here needs CuPy: arrays of any library that tell their address are taken, NumPy's for the emulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heatstream.errors import InputError
from heatstream.kernels.settings import Adjust, DecodeSettings
from heatstream.skeletons import MOST_KEYPOINTS

__all__ = ["MAX_CAPACITY", "TILE", "Array", "DeviceMaps", "Kernel", "check_array", "decode_macros"]

Array = Any  # an array in device memory; CuPy is not imported for its type
MAX_CAPACITY = 32  # a warp's lanes
TILE = 32  # side of the squares into which the kernels cut a map, px
MAX_NMS_KERNEL = 25  # px; a tile and its halo then fit into the 48 KiB of shared memory that every GPU has

_ADJUST_CODES: dict[Adjust, int] = {"none": 0, "quarter": 1, "h3r": 2}
assert set(_ADJUST_CODES) == set(get_args(Adjust))


class Kernel(Protocol):
    """A compiled kernel; CuPy's functions are of this form."""

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, stream: Any) -> Any:
        """Launch on a stream and return at once."""


@dataclass(frozen=True, eq=False)
class DeviceMaps:
    """A batch of maps as the kernels take it.

    Attributes:
        images: B, how many images there are.
        num_joints: K.
        tag_planes: T, tags per pixel.
        size: (height, width) of the working maps, px.
        macros: what of the compilation follows from the maps.
        struct: the kernels' argument ``Maps``.
        arrays: what the argument points at; it must stay alive until the kernels have run.
    """

    images: int
    num_joints: int
    tag_planes: int
    size: tuple[int, int]
    macros: dict[str, int]
    struct: NDArray[np.void]
    arrays: tuple[Array, ...]

    @classmethod
    def plain(cls, heatmaps: Array, tags: Array) -> DeviceMaps:
        """Maps as :func:`heatstream.kernels.decode_poses` takes them.

        Args:
            heatmaps: (B, K, H, W) float16 or float32.
            tags: (B, K, H, W, T) of the same type, T = 1 or 2.

        Raises:
            InputError: the arrays do not belong together, or are not contiguous.
        """
        if heatmaps.ndim != 4 or 0 in heatmaps.shape or tags.ndim != 5 or tags.shape[4] not in (1, 2):
            raise InputError(
                f"the kernels take heatmaps (B, K, H, W) and tags (B, K, H, W, 1 or 2), got {heatmaps.shape} and "
                f"{tags.shape}"
            )
        real = _real_type("heatmaps", heatmaps)
        check_array("heatmaps", heatmaps, heatmaps.shape, real)
        check_array("tags", tags, (*heatmaps.shape, tags.shape[4]), real)
        images, num_joints, height, width = heatmaps.shape
        fields = [("heatmaps", "u8"), ("tags", "u8"), ("height", "i4"), ("width", "i4")]
        struct = np.array((address(heatmaps), address(tags), height, width), np.dtype(fields, align=True))
        macros = _macros(num_joints, real, tags.shape[4], plain=1)
        return cls(images, num_joints, tags.shape[4], (height, width), macros, struct, (heatmaps, tags))

    @classmethod
    def network(
        cls,
        heatmaps: tuple[Array, Array],
        tags: Array,
        *,
        size: tuple[int, int] | None = None,
        flip_indices: Sequence[int] | None = None,
    ) -> DeviceMaps:
        """What the network gave; see :mod:`heatstream.kernels.reference.aggregate`.

        Args:
            heatmaps: (N, K, h, w) at 1/4 and (N, K, 2h, 2w) at 1/2 of the input, float16 or float32.
            tags: (N, K, h, w).
            size: (height, width) of the input, to project to; half of that when left out.
            flip_indices: each joint's left/right partner in a flip test, where image 2b is plain and 2b + 1 its
                mirror image; N is then twice the number of images.

        Raises:
            InputError: the arrays do not belong together, or are not contiguous.
        """
        quarter, half = heatmaps
        views = 1 if flip_indices is None else 2
        runs, num_joints, small_height, small_width = quarter.shape
        real = _real_type("heatmaps", quarter)
        check_array("heatmaps at 1/4", quarter, quarter.shape, real)
        check_array("heatmaps at 1/2", half, (runs, num_joints, 2 * small_height, 2 * small_width), real)
        check_array("tags", tags, quarter.shape, real)
        if runs % views or 0 in quarter.shape:
            raise InputError(f"a flip test takes images in pairs, and maps hold pixels, got {quarter.shape}")
        if size not in (None, (4 * small_height, 4 * small_width)):
            raise InputError(f"maps at 1/2 of {half.shape[2:]} px are projected to twice that, not to {size}")
        height, width = size or half.shape[2:]
        struct = np.zeros((), _network_type(num_joints))
        struct["quarter"], struct["half"], struct["tags"] = map(address, (quarter, half, tags))
        struct["quarter_height"], struct["quarter_width"] = small_height, small_width
        struct["height"], struct["width"] = height, width
        struct["partner"] = range(num_joints) if flip_indices is None else flip_indices
        macros = _macros(num_joints, real, views, project=int(size is not None), flip=views - 1)
        return cls(runs // views, num_joints, views, (height, width), macros, struct, (quarter, half, tags))

    @property
    def tiles(self) -> int:
        """How many tiles a map is cut into."""
        return -(-self.size[0] // TILE) * -(-self.size[1] // TILE)


def decode_macros(maps: DeviceMaps, settings: DecodeSettings) -> dict[str, int]:
    """What peaks, grouping, refine and pack are compiled for.

    Raises:
        InputError: the settings ask for more than the kernels hold.
    """
    if settings.max_people > MAX_CAPACITY:
        raise InputError(
            f"the CUDA decode holds at most {MAX_CAPACITY} people per joint, got max_people = {settings.max_people}; "
            "hand the maps over as NumPy arrays"
        )
    if settings.nms_kernel > MAX_NMS_KERNEL:
        raise InputError(
            f"the CUDA decode suppresses within at most {MAX_NMS_KERNEL} px, got nms_kernel = {settings.nms_kernel}; "
            "hand the maps over as NumPy arrays"
        )
    return {
        **maps.macros,
        "CAPACITY": settings.max_people,
        "NMS_RADIUS": settings.nms_kernel // 2,
        "FIRST_OF_EQUALS": int(settings.plateaus == "first"),
        "ADJUST": _ADJUST_CODES[settings.adjust],
    }


def check_array(name: str, array: Array, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Refuse an array that a kernel would misread.

    Raises:
        InputError: it has another shape or type, or holes.
    """
    if tuple(array.shape) != tuple(shape) or array.dtype != dtype or not array.flags.c_contiguous:
        layout = "" if array.flags.c_contiguous else ", not contiguous"
        raise InputError(
            f"{name} must be a contiguous {tuple(shape)} {np.dtype(dtype)}, "
            f"got {tuple(array.shape)} {array.dtype}{layout}"
        )


def address(array: Array) -> int:
    """Where the array's first element lies, in the memory of its device."""
    interface = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    place: int = interface["data"][0]
    return place


def _real_type(name: str, array: Array) -> np.dtype[Any]:
    if array.dtype not in (np.float16, np.float32):
        raise InputError(f"{name} must be float16 or float32, got {array.dtype}")
    real: np.dtype[Any] = np.dtype(array.dtype)
    return real


def _macros(
    num_joints: int,
    real: np.dtype[Any],
    tag_planes: int,
    *,
    plain: int = 0,
    project: int = 0,
    flip: int = 0,
) -> dict[str, int]:
    if num_joints > MOST_KEYPOINTS:
        raise InputError(
            f"the CUDA decode holds at most {MOST_KEYPOINTS} keypoints, got {num_joints}; hand the maps over as NumPy "
            "arrays"
        )
    return {
        "NUM_JOINTS": num_joints,
        "HALF_MAPS": int(real == np.float16),
        "TAG_PLANES": tag_planes,
        "PLAIN": plain,
        "PROJECT": project,
        "FLIP": flip,
    }


def _network_type(num_joints: int) -> np.dtype[np.void]:
    """The layout of ``Maps`` where the maps are the network's."""
    fields = [
        *((name, "u8") for name in ("quarter", "half", "tags")),
        *((name, "i4") for name in ("quarter_height", "quarter_width", "height", "width")),
        ("partner", "u1", (num_joints,)),
    ]
    return np.dtype(fields, align=True)
