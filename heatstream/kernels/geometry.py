"""Where the pixels of a frame land in the network's input, and keypoints back again.

All of it is similarity transforms without rotation: one factor for both axes and a shift. Pixel coordinates are
continuous, with pixel centres at +0.5: a transform maps (x, y) to ``factor * (x, y) + shift``. The image warp counts
pixel centres as whole numbers. The reference programs hand it the transform as it is, so the picture lies
``(1 / factor - 1) / 2`` source px off, which is 3.7 px at 3840x2160 for a short side of 256 px. Networks that were
trained with that expect it; ours are fed without it. A model file says which: :data:`Convention`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError

__all__ = ["Convention", "Geometry", "similarity"]

Convention = Literal["official", "exact"]
"""How the warp takes a transform: as the reference programs do, or with pixel centres where they are."""

LONGEST_ASPECT = 16
"""Of an input: a thinner frame is fitted into one of this aspect, so that no frame asks for unbounded memory."""

# The network halves its input five times and is fed multiples of twice that, as the reference does.
MULTIPLE = 64


def similarity(
    center: tuple[float, float],
    source_width: float,
    target_size: tuple[int, int],
    *,
    rotation: float = 0.0,
    inverse: bool = False,
) -> NDArray[np.float64]:
    """(2, 3) float64 transform that takes ``center`` to the middle of the target and ``source_width`` to its width.

    Args:
        center: (x, y) in source px.
        source_width: how many source px the target's width covers.
        target_size: (height, width) in px.
        rotation: degrees; positive turns the picture's content counter-clockwise on the screen.
        inverse: give the transform from target to source instead.

    Raises:
        InputError: the width is not positive.
    """
    if not source_width > 0 or target_size[1] <= 0:
        raise InputError(f"a transform needs positive widths, got {source_width} source px to {target_size[1]} px")
    height, width = target_size
    factor = width / source_width
    angle = np.deg2rad(rotation)
    linear = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([width * 0.5, height * 0.5])
    if inverse:
        linear = linear.T / factor**2
        return np.column_stack([linear, np.asarray(center) - linear @ middle])
    return np.column_stack([linear, middle - linear @ np.asarray(center)])


@dataclass(frozen=True)
class Geometry:
    """The way of one frame into the network's input.

    Attributes:
        input_size: (height, width) of the network's input in px.
        center: (x, y) in source px that lands in the middle of the input.
        source_width: how many source px the input's width covers.
        convention: how the frame is warped.
    """

    input_size: tuple[int, int]
    center: tuple[float, float]
    source_width: float
    convention: Convention = "official"

    @classmethod
    def reference(
        cls,
        frame_size: tuple[int, int],
        short_side: int,
        *,
        scale: float = 1.0,
        smallest_scale: float = 1.0,
        convention: Convention = "official",
    ) -> Geometry:
        """The official geometry: the aspect is kept and the long side is rounded up to a multiple of 64.

        The short side becomes ``short_side`` (rounded up to a multiple of 64 at the smallest scale of a
        multi-scale test, then scaled), and the picture fills it; what the long side gains by rounding is border. A
        frame thinner than :data:`LONGEST_ASPECT` lies whole in the middle of an input of that aspect.

        Args:
            frame_size: (height, width) of the frame in source px.
            short_side: the network's base size in px.
            scale: this pass's factor in a multi-scale test.
            smallest_scale: the smallest factor of that test.
            convention: how the frame is warped.

        Raises:
            InputError: an empty frame or a size that is not positive.
        """
        height, width = frame_size
        if min(height, width, short_side) <= 0:
            raise InputError(f"a frame of {width}x{height} px cannot be brought to a short side of {short_side}")
        factor = scale / smallest_scale

        def rounded(pixels: float) -> int:
            return int((pixels + MULTIPLE - 1) // MULTIPLE * MULTIPLE)

        base = rounded(smallest_scale * short_side)
        short, long = min(height, width), max(height, width)
        short_input = int(base * factor)
        if long > LONGEST_ASPECT * short:
            long_input = LONGEST_ASPECT * short_input
            size = (short_input, long_input) if height <= width else (long_input, short_input)
            return cls.fit(frame_size, size, convention=convention)
        long_input = int(rounded(base / short * long) * factor)
        center = (float(int(width / 2 + 0.5)), float(int(height / 2 + 0.5)))
        if width < height:
            return cls((long_input, short_input), center, float(width), convention)
        # The transform is fixed by the widths; the short side is the height here.
        return cls((short_input, long_input), center, long_input * height / short_input, convention)

    @classmethod
    def fit(
        cls, frame_size: tuple[int, int], input_size: tuple[int, int], *, convention: Convention = "official"
    ) -> Geometry:
        """The whole frame, aspect kept, in the middle of an input of fixed size (height, width).

        Raises:
            InputError: an empty frame or input.
        """
        height, width = frame_size
        if min(*frame_size, *input_size) <= 0:
            raise InputError(f"a frame of {width}x{height} px cannot be brought to {input_size[1]}x{input_size[0]}")
        factor = min(input_size[0] / height, input_size[1] / width)
        return cls(input_size, (width / 2, height / 2), input_size[1] / factor, convention)

    @property
    def forward(self) -> NDArray[np.float64]:
        """(2, 3) float64: source px to input px."""
        return similarity(self.center, self.source_width, self.input_size)

    @property
    def warp(self) -> NDArray[np.float64]:
        """(2, 3) float64: source px to input px as an image warp takes it, which counts pixel centres as integers."""
        matrix = self.forward
        if self.convention == "exact":
            matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        return matrix

    def inverse(self, map_size: tuple[int, int]) -> NDArray[np.float64]:
        """(2, 3) float64: px of a map of (height, width) that covers the input, to source px."""
        return similarity(self.center, self.source_width, map_size, inverse=True)

    def to_source(self, keypoints: NDArray[np.float32], map_size: tuple[int, int]) -> NDArray[np.float32]:
        """Keypoints in map px to source px.

        Args:
            keypoints: (..., 2) float32, (x, y).
            map_size: (height, width) of the map they were found in.
        """
        transform = self.inverse(map_size)
        moved = np.asarray(keypoints, np.float64) @ transform[:, :2].T + transform[:, 2]
        result: NDArray[np.float32] = moved.astype(np.float32)
        return result
