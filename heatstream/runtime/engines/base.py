"""What the pipelines ask of an engine: a network that is ready to run on some device.

On a GPU that is a network made ready on a stream, with inputs and outputs on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import InputError
from heatstream.kernels.cuda.maps import Array
from heatstream.model_info import FREE_SIZE_MULTIPLE, ModelInfo

__all__ = ["LARGEST_BATCH", "Engine", "GpuEngine", "GpuRun", "check_images", "map_shapes"]


LARGEST_BATCH = 8
"""Frames that go through a network together, at most: beyond that memory grows and nothing is gained."""


class Engine(Protocol):
    """A network on a device. Any number of threads may run it; :meth:`close` is for one, when the others are done.

    :class:`heatstream.runtime.engines.onnx_engine.OnnxEngine` is the one for CPUs,
    :class:`heatstream.runtime.engines.tensorrt_engine.TensorRTEngine` the one for GPUs, and
    :class:`TorchEngine` the one for networks in training and GPUs without TensorRT.
    Those of GPUs are :class:`GpuEngine` as well.
    """

    @property
    def info(self) -> ModelInfo:
        """What the model file says of itself."""
        ...

    @property
    def name(self) -> str:
        """The library and the device, for people: ``"ONNX Runtime, CPU, 4 threads"``."""
        ...

    @property
    def parallel_runs(self) -> int:
        """How many calls of :meth:`run` may overlap, from different threads, and gain by it; 1 if none may."""
        ...

    def for_throughput(self) -> Engine:
        """The same network for that many overlapping calls: most frames per second rather than least latency.

        It may be this engine itself, and is closed with it.
        """
        ...

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network and wait for the result.

        Args:
            images: (B, 3, height, width) float32, RGB, normalised as :attr:`info` says.

        Returns:
            The maps by name, (B, K, height / stride, width / stride) float32; the caller's own memory.

        Raises:
            InputError: the images have a shape that this network does not take.
            EngineError: the device failed.
        """
        ...

    def close(self) -> None:
        """Give the network's memory back. Closing twice is harmless; running afterwards raises EngineError."""
        ...


class GpuRun(Protocol):
    """A network with everything that it needs to run on one stream: nothing is allocated after the first run."""

    @property
    def images(self) -> Array:
        """(N, 3, height, width) float32 in device memory, RGB, normalised; written by the caller before each run."""
        ...

    @property
    def outputs(self) -> Mapping[str, Array]:
        """The maps by name, (N, K, height / stride, width / stride) float32 in device memory; written by runs."""
        ...

    def enqueue(self) -> None:
        """Put a run on the stream and return at once; may be captured into a graph after the first time.

        Raises:
            EngineError: the library refuses.
        """
        ...

    def refusal(self) -> str:
        """Why a run cannot be captured into a graph; empty where nothing is known against it."""
        ...


class GpuEngine(Engine, Protocol):
    """A network on a GPU.

    :class:`heatstream.runtime.engines.tensorrt_engine.TensorRTEngine` and
    :class:`heatstream.runtime.engines.torch_engine.TorchEngine` are such.
    """

    @property
    def largest_batch(self) -> int:
        """How many images it takes in one run to gain by it; 1 where several would run one after the other."""
        ...

    def ready(self, size: tuple[int, int], images: int, stream: Any) -> GpuRun:
        """Make the network ready; takes milliseconds to minutes, because an engine may have to be built.

        Args:
            size: (height, width) of the images, px.
            images: how many there are in every run.
            stream: CuPy's, on which it will run.

        Raises:
            InputError: the network does not take images of this size.
            EngineError: the device failed, or an engine could not be built.
        """
        ...


def map_shapes(info: ModelInfo, size: tuple[int, int], images: int) -> dict[str, tuple[int, int, int, int]]:
    """The shapes of a network's outputs by name, for so many images of (height, width) px."""
    return {
        name: (images, info.num_keypoints, size[0] // stride, size[1] // stride)
        for name, stride in info.outputs.items()
    }


def check_images(images: NDArray[np.float32], info: ModelInfo, name: str) -> None:
    """Check what an engine was given against what its network takes.

    Args:
        images: what it was given.
        info: of the network.
        name: what the network is called in the message, for example the name of its file.

    Raises:
        InputError: the images have another shape or dtype.
    """
    if info.any_size:
        fits = images.ndim == 4 and all(side and side % FREE_SIZE_MULTIPLE == 0 for side in images.shape[2:])
        expected = f"(B, 3, H, W), H and W multiples of {FREE_SIZE_MULTIPLE}"
    else:
        fits = images.shape[2:] == tuple(info.input_size)
        expected = f"(B, 3, {info.input_size[0]}, {info.input_size[1]})"
    if not fits or images.shape[1] != 3 or info.batch not in (None, len(images)):
        raise InputError(f"{name} takes images of shape {expected}, got {images.shape}")
    if images.dtype != np.float32:
        raise InputError(f"{name} takes float32 images, got {images.dtype}")
