"""What the GPU pipeline asks of an engine: the network made ready on a stream, inputs and outputs on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from heatstream.kernels.cuda.maps import Array
from heatstream.model_info import ModelInfo
from heatstream.runtime.engines.base import Engine, check_images
from heatstream.runtime.gpu.device import CudaDevice

__all__ = ["GpuEngine", "GpuRun", "HostInference", "map_shapes"]


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


class HostInference:
    """:meth:`run` upon a GPU engine: NumPy's arrays in and out, one run at a time.

    Args:
        cuda: the GPU.
        ready: the engine's.
        name: what the network is called in messages.
    """

    def __init__(self, cuda: CudaDevice, ready: Callable[[tuple[int, int], int, Any], GpuRun], name: str) -> None:
        self._cuda = cuda
        self._ready = ready
        self._name = name
        self._lock = Lock()
        self._stream: Any | None = None
        self._latest: tuple[tuple[int, int], GpuRun] | None = None

    def run(self, images: NDArray[np.float32], info: ModelInfo, batch: int) -> dict[str, NDArray[np.float32]]:
        """Run the network and wait for the result; memory for the latest size is kept.

        Args:
            images: (B, 3, height, width) float32.
            info: of the network.
            batch: how many images go into every run; where there are fewer, black ones fill it up.

        Raises:
            InputError: the images have a shape that this network does not take.
            EngineError: the device failed.
        """
        check_images(images, info, info.name)
        count, channels, height, width = images.shape
        shapes = map_shapes(info, (height, width), count)
        maps = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        full = np.zeros((batch, channels, height, width), np.float32)
        with self._lock, self._cuda.current(), self._cuda.errors(f"running {self._name}"):
            stream = self._stream = self._stream or self._cuda.stream()
            if self._latest is None or self._latest[0] != (height, width):
                self._latest = None  # its memory is free before more is asked for
                self._latest = (height, width), self._ready((height, width), batch, stream)
            run = self._latest[1]
            for first in range(0, count, batch):
                part = images[first : first + batch]
                full[: len(part)] = part
                run.images.set(full, stream=stream)
                run.enqueue()
                found = {name: output.get(stream=stream) for name, output in run.outputs.items()}
                stream.synchronize()
                for name, values in found.items():
                    maps[name][first : first + batch] = values[: len(part)]
        return maps

    def close(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._latest = self._stream = None
