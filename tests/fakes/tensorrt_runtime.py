"""The other half of the fake TensorRT: plans are deserialised and run, by ONNX Runtime on the memory that was bound.

It is as strict as the real one where that tells, and where it does not: a run needs shapes, addresses and scratch
memory, it writes all over its scratch memory, and a context that never ran does not run while a graph is captured.
"""

from __future__ import annotations

import base64
import ctypes
import json
import weakref
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
import onnxruntime

__all__ = ["add_runtime"]

SCRATCH_BYTES = 1024
KERNELS = b"kernels of "


class _Strict:
    __slots__ = ()


def add_runtime(module: Any, *, rtx: bool) -> None:
    """Give a fake of TensorRT what it takes to run plans.

    It puts its work on streams by ``module.submit(address of a stream, work)``, asks ``module.capturing(address)``
    and appends to ``module.made`` what contexts were made with; when tests set ``module.refuse``, runs fail with it.
    """
    submit: Callable[[int, Callable[[], object]], object] = lambda stream, work: work()  # noqa: E731
    module.submit, module.capturing, module.made, module.refuse = submit, lambda stream: False, [], ""
    Strategy = IntEnum("ExecutionContextAllocationStrategy", {"STATIC": 0, "ON_PROFILE_CHANGE": 1, "USER_MANAGED": 2})  # noqa: N806
    GraphStrategy = IntEnum("CudaGraphStrategy", {"DISABLED": 0, "WHOLE_GRAPH_CAPTURE": 1})  # noqa: N806
    Format = IntEnum("LayerInformationFormat", {"ONELINE": 0, "JSON": 1})  # noqa: N806
    KernelStrategy = IntEnum("DynamicShapesKernelSpecializationStrategy", {"LAZY": 0, "EAGER": 1, "NONE": 2})  # noqa: N806

    class IRuntimeCache(_Strict):
        __slots__ = ("__weakref__", "_content")

        def __init__(self) -> None:
            self._content = b""

        def deserialize(self, blob: Any) -> bool:
            self._content = bytes(blob) if bytes(blob).startswith(KERNELS) else b""
            return bool(self._content)

        def serialize(self) -> Any:
            return bytearray(self._content)

    class IRuntimeConfig(_Strict):
        __slots__ = ("_cache", "_graphs", "_kernels", "_strategy")

        def __init__(self) -> None:
            self._strategy: Any = Strategy.STATIC
            self._graphs, self._kernels = GraphStrategy.WHOLE_GRAPH_CAPTURE, KernelStrategy.LAZY
            self._cache: Any = None

        cuda_graph_strategy = property(lambda self: self._graphs, lambda self, value: setattr(self, "_graphs", value))
        dynamic_shapes_kernel_specialization_strategy = property(
            lambda self: self._kernels, lambda self, value: setattr(self, "_kernels", value)
        )

        def set_execution_context_allocation_strategy(self, strategy: Any = Strategy.STATIC) -> None:
            self._strategy = strategy

        def create_runtime_cache(self) -> Any:
            return IRuntimeCache()

        def set_runtime_cache(self, cache: Any = None) -> bool:
            self._cache = cache
            return True

    class ICudaEngine(_Strict):
        __slots__ = ("_logger", "_plan", "_session")

        def __init__(self, plan: dict[str, Any], logger: Any) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._plan, self._logger = plan, logger
            self._session = onnxruntime.InferenceSession(
                base64.b64decode(plan["model"]), options, providers=["CPUExecutionProvider"]
            )

        def _ports(self) -> list[Any]:
            return [*self._session.get_inputs(), *self._session.get_outputs()]

        num_io_tensors = property(lambda self: len(self._ports()))

        def get_tensor_name(self, index: int) -> str:
            return str(self._ports()[index].name)

        def get_tensor_shape(self, name: str) -> Any:
            (port,) = (port for port in self._ports() if port.name == name)
            return tuple(side if isinstance(side, int) else -1 for side in port.shape)

        def get_tensor_dtype(self, name: str) -> Any:
            return module.DataType.FLOAT

        def create_engine_inspector(self) -> Any:
            return EngineInspector(self)

        if rtx:

            def create_execution_context(self, runtime_config: Any = None) -> Any:
                return IExecutionContext(self, runtime_config)

            def create_runtime_config(self) -> Any:
                return IRuntimeConfig()
        else:

            def create_execution_context(self, strategy: Any = Strategy.STATIC) -> Any:
                return IExecutionContext(self, strategy)

    class EngineInspector(_Strict):
        __slots__ = ("_engine",)

        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def get_engine_information(self, format: Any) -> str:
            assert format == Format.JSON
            return json.dumps({"Layers": self._engine._plan["layers"], "Bindings": []})

    class IExecutionContext(_Strict):
        __slots__ = ("_addresses", "_cache", "_engine", "_kept", "_ran", "_scratch", "_shape")

        def __init__(self, engine: Any, choice: Any) -> None:
            self._engine, self._addresses, self._ran = engine, dict[str, int](), False
            self._shape: Any = None
            self._scratch: Any = None
            self._kept: Any = None
            self._cache: Any = None
            strategy = choice
            if isinstance(choice, IRuntimeConfig):
                strategy = choice._strategy
                module.made.append((choice._graphs.name, choice._kernels.name, choice._cache._content))
                choice._cache._content = KERNELS + b"the engine"
                self._cache = weakref.ref(choice._cache)  # it is whoever made it that keeps it alive
            assert strategy == Strategy.USER_MANAGED, "scratch memory is to be ours"

        def _fail(self, text: str) -> bool:
            self._engine._logger.log(
                module.ILogger.Severity.ERROR, f"IExecutionContext::enqueueV3: Error Code 3: API Usage Error ({text})"
            )
            return False

        def set_input_shape(self, name: str, shape: Any) -> bool:
            allowed = self._engine.get_tensor_shape(name)
            self._shape = tuple(shape)
            return len(shape) == len(allowed) and all(a in (-1, b) for a, b in zip(allowed, shape, strict=True))

        def update_device_memory_size_for_shapes(self) -> int:
            return SCRATCH_BYTES if self._shape else 0

        def set_device_memory(self, memory: int, size: int) -> None:
            assert size >= SCRATCH_BYTES
            self._scratch = memory

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        if rtx:

            def is_stream_capturable(self, stream: int) -> bool:
                return "REQUIRE_USER_ALLOCATION" in self._engine._plan["flags"]

        def execute_async_v3(self, stream_handle: int) -> bool:
            engine = self._engine
            if module.refuse:
                return self._fail(module.refuse)
            if self._cache is not None and self._cache() is None:
                return self._fail("the runtime cache is gone, and its kernels with it")
            if self._shape is None or self._scratch is None:
                return self._fail("shapes and memory are not set")
            if module.capturing(stream_handle) and not self._ran:
                return self._fail("a context must have run once before it is captured")
            self._ran = True
            session, shape, scratch, addresses = engine._session, self._shape, self._scratch, dict(self._addresses)
            if set(addresses) != {port.name for port in engine._ports()}:
                return self._fail("an address is not set")

            def work() -> None:
                _array(scratch, (SCRATCH_BYTES // 4,))[:] = np.nan
                (source,) = session.get_inputs()
                names = [port.name for port in session.get_outputs()]
                maps = session.run(names, {source.name: _array(addresses[source.name], shape)})
                for name, values in zip(names, maps, strict=True):
                    _array(addresses[name], values.shape)[...] = values

            module.submit(stream_handle, work)
            return True

    class Runtime(_Strict):
        __slots__ = ("_logger",)

        def __init__(self, logger: Any) -> None:
            assert isinstance(logger, module.ILogger)
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: Any) -> Any:
            try:
                plan = json.loads(bytes(serialized_engine))
                if rtx and module.target not in plan["targets"]:
                    error = f"UNSUPPORTED_CC: this is {module.target}, and the engine is for {plan['targets']}"
                    self._logger.log(module.ILogger.Severity.ERROR, error)
                    return None
                return ICudaEngine(plan, self._logger)
            except (ValueError, KeyError):
                self._logger.log(
                    module.ILogger.Severity.ERROR,
                    "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (bad tag)",
                )
                return None

    kinds: list[Any] = [Strategy, Format, ICudaEngine, EngineInspector, IExecutionContext, Runtime]
    if rtx:
        numbers = {f"SM{number}": number for number in (75, 80, 86, 89, 120, 121)}
        ComputeCapability = IntEnum("ComputeCapability", {"NONE": 0, "CURRENT": 1, **numbers})  # noqa: N806
        kinds += [ComputeCapability, GraphStrategy, KernelStrategy, IRuntimeConfig, IRuntimeCache]
    for kind in kinds:
        setattr(module, kind.__name__, kind)


def _array(address: int, shape: tuple[int, ...]) -> Any:
    """float32 memory at an address."""
    count = int(np.prod(shape))
    return np.frombuffer((ctypes.c_float * count).from_address(address), np.float32).reshape(shape)
