"""TensorRT and TensorRT-RTX on a GPU: a plan that was checked, deserialised, and run on whatever stream it is given.

Scratch memory, inputs and outputs are CuPy's and asked for when a run is made ready, so that running allocates nothing.
What the library says against us becomes the text of our errors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.trt.compile import toolkit_logger
from heatstream.engine_builder.trt.plan_file import Plan
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import EngineError, InputError, SinkError
from heatstream.files import replacing
from heatstream.kernels.cuda.maps import Array
from heatstream.model_info import INPUT_CHANNELS, INPUT_NAME, ModelInfo
from heatstream.runtime.engines.base import GpuRun, check_images, map_shapes
from heatstream.runtime.gpu.device import CudaDevice
from heatstream.runtime.gpu.graphs import preparing

__all__ = ["TensorRTEngine"]

DIGEST_BYTES = 32  # SHA-256, in front of kept kernels


class TensorRTEngine:
    """An engine on a GPU.

    Args:
        plan: of :func:`heatstream.engine_builder.trt.plan_file.load_plan`, which has checked its SHA-256.
        toolkit: what runs it.
        cuda: the GPU.

    Raises:
        EngineError: the toolkit does not take the plan, or what is in it is not what its sidecar says.
    """

    def __init__(self, plan: Plan, toolkit: Toolkit, cuda: CudaDevice) -> None:
        self._toolkit = toolkit
        self._cuda = cuda
        self._path = plan.path
        self._record = plan.record
        self._said = toolkit_logger(toolkit.module)
        with preparing, cuda.current(), cuda.errors(f"loading {plan.path}"):
            heard = len(self._said.errors)
            self._runtime: Any | None = toolkit.module.Runtime(self._said)
            self._engine: Any | None = self._runtime.deserialize_cuda_engine(plan.data)
        if self._engine is None:
            reason = _reason(self._said, heard)
            raise EngineError(
                f"{toolkit.title} does not take the engine {plan.path} on {cuda.title} ({reason}): build it again, or "
                "update the driver"
            )
        self._check_ports()
        self._host = _HostInference(cuda, self.ready, str(plan.path))

    @property
    def info(self) -> ModelInfo:
        """How the engine is fed and read."""
        return self._record.model

    @property
    def name(self) -> str:
        """The library and the device, for people: ``"TensorRT 10.3.0, cuda:0 (Orin), fp16"``."""
        return f"{self._toolkit.title}, {self._cuda.title}, {self._record.spec.precision}"

    @property
    def parallel_runs(self) -> int:
        """Two: one frame is copied while another is in the network."""
        return 2

    @property
    def largest_batch(self) -> int:
        """What it was built for."""
        return self._record.spec.batch

    def for_throughput(self) -> TensorRTEngine:
        """This engine itself: every stream has a context of its own."""
        return self

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see :meth:`run`. Any number of threads may call it."""
        return self._host.run(images, self.info, self._record.spec.batch)

    def ready(self, size: tuple[int, int], images: int, stream: Any) -> TensorRTRun:
        """See :meth:`ready`; several images run one by one where the engine
        takes one at a time."""
        if size != self.info.input_size:
            height, width = self.info.input_size
            raise InputError(f"the engine {self._path} takes images of {height}x{width} px, not {size[0]}x{size[1]}")
        most = self._record.spec.batch
        if images > most > 1:
            raise InputError(f"the engine {self._path} takes 1 to {most} images per run, not {images}")
        with preparing, self._cuda.current(), self._cuda.errors(f"making {self._path} ready"):
            if self._engine is None:
                raise EngineError(f"the engine {self._path} is closed: load it again")
            heard = len(self._said.errors)
            kept = self._path.with_suffix(f".{self._cuda.gpu.target}.kernels")
            context, cache = self._toolkit.create_context(self._engine, _read_kernels(kept))
            if context is None:
                raise EngineError(
                    f"{self._toolkit.title} could not make the engine {self._path} ready on {self._cuda.title} "
                    f"({_reason(self._said, heard)})"
                )
            return TensorRTRun(
                self._toolkit,
                self._cuda,
                self.info,
                context,
                None if cache is None else _KernelCache(cache, kept),
                images=images,
                stream=stream,
                title=f"{self.name} failed on {self._path}",
            )

    def close(self) -> None:
        """Give the memory back, once nobody holds a run any more."""
        self._host.close()
        with preparing:
            self._engine = self._runtime = None

    def _check_ports(self) -> None:
        """The plan and its sidecar must agree on what goes in and comes out."""
        engine, trt = self._engine, self._toolkit.module
        assert engine is not None
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: tuple(engine.get_tensor_shape(name)) for name in names}
        if found != dict(self._record.shapes):
            raise EngineError(
                f"the engine {self._path} has {found}, its sidecar says {dict(self._record.shapes)}: build it again"
            )
        for name in names:
            if engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                raise EngineError(f"{name} of the engine {self._path} is not float32: build it again")


