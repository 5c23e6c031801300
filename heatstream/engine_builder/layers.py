"""Which layer of a network computes in which precision.

Networks are strongly typed, so this is decided when the graph is read, and is known without the GPU that an inspector
of the finished engine needs. The builder may fuse layers; it may not change their types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Layer", "count_layers", "float32_layers", "read_layers"]

TYPES = {"FLOAT": "fp32", "HALF": "fp16"}
"""Names of TensorRT's types and ours. The integers of shape arithmetic are nothing that an engine's speed shows."""

CONVERSIONS = frozenset({"CAST", "CONSTANT", "DEQUANTIZE", "QUANTIZE", "SHAPE"})
"""Layers that compute nothing: they change a type, or hold or describe a value."""


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: as the graph has it.
        kind: TensorRT's name, for example ``"convolution"``.
        precision: ``"fp32"`` or ``"fp16"``, the wider of its inputs and outputs; ``"int8"`` where all it reads was
            dequantised, which is how a graph says that it may compute in INT8.
    """

    name: str
    kind: str
    precision: str


def read_layers(network: Any) -> list[Layer]:
    """The layers of a parsed network that compute with numbers, in their order."""
    layers: list[Layer] = []
    dequantised: set[str] = set()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        kind = _member(layer.type)
        inputs = _present(layer.get_input(number) for number in range(layer.num_inputs))
        outputs = _present(layer.get_output(number) for number in range(layer.num_outputs))
        if kind == "DEQUANTIZE":
            dequantised.update(tensor.name for tensor in outputs)
        kinds = {TYPES.get(_member(tensor.dtype)) for tensor in [*inputs, *outputs]} - {None}
        if kinds and kind not in CONVERSIONS:
            precision = "fp32" if "fp32" in kinds else "fp16"
            if inputs and dequantised.issuperset(tensor.name for tensor in inputs):
                precision = "int8"
            layers.append(Layer(layer.name, kind.lower(), precision))
    return layers


def _present(tensors: Iterable[Any]) -> list[Any]:
    """Without the inputs that a layer was not given."""
    return [tensor for tensor in tensors if tensor is not None]


def _member(value: Any) -> str:
    """Name of an enum's value: its text is ``DataType.HALF``."""
    return str(value).rpartition(".")[2]


def count_layers(layers: Sequence[Layer]) -> dict[str, dict[str, int]]:
    """How many layers of which kind compute in which precision: precision -> kind -> number, most frequent first."""
    counts: dict[str, dict[str, int]] = {}
    for (precision, kind), number in Counter((layer.precision, layer.kind) for layer in layers).most_common():
        counts.setdefault(precision, {})[kind] = number
    return counts


def float32_layers(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that an FP16 or INT8 engine computes in float32: each is slower than it could be."""
    return [layer for layer in layers if layer.precision == "fp32"]
