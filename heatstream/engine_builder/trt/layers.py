"""Which layer of a network computes in which precision.

Networks are strongly typed, so this is decided when the graph is read, and is known without the GPU that an inspector
of the finished engine needs. The builder may fuse layers; it may not change their types. What it made of them is told
by the inspector where there is a GPU: there a layer shows that INT8 was allowed and not taken.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Layer", "count_layers", "float32_layers", "inspected_layers", "read_layers"]

TYPES = {"FLOAT": "fp32", "HALF": "fp16"}
"""Names of TensorRT's types and ours. The integers of shape arithmetic are nothing that an engine's speed shows."""

PRECISIONS = {"int8": "int8", "fp16": "fp16", "half": "fp16", "fp32": "fp32", "float": "fp32"}
"""What the inspector calls types, in lower case, and our names of them."""

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


def inspected_layers(report: str) -> list[Layer]:
    """The layers of a finished engine, fused, with those that convert formats among them.

    Args:
        report: what TensorRT's engine inspector says in JSON. It names types in words, such as "Row major linear FP32"
            or "Channel major FP16 format where channel % 8 == 0"; those that it does not name are left out.
    """
    layers = []
    for layer in json.loads(report)["Layers"]:
        if not isinstance(layer, dict):  # an engine that was built without details has only names
            continue
        words = [str(tensor.get("Format/Datatype", "")) for tensor in [*layer["Inputs"], *layer["Outputs"]]]
        kinds = {
            PRECISIONS[match.lower()] for text in words for match in re.findall(r"Int8|FP16|Half|FP32|Float", text)
        }
        for precision in ("int8", "fp32", "fp16"):
            if precision in kinds:
                layers.append(Layer(str(layer["Name"]), str(layer.get("LayerType", "?")).lower(), precision))
                break
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