class TensorRTRun:
    """An engine with a context, memory and a stream of its own; made by :meth:`TensorRTEngine.ready`.

    The context keeps its engine.

    Attributes:
        images: (N, 3, height, width) float32 in device memory.
        outputs: the maps by name, (N, K, height / stride, width / stride) float32 in device memory.

    Args:
        toolkit: what runs it.
        cuda: the GPU.
        info: how the network is fed and read.
        context: whose scratch memory is the caller's.
        kernels: what the context has compiled, to be kept; None where it compiles nothing.
        images: how many there are in every run.
        stream: CuPy's.
        title: how a message about a failure begins.

    Raises:
        EngineError: the context refuses so many images.
    """

    def __init__(
        self,
        toolkit: Toolkit,
        cuda: CudaDevice,
        info: ModelInfo,
        context: Any,
        kernels: _KernelCache | None,
        *,
        images: int,
        stream: Any,
        title: str,
    ) -> None:
        self._toolkit = toolkit
        self._said = toolkit_logger(toolkit.module)
        self._context = context
        self._kernels = kernels  # the context uses it as long as it lives: released after it
        self._stream = stream
        self._title = title
        cupy, (height, width) = cuda.cupy, info.input_size
        self._per_pass = images if info.batch is None else 1
        heard = len(self._said.errors)
        if not context.set_input_shape(INPUT_NAME, (self._per_pass, INPUT_CHANNELS, height, width)):
            raise EngineError(
                f"{title}: it refuses {self._per_pass} images of {height}x{width} px ({_reason(self._said, heard)})"
            )
        scratch_bytes = context.update_device_memory_size_for_shapes()
        # CuPy aligns to 512 bytes, 256 are asked for.
        self._scratch: Array = cupy.empty(max(scratch_bytes, 1), np.uint8)
        context.set_device_memory(self._scratch.data.ptr, scratch_bytes)
        self.images: Array = cupy.empty((images, INPUT_CHANNELS, height, width), np.float32)
        self.outputs: Mapping[str, Array] = {
            name: cupy.empty(shape, np.float32) for name, shape in map_shapes(info, (height, width), images).items()
        }

    def enqueue(self) -> None:
        """Put a run on the stream; see :meth:`heatstream.runtime.engines.base.GpuRun.enqueue`."""
        ports = {INPUT_NAME: self.images, **self.outputs}
        heard = len(self._said.errors)
        for first in range(0, len(self.images), self._per_pass):
            for name, array in ports.items():
                self._context.set_tensor_address(name, array.data.ptr + first * array.strides[0])
            if not self._context.execute_async_v3(self._stream.ptr):
                raise EngineError(f"{self._title}: {_reason(self._said, heard)}")
        if self._kernels is not None:
            self._kernels.keep()

    def refusal(self) -> str:
        """Why a run cannot be captured into a graph; empty where nothing is known against it."""
        return self._toolkit.capture_refusal(self._context, self._stream.ptr)


def _reason(said: Any, heard: int) -> str:
    """The first error that a logger was told since it had heard so many: what follows is what follows from it."""
    told = said.errors[heard:]
    return str(told[0]) if told else "it gives no reason"


# ---- kernels that TensorRT-RTX compiles when an engine is made ready: in a file, a SHA-256 and what it makes of them


class _KernelCache:
    """A runtime cache, which its contexts use as long as they live, and the file beside the plan that keeps it."""

    def __init__(self, cache: Any, path: Path) -> None:
        self._cache = cache
        self._path = path
        self._kept = False

    def keep(self) -> None:
        """Write what was compiled, the first time. A folder that cannot be written costs the next start its time."""
        if self._kept:
            return
        self._kept = True
        serialized = self._cache.serialize()
        kernels = b"" if serialized is None else bytes(serialized)
        if not kernels or kernels == _read_kernels(self._path):
            return
        try:
            with replacing(self._path) as temporary:
                temporary.write_bytes(hashlib.sha256(kernels).digest() + kernels)
        except (SinkError, OSError):
            pass


def _read_kernels(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    kernels = content[DIGEST_BYTES:]
    return kernels if hashlib.sha256(kernels).digest() == content[:DIGEST_BYTES] else None


# ---- NumPy's arrays in and out


class _HostInference:
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
                with preparing:
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
        """Give the memory back; a run that is under way ends first."""
        self._latest = self._stream = None
