"""TensorRT and TensorRT-RTX on a GPU: a plan that was checked, deserialised, and run on whatever stream it is given.

Scratch memory, inputs and outputs are CuPy's and asked for when a run is made ready, so that running allocates nothing.
What the library says against us becomes the text of our errors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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
from heatstream.runtime.engines.gpu_engine import HostInference, map_shapes
from heatstream.runtime.gpu.device import CudaDevice

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
        self._lock = Lock()
        with cuda.current(), cuda.errors(f"loading {plan.path}"):
            heard = len(self._said.errors)
            self._runtime: Any | None = toolkit.module.Runtime(self._said)
            self._engine: Any | None = self._runtime.deserialize_cuda_engine(plan.data)
        if self._engine is None:
            raise EngineError(
                f"{toolkit.title} does not take the engine {plan.path} on {cuda.title} ({self._reason(heard)}): build "
                "it again, or update the driver"
            )
        self._check_ports()
        self._host = HostInference(cuda, self.ready, str(plan.path))

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
        with self._lock, self._cuda.current(), self._cuda.errors(f"making {self._path} ready"):
            if self._engine is None:
                raise EngineError(f"the engine {self._path} is closed: load it again")
            heard = len(self._said.errors)
            context, kernels = self._toolkit.create_context(self._engine, self._kept_kernels())
            if context is None:
                raise EngineError(
                    f"{self._toolkit.title} could not make the engine {self._path} ready on {self._cuda.title} "
                    f"({self._reason(heard)})"
                )
            return TensorRTRun(self, context, kernels, images, stream)

    def close(self) -> None:
        """Give the memory back, once nobody holds a run any more."""
        self._host.close()
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

    def _reason(self, heard: int) -> str:
        """The first error that the library told since it had told so many: what follows is what follows from it."""
        told = self._said.errors[heard:]
        return str(told[0]) if told else "it gives no reason"

    # ---- kernels that TensorRT-RTX compiles when an engine is made ready: a SHA-256 and what it makes of them

    @property
    def _kernels_path(self) -> Path:
        return self._path.with_suffix(f".{self._cuda.gpu.target}.kernels")

    def _kept_kernels(self) -> bytes | None:
        try:
            content = self._kernels_path.read_bytes()
        except OSError:
            return None
        kernels = content[DIGEST_BYTES:]
        return kernels if hashlib.sha256(kernels).digest() == content[:DIGEST_BYTES] else None

    def keep_kernels(self, cache: Any) -> None:
        """Write what was compiled beside the plan. A folder that cannot be written costs the next start its time."""
        serialized = cache.serialize()
        kernels = b"" if serialized is None else bytes(serialized)
        if not kernels or kernels == self._kept_kernels():
            return
        try:
            with replacing(self._kernels_path) as temporary:
                temporary.write_bytes(hashlib.sha256(kernels).digest() + kernels)
        except (SinkError, OSError):
            pass


class TensorRTRun:
    """An engine with a context, memory and a stream of its own; made by :meth:`TensorRTEngine.ready`.

    Attributes:
        images: (N, 3, height, width) float32 in device memory.
        outputs: the maps by name, (N, K, height / stride, width / stride) float32 in device memory.
    """

    def __init__(self, engine: TensorRTEngine, context: Any, kernels: Any, images: int, stream: Any) -> None:
        self._engine = engine
        self._context = context
        self._kernels = kernels  # those to be kept, until that was done
        self._stream = stream
        info, cupy = engine.info, engine._cuda.cupy
        height, width = info.input_size
        self._per_pass = images if info.batch is None else 1
        if not context.set_input_shape(INPUT_NAME, (self._per_pass, INPUT_CHANNELS, height, width)):
            raise EngineError(f"the engine {engine._path} refuses {self._per_pass} images of {height}x{width} px")
        scratch_bytes = context.update_device_memory_size_for_shapes()
        self._scratch: Array = cupy.empty(
            max(scratch_bytes, 1), np.uint8
        )  # CuPy aligns to 512 bytes, 256 are asked for
        context.set_device_memory(self._scratch.data.ptr, scratch_bytes)
        self.images: Array = cupy.empty((images, INPUT_CHANNELS, height, width), np.float32)
        self.outputs: Mapping[str, Array] = {
            name: cupy.empty(shape, np.float32) for name, shape in map_shapes(info, (height, width), images).items()
        }

    def enqueue(self) -> None:
        """Put a run on the stream; see :meth:`heatstream.runtime.engines.gpu_engine.GpuRun.enqueue`."""
        ports = {INPUT_NAME: self.images, **self.outputs}
        heard = len(self._engine._said.errors)
        for first in range(0, len(self.images), self._per_pass):
            for name, array in ports.items():
                self._context.set_tensor_address(name, array.data.ptr + first * array.strides[0])
            if not self._context.execute_async_v3(self._stream.ptr):
                raise EngineError(f"{self._engine.name} failed on {self._engine._path}: {self._engine._reason(heard)}")
        if self._kernels is not None:
            self._engine.keep_kernels(self._kernels)
            self._kernels = None

    def refusal(self) -> str:
        """Why a run cannot be captured into a graph; empty where nothing is known against it."""
        return self._engine._toolkit.capture_refusal(self._context, self._stream.ptr)
