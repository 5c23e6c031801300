"""a fake of the module ``tensorrt``, which needs a GPU to build: TensorRT 10.3 and 11 as they are documented.

It has the names that heatstream uses and no others; an unknown name, argument or attribute is an error, as it is there.
``test_tensorrt.py`` compares its signatures with the real ``tensorrt_rtx``, which shares the interface. Its
parser reads real ONNX graphs. A plan of it is JSON that tells what it was built from, so that tests can look inside;
``tensorrt_runtime.py`` runs it.
"""

from __future__ import annotations

import base64
import json
from enum import IntEnum
from types import ModuleType
from typing import Any

from tests.fakes.tensorrt_runtime import add_runtime

__all__ = ["make_tensorrt"]

PORTABLE = ["sm_86", "sm_89", "sm_120"]
"""What TensorRT-RTX builds for unless it is told."""

PHASES = {"Building engine": 3, "Timing tactics": 2}

ONNX_TYPES = {1: "FLOAT", 3: "INT8", 10: "HALF", 7: "INT64", 6: "INT32", 9: "BOOL"}

LAYER_TYPES = (
    *("CONVOLUTION", "ACTIVATION", "ELEMENTWISE", "RESIZE", "CAST", "SHAPE", "CONSTANT", "POOLING", "SLICE"),
    *("QUANTIZE", "DEQUANTIZE", "DECONVOLUTION"),
)
OPERATORS = {
    "Conv": "CONVOLUTION",
    **dict.fromkeys(("Relu", "Clip", "Sigmoid"), "ACTIVATION"),
    **dict.fromkeys(("Add", "Mul", "Sub", "Div"), "ELEMENTWISE"),
    "Resize": "RESIZE",
    "ConvTranspose": "DECONVOLUTION",
    "Cast": "CAST",
    "Shape": "SHAPE",
    "AveragePool": "POOLING",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    **dict.fromkeys(("Squeeze", "Split", "Concat", "Range"), "SLICE"),
}


class _Strict:
    """What pybind11 makes: an object without room for attributes that its class does not have."""

    __slots__ = ()


