"""FP16 by casting the graph: weights and values become float16, inputs and outputs stay float32.

Precision lives in the graph, so every runtime (ONNX Runtime, TensorRT with strong typing) computes the same. What
could overflow stays float32 and is fenced by casts; what that is, is measured on images rather than guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.export.onnx_session import import_onnxruntime
from heatstream.extras import require

__all__ = ["cast_to_half", "peak_values"]

LARGEST_HALF = 65504.0
HEADROOM = 8.0
"""How much further than on the images it was measured on a value may go without overflowing."""

GROWING_OPS = frozenset({"Exp", "Pow", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Softmax"})
"""Operators that can overflow inside, where inputs and outputs don't show it."""

FLOAT_INPUTS: Mapping[str, frozenset[int]] = {"Resize": frozenset({1, 2})}
"""Inputs that the ONNX standard has in float32 whatever the operator computes in: regions and scales."""


def peak_values(model: Any, images: NDArray[np.float32]) -> dict[str, float]:
    """The largest magnitude of every float32 value of a network, weights included.

    Args:
        model: an onnx.ModelProto that computes in float32; left as it is.
        images: (B, 3, H, W) float32, what it is run on, in ONNX Runtime.

    Returns:
        Name of the value -> largest magnitude.
    """
    onnx = require("onnx", extra="train", purpose="exporting networks")
    constants = {
        tensor.name: float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0))
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }
    values = [name for name in _float_values(model) if name not in constants]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    for index, name in enumerate(values):
        probed.graph.node.append(onnx.helper.make_node("Abs", [name], [f"magnitude {index}"]))
        probed.graph.node.append(
            onnx.helper.make_node("ReduceMax", [f"magnitude {index}"], [f"peak {index}"], keepdims=0)
        )
    del probed.graph.output[:]
    probed.graph.output.extend(
        onnx.helper.make_tensor_value_info(f"peak {index}", onnx.TensorProto.FLOAT, []) for index in range(len(values))
    )
    session = import_onnxruntime().InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    peaks = session.run(None, {model.graph.input[0].name: images})
    return constants | {name: float(peak) for name, peak in zip(values, peaks, strict=True)}


def cast_to_half(model: Any, peaks: Mapping[str, float]) -> int:
    """Cast a network to float16, in place.

    Args:
        model: an onnx.ModelProto that computes in float32, without control flow.
        peaks: largest magnitude of every value, as from :func:`peak_values`.

    Returns:
        How many operators were left in float32 because a value of theirs could overflow.
    """
    return _Caster(model, peaks).run()


def _float_values(model: Any) -> list[str]:
    """Names of all float32 values, weights included, in no special order."""
    onnx = require("onnx", extra="train", purpose="exporting networks")
    graph = onnx.shape_inference.infer_shapes(model).graph
    declared = [*graph.input, *graph.value_info, *graph.output]
    names = [value.name for value in declared if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    return names + [t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT]


class _Caster:
    """One pass over the nodes; `run` is the way through it."""

    def __init__(self, model: Any, peaks: Mapping[str, float]) -> None:
        onnx = require("onnx", extra="train", purpose="exporting networks")
        self.numpy_helper, self.make_node = onnx.numpy_helper, onnx.helper.make_node
        self.half, self.single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
        self.graph = model.graph
        self.floats = set(_float_values(model))
        self.constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self.prone = {name for name, peak in peaks.items() if not peak * HEADROOM <= LARGEST_HALF}
        edges = {value.name for value in [*self.graph.input, *self.graph.output]}
        self.kept_single = self.prone | edges
        self.casts: dict[tuple[str, int], str] = {}
        self.new_constants: dict[str, Any] = {}

    def run(self) -> int:
        nodes: list[Any] = []
        left = 0
        for node in self.graph.node:
            values = {name for name in [*node.input, *node.output] if name in self.floats}
            single = node.op_type in GROWING_OPS or node.op_type == "Cast" or not values.isdisjoint(self.prone)
            left += single and bool(values)
            nodes.extend(self._fenced(node, self.single if single else self.half))
        for container, content in ((self.graph.node, nodes), (self.graph.initializer, self._used(nodes))):
            del container[:]
            container.extend(content)
        del self.graph.value_info[:]  # the types in it are no longer true
        return left

    def _fenced(self, node: Any, kind: int) -> Iterator[Any]:
        """The node computing in `kind`, with the casts that it needs before and after it."""
        always_single = FLOAT_INPUTS.get(node.op_type, frozenset())
        for index, name in enumerate(node.input):
            if name in self.floats:
                yield from self._provide(node, index, self.single if index in always_single else kind)
        after = []
        for index, name in enumerate(node.output):
            stored = self._stored_kind(name)
            if name in self.floats and stored != kind:
                node.output[index] = f"{name} before cast"
                after.append(self.make_node("Cast", [node.output[index]], [name], to=stored))
        yield node
        yield from after

    def _provide(self, node: Any, index: int, kind: int) -> Iterator[Any]:
        """Point an input of the node at its value in `kind`."""
        name = node.input[index]
        if name in self.constants:
            node.input[index] = self._constant(name, kind)
        elif self._stored_kind(name) != kind:
            if (name, kind) not in self.casts:
                self.casts[name, kind] = f"{name} cast"
                yield self.make_node("Cast", [name], [f"{name} cast"], to=kind)
            node.input[index] = self.casts[name, kind]

    def _constant(self, name: str, kind: int) -> str:
        """The name of a weight in `kind`; it is stored in both where both are used."""
        if kind == self.single:
            return name
        if name not in self.new_constants:
            weights = self.numpy_helper.to_array(self.constants[name]).astype(np.float16)
            self.new_constants[name] = self.numpy_helper.from_array(weights, f"{name} half")
        return f"{name} half"

    def _stored_kind(self, name: str) -> int:
        return int(self.single if name in self.kept_single else self.half)

    def _used(self, nodes: Iterable[Any]) -> list[Any]:
        names = {name for node in nodes for name in node.input}
        both = [*self.constants.values(), *self.new_constants.values()]
        return [tensor for tensor in both if tensor.name in names]
