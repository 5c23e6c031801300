"""INT8 by explicit quantisation: pairs of QuantizeLinear and DequantizeLinear (Q/DQ) around the layers that get it.

As TensorRT wants it: values symmetric with one scale per tensor, weights symmetric with one scale per channel and kept
as int8, biases left alone, pairs before the inputs of a convolution and nowhere else. What else reads a value, a
residual addition for example, reads it as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.export.onnx_session import import_onnxruntime
from heatstream.extras import require

__all__ = ["OPSET", "layers_to_quantise", "quantise_layers", "with_int8_in"]

OPSET = 19
"""The first ONNX operator set whose Q/DQ take float16; TensorRT 10.3 reads it."""

LAYERS = ("Conv", "ConvTranspose")

SMALLEST_SCALE = 2.0**-20
"""Smaller ones would lose their digits, or vanish, in float16, whose smallest number is 2^-24."""

LEVELS = 254
"""Steps from -127 to 127."""


def layers_to_quantise(model: Any) -> list[str]:
    """Names of the nodes that INT8 can make quicker, in the order of the graph."""
    return [node.name for node in model.graph.node if node.op_type in LAYERS]


def quantise_layers(model: Any, images: Sequence[NDArray[np.float32]]) -> Any:
    """The network with every layer of :func:`layers_to_quantise` in INT8.

    ONNX Runtime's static quantisation finds the scale of a value from its largest magnitude on the images.

    Args:
        model: an onnx.ModelProto in float32; left as it is.
        images: (1, 3, H, W) float32 each, as the network is fed.
    """
    onnx = require("onnx", extra="train", purpose="quantising networks")
    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    source = onnx.ModelProto()
    source.CopyFrom(model)
    source.opset_import[0].version = OPSET
    # Our exports are simplified already; without this mark the quantiser would print advice.
    onnx.helper.set_model_props(source, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(prefix="heatstream-") as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            source,
            str(path),
            _Reader(source.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(LAYERS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(LAYERS),
                "QDQKeepRemovableActivations": True,
                "MinimumRealRange": LEVELS * SMALLEST_SCALE,
            },
        )
        quantised = onnx.load(path)
    quantised.ClearField("metadata_props")  # the mark
    return with_int8_in(layers_to_quantise(model), quantised, model)


def with_int8_in(layers: Collection[str], quantised: Any, model: Any) -> Any:
    """The network with INT8 in only these layers.

    Args:
        layers: names of the nodes.
        quantised: the network with INT8 in these layers and possibly in others.
        model: the network without.
    """
    onnx = require("onnx", extra="train", purpose="quantising networks")
    mixed = onnx.ModelProto()
    mixed.CopyFrom(quantised)
    plain = {node.output[0]: node for node in model.graph.node}  # only layers need to have names
    for node in mixed.graph.node:
        if node.output[0] in plain and node.name not in layers:
            node.input[:] = plain[node.output[0]].input
    there = {tensor.name for tensor in mixed.graph.initializer}
    mixed.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in there)
    _remove_unread(mixed.graph)
    return mixed


def _remove_unread(graph: Any) -> None:
    """Drop the Q/DQ and the weights that nothing reads any more."""
    wanted = {value.name for value in graph.output}
    nodes = []
    for node in reversed(graph.node):  # in the order of execution, so that readers come before what they read
        if not wanted.isdisjoint(node.output):
            nodes.append(node)
            wanted.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in wanted]
    for container, content in ((graph.node, nodes[::-1]), (graph.initializer, tensors)):
        kept = [type(item).FromString(item.SerializeToString()) for item in content]
        del container[:]
        container.extend(kept)
    del graph.value_info[:]  # it tells of values that are gone


class _Reader:
    """What the quantiser asks for images; it wants a `get_next` and no more."""

    def __init__(self, name: str, images: Sequence[NDArray[np.float32]]) -> None:
        self._name = name
        self._images: Iterator[NDArray[np.float32]] = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next image by the name of the input, or None at the end."""
        image = next(self._images, None)
        return None if image is None else {self._name: image}