def make_tensorrt(version: str, gpu: str = "Orin", *, rtx: bool = False, target: str = "sm_89") -> ModuleType:
    """The module.

    Args:
        version: ``"10.3.0"`` or ``"11.4.1"``; what either has or lacks differs.
        gpu: of the machine that the times are measured on.
        rtx: be TensorRT-RTX, as far as building and running go.
        target: of the GPU on which engines of TensorRT-RTX are to run.
    """
    eleven = rtx or version.startswith("11")

    class Severity(IntEnum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class ILogger:
        Severity: Any

        def __init__(self) -> None: ...

        def log(self, severity: Any, msg: str) -> None: ...

    ILogger.Severity = Severity

    class IProgressMonitor:
        def __init__(self) -> None: ...

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

        def phase_finish(self, phase_name: str) -> None: ...

    flags = {"TF32": 7} | ({} if eleven else {"FP16": 0, "INT8": 1, "OBEY_PRECISION_CONSTRAINTS": 11})
    if rtx:
        flags["REQUIRE_USER_ALLOCATION"] = 20
    BuilderFlag = IntEnum("BuilderFlag", flags)  # noqa: N806
    creation = {"STRONGLY_TYPED": 0} if eleven else {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
    NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", creation)  # noqa: N806
    ProfilingVerbosity = IntEnum("ProfilingVerbosity", {"LAYER_NAMES_ONLY": 0, "NONE": 1, "DETAILED": 2})  # noqa: N806
    DataType = IntEnum("DataType", {"FLOAT": 0, "HALF": 1, "INT8": 2, "INT32": 3, "BOOL": 4, "INT64": 8})  # noqa: N806
    LayerType = IntEnum("LayerType", {name: index for index, name in enumerate(LAYER_TYPES)})  # noqa: N806
    for enum in (DataType, LayerType):  # pybind11 writes DataType.HALF, IntEnum since Python 3.11 a number
        enum.__str__ = enum.__repr__ = lambda self: f"{type(self).__name__}.{self.name}"  # type: ignore[method-assign]

    class ITensor(_Strict):
        __slots__ = ("_network", "_shape", "dtype", "name")

        def __init__(self, network: Any, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
            self._network, self.name, self.dtype, self._shape = network, name, dtype, shape

        @property
        def shape(self) -> tuple[int, ...]:
            return self._shape

        @shape.setter
        def shape(self, value: Any) -> None:
            self._shape = tuple(value)
            self._network._infer()

    class ILayer(_Strict):
        __slots__ = ("_inputs", "_outputs", "name", "type")

        def __init__(self, name: str, kind: Any, inputs: list[Any], outputs: list[Any]) -> None:
            self.name, self.type, self._inputs, self._outputs = name, kind, inputs, outputs

        @property
        def num_inputs(self) -> int:
            return len(self._inputs)

        @property
        def num_outputs(self) -> int:
            return len(self._outputs)

        def get_input(self, index: int) -> Any:
            return self._inputs[index]

        def get_output(self, index: int) -> Any:
            return self._outputs[index]

    class INetworkDefinition(_Strict):
        __slots__ = ("_flags", "_layers", "_model", "_tensors")

        def __init__(self, flags: int) -> None:
            self._flags, self._layers, self._tensors = flags, [], {}
            self._model: Any = None

        def _infer(self) -> None:
            graph = self._model.graph
            for value in graph.input:
                for dim, size in zip(value.type.tensor_type.shape.dim, self._tensors[value.name].shape, strict=True):
                    dim.Clear()
                    if size >= 0:
                        dim.dim_value = size
            del graph.value_info[:]
            for value in graph.output:
                for dim in value.type.tensor_type.shape.dim:
                    dim.Clear()
            import onnx  # comes with the extra train

            inferred = onnx.shape_inference.infer_shapes(self._model, data_prop=True).graph
            for value in [*inferred.value_info, *inferred.input, *inferred.output]:
                kind = value.type.tensor_type
                shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
                if value.name in self._tensors:
                    self._tensors[value.name]._shape = shape
                else:
                    dtype = DataType[ONNX_TYPES[kind.elem_type]]
                    self._tensors[value.name] = ITensor(self, value.name, dtype, shape)

        num_inputs = property(lambda self: len(self._model.graph.input))
        num_outputs = property(lambda self: len(self._model.graph.output))
        num_layers = property(lambda self: len(self._layers))

        def get_input(self, index: int) -> Any:
            return self._tensors[self._model.graph.input[index].name]

        def get_output(self, index: int) -> Any:
            return self._tensors[self._model.graph.output[index].name]

        def get_layer(self, index: int) -> Any:
            return self._layers[index]

    class ParserError(_Strict):
        __slots__ = ("_what",)

        def __init__(self, *what: Any) -> None:
            self._what = what

        def desc(self) -> str:
            return str(self._what[0])

        def node(self) -> int:
            return int(self._what[1])

        def node_name(self) -> str:
            return str(self._what[2])

        def node_operator(self) -> str:
            return str(self._what[3])

    class OnnxParser(_Strict):
        __slots__ = ("_errors", "_network")

        def __init__(self, network: Any, logger: Any) -> None:
            assert isinstance(network, INetworkDefinition)
            assert isinstance(logger, ILogger)
            self._network, self._errors = network, list[Any]()

        num_errors = property(lambda self: len(self._errors))

        def get_error(self, index: int) -> Any:
            return self._errors[index]

        def parse(self, model: Any, path: str | None = None) -> bool:
            network = self._network
            try:
                import onnx  # comes with the extra train

                network._model = onnx.load_from_string(bytes(model))
            except Exception:
                self._errors.append(ParserError("Assertion failed: Failed to parse the ONNX model.", -1, "", ""))
                return False
            graph = network._model.graph
            for value in graph.input:
                kind = value.type.tensor_type
                shape = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
                network._tensors[value.name] = ITensor(network, value.name, DataType[ONNX_TYPES[kind.elem_type]], shape)
            for index, node in enumerate(graph.node):
                if node.op_type not in OPERATORS:
                    self._errors.append(
                        ParserError(
                            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
                            *(index, node.name, node.op_type),
                        )
                    )
                    return False
            network._infer()
            for node in graph.node:
                layer = ILayer(
                    node.name,
                    LayerType[OPERATORS[node.op_type]],
                    [network._tensors.get(name) for name in node.input if name in network._tensors],
                    [network._tensors[name] for name in node.output],
                )
                network._layers.append(layer)
            return True

    class IOptimizationProfile(_Strict):
        __slots__ = ("_shapes",)

        def __init__(self) -> None:
            self._shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._shapes[input] = [list(min), list(opt), list(max)]

    class ITimingCache(_Strict):
        __slots__ = ("_entries", "_header")

        def __init__(self, content: bytes) -> None:
            header, _, entries = content.partition(b"\n")
            self._header = header.decode(errors="replace") or f"{version} {gpu}"
            self._entries = set(entries.decode(errors="replace").split("\n")) - {""}

        def serialize(self) -> bytearray:
            return bytearray("\n".join([self._header, *sorted(self._entries)]).encode())

    class IBuilderConfig(_Strict):
        __slots__ = ("_flags", "_profiles", "_targets", "_timings", "profiling_verbosity", "progress_monitor")

        def __init__(self) -> None:
            self._flags, self._profiles = {BuilderFlag.TF32}, list[Any]()
            self._timings: Any = None
            self._targets: dict[int, Any] = {}
            self.progress_monitor: Any = None
            self.profiling_verbosity: Any = ProfilingVerbosity.LAYER_NAMES_ONLY

        def set_flag(self, flag: Any) -> None:
            self._flags.add(BuilderFlag(flag))

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(BuilderFlag(flag))

        if rtx:
            num_compute_capabilities = property(
                lambda self: len(self._targets), lambda self, value: setattr(self, "_targets", {})
            )

            def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
                self._targets[index] = module.ComputeCapability(compute_capability)
                return True

        def add_optimization_profile(self, profile: Any) -> int:
            assert isinstance(profile, IOptimizationProfile)
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: Any) -> Any:
            return ITimingCache(bytes(serialized_timing_cache))

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            if cache._header != f"{version} {gpu}" and not ignore_mismatch:
                return False
            self._timings = cache
            return True

        def get_timing_cache(self) -> Any:
            return self._timings

    class Builder(_Strict):
        __slots__ = ("_logger",)

        def __init__(self, logger: Any) -> None:
            assert isinstance(logger, ILogger)
            self._logger = logger

        def create_network(self, flags: int = 0) -> Any:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> Any:
            return IBuilderConfig()

        def create_optimization_profile(self) -> Any:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            def error(text: str) -> None:
                self._logger.log(Severity.ERROR, f"IBuilder::buildSerializedNetwork: Error Code 4: {text}")

            shape = network.get_input(0).shape
            if -1 in shape and not config._profiles:
                return error("API Usage Error (Network has dynamic or shape inputs, but no optimization profile.)")
            monitor, parent = config.progress_monitor, None
            for phase, steps in PHASES.items():
                monitor.phase_start(phase, parent, steps)
                parent = phase
            for phase, steps in reversed(PHASES.items()):
                for step in range(steps):
                    if not monitor.step_complete(phase, step):
                        return error("BuildCanceled (Build canceled by user)")
                monitor.phase_finish(phase)
            names = {layer.name or str(layer.type) for layer in network._layers}
            known = set() if config._timings is None else set(config._timings._entries)
            if config._timings is not None:
                config._timings._entries |= names
            typed = eleven or bool(network._flags & (1 << NetworkDefinitionCreationFlag["STRONGLY_TYPED"]))
            content = {
                "version": version,
                "strongly_typed": typed,
                "flags": sorted(flag.name for flag in config._flags),
                "targets": [f"sm_{int(each)}" for each in config._targets.values()] or PORTABLE,
                "input": list(shape),
                "profiles": [profile._shapes for profile in config._profiles],
                "measured": len(names - known),
                "layers": [_told(layer, config.profiling_verbosity.name) for layer in network._layers],
                "model": base64.b64encode(network._model.SerializeToString()).decode(),
            }
            return bytearray(json.dumps(content).encode())

    module = ModuleType("tensorrt")
    module.__version__ = version  # type: ignore[attr-defined]
    module.target = target  # type: ignore[attr-defined]
    for kind in (
        *(ILogger, IProgressMonitor, BuilderFlag, NetworkDefinitionCreationFlag, DataType, LayerType, ITensor, ILayer),
        ProfilingVerbosity,
        *(INetworkDefinition, ParserError, OnnxParser, IOptimizationProfile, ITimingCache, IBuilderConfig, Builder),
    ):
        setattr(module, kind.__name__, kind)
    add_runtime(module, rtx=rtx)
    return module


WORDS = {"FLOAT": "Row major linear FP32", "HALF": "Channel major FP16 format where channel % 8 == 0"}
"""How the inspector writes types; those of integers are not asked for."""


def _told(layer: Any, verbosity: str) -> Any:
    """What the inspector will say of a layer; nothing is fused here."""
    if verbosity != "DETAILED":
        return layer.name

    def ports(tensors: list[Any]) -> list[dict[str, str]]:
        names = [(tensor.name, str(tensor.dtype).rpartition(".")[2]) for tensor in tensors]
        return [{"Name": name, "Format/Datatype": WORDS.get(kind, "Row major Int8 format")} for name, kind in names]

    kind = {"CONVOLUTION": "CaskConvolution"}.get(layer.type.name, "Myelin")
    return {"Name": layer.name, "LayerType": kind, "Inputs": ports(layer._inputs), "Outputs": ports(layer._outputs)}
