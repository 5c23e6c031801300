"""Landmarks of the faces of one frame on the GPU: the kernels around the network, with all the memory they need.

::

    frame, transforms -> crops -> images -> (the network) -> maps -> decode_landmarks -> landmarks in source px
                         cut                                         decode

A :class:`LandmarkDecoder` is made once for a network. Its methods ``cut`` and ``decode`` put one kernel each on a
stream and do nothing else, so that they can be captured into a CUDA graph for the largest number of faces; how many
of them count comes with the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from heatstream.errors import InputError
from heatstream.kernels.cuda.crops import crop_macros, crop_rotated
from heatstream.kernels.cuda.device import CupyDevice, Device
from heatstream.kernels.cuda.landmarks import decode_landmarks, landmark_macros
from heatstream.kernels.cuda.maps import Array, Kernel

__all__ = ["LandmarkDecoder"]

WORDS = 6  # of a transform


@dataclass(frozen=True, eq=False)
class LandmarkDecoder:
    """Crops and landmarks for one network: compiled kernels and everything they read and write.

    One chain serves one stream at a time. Per frame the caller copies :meth:`request` to :attr:`requested`, calls
    :meth:`cut`, runs the network on :attr:`images`, calls :meth:`decode`, and copies :attr:`found` back for
    :meth:`result`.

    Attributes:
        topk: see :func:`heatstream.kernels.decode_landmarks`.
        stride: input px per map px.
        mean: of x / 255 per channel, RGB.
        std: as mean.
        crop_kernels: by name.
        landmark_kernels: by name.
        requested: (6 capacity + 1,) float32, the transforms and their number, in device memory.
        images: (capacity, 3, height, width) float16 or float32, the network's input.
        found: (3 capacity L,) float32, the landmarks and how high their maps are there, in device memory.
    """

    topk: int
    stride: float
    mean: Sequence[float]
    std: Sequence[float]
    crop_kernels: dict[str, Kernel]
    landmark_kernels: dict[str, Kernel]
    requested: Array
    images: Array
    found: Array

    @classmethod
    def prepare(
        cls,
        *,
        capacity: int,
        num_landmarks: int,
        input_size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        topk: int = 9,
        stride: float = 4.0,
        dtype: DTypeLike = np.float16,
        device: Device | None = None,
    ) -> LandmarkDecoder:
        """Compile the kernels and allocate the memory.

        Args:
            capacity: the network's batch: how many faces of a frame there is room for.
            num_landmarks: L.
            input_size: (height, width) of the network's input in px.
            mean: of x / 255 per channel, RGB.
            std: as mean.
            topk: see :func:`heatstream.kernels.decode_landmarks`.
            stride: input px per map px.
            dtype: of the network's input and of its maps, float16 or float32.
            device: CuPy's current device when left out.

        Raises:
            InputError: there is room for no face.
            KernelError: the kernels do not compile for this GPU.
            MissingExtraError: CuPy or NVRTC is not installed.
        """
        if capacity < 1 or num_landmarks < 1:
            raise InputError(f"there must be room for a face and a landmark, got {capacity} and {num_landmarks}")
        device = device or CupyDevice()
        images = device.empty((capacity, 3, *input_size), dtype)
        return cls(
            topk=topk,
            stride=stride,
            mean=mean,
            std=std,
            crop_kernels=dict(device.kernels("crops", crop_macros(images))),
            landmark_kernels=dict(device.kernels("landmarks", landmark_macros(images))),
            requested=device.upload(np.zeros(WORDS * capacity + 1, np.float32)),
            images=images,
            found=device.empty((3 * capacity * num_landmarks,), np.float32),
        )

    @property
    def capacity(self) -> int:
        """How many faces of a frame there is room for."""
        return int(self.images.shape[0])

    @property
    def num_landmarks(self) -> int:
        """L."""
        return int(self.found.size) // (3 * self.capacity)

    def request(self, transforms: NDArray[np.floating], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """What must be in :attr:`requested` before :meth:`cut` runs.

        Args:
            transforms: (n, 2, 3) from input px to source px, n at most the capacity; see
                :func:`heatstream.kernels.reference.crops.rotated_transforms`.
            out: (6 capacity + 1,) float32, written and returned, for example page-locked memory.

        Raises:
            InputError: there are more transforms than there is room for.
        """
        count = len(transforms)
        if count > self.capacity:
            raise InputError(f"{count} faces are more than the {self.capacity} that there is room for")
        request = np.zeros(WORDS * self.capacity + 1, np.float32) if out is None else out
        request[: WORDS * count] = np.reshape(transforms, -1)
        request[-1:].view(np.int32)[0] = count
        return request

    def cut(self, descriptor: Array, *, stream: Any) -> None:
        """Put the crops of a frame on a stream: writes the requested ones of :attr:`images`.

        Args:
            descriptor: (1, DESCRIPTOR_BYTES) uint8 of the frame in device memory, see
                :func:`heatstream.kernels.cuda.letterbox.describe`; the letterbox's will do.
            stream: CuPy's.

        Raises:
            InputError: the descriptor is none.
        """
        count, images = self.requested[-1:].view(np.int32), self.images
        crop_rotated(self.crop_kernels, descriptor, self._transforms, count, images, self.mean, self.std, stream=stream)

    def decode(self, maps: Array, *, stream: Any) -> None:
        """Put the landmark decoder on a stream: writes :attr:`found`, of requested faces and of others alike.

        Args:
            maps: (capacity, L, H, W) of the network's output, in the type of :attr:`images`.
            stream: CuPy's.

        Raises:
            InputError: the maps have another shape, type or layout.
        """
        if tuple(maps.shape[:2]) != (self.capacity, self.num_landmarks) or maps.dtype != self.images.dtype:
            raise InputError(
                f"this chain was prepared for maps of ({self.capacity}, {self.num_landmarks}, H, W) "
                f"{self.images.dtype}, got {tuple(maps.shape)} {maps.dtype}"
            )
        landmarks = self.capacity * self.num_landmarks
        decode_landmarks(
            self.landmark_kernels,
            maps,
            self.found[: 2 * landmarks].reshape(self.capacity, self.num_landmarks, 2),
            topk=self.topk,
            stride=self.stride,
            to_source=self._transforms,
            peaks=self.found[2 * landmarks :].reshape(self.capacity, self.num_landmarks),
            stream=stream,
        )

    def result(self, found: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The first ``count`` faces' landmarks (n, L, 2) in source px, and (n, L) the largest value of each one's map.

        Args:
            found: :attr:`found`, copied to the host.
            count: how many faces were requested.
        """
        landmarks, peaks = np.split(found, [2 * self.capacity * self.num_landmarks])
        shape = self.capacity, self.num_landmarks
        return landmarks.reshape(*shape, 2)[:count], peaks.reshape(shape)[:count]

    @property
    def _transforms(self) -> Array:
        return self.requested[:-1].reshape(self.capacity, 2, 3)
