"""A model file's graph as a torch module: each operator by the torch function that computes the same.

It knows the operators that our exports consist of. Precision lives in the graph, as for TensorRT: an FP16 graph
computes in FP16 here too. What follows from the size of the images alone is computed once per size, on the host, and
numbers that an operator is called with are read there: a run is nothing but work for the device, waits for nothing and
can be captured into a CUDA graph.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from heatstream.errors import ModelFileError
from heatstream.extras import require
from heatstream.model_info import INPUT_NAME, ModelInfo

__all__ = ["torch_module_from_onnx"]

Values = list[Any]
Attributes = Mapping[str, Any]

PARAMETERS = {"Clip": (1, 2), "Resize": (1, 2, 3), "Split": (1,), "Squeeze": (1,)}
"""Which inputs of an operator torch takes as Python's numbers; from a GPU they would have to be waited for."""


class Maps(NamedTuple):
    """What networks of people give."""

    heatmaps: tuple[Any, Any]
    tags: Any


def torch_module_from_onnx(graph: bytes, info: ModelInfo) -> Any:
    """The graph of a model file as a ``torch.nn.Module`` for :class:`TorchEngine`.

    Args:
        graph: an ONNX file.
        info: how it is read.

    Raises:
        ModelFileError: it has an operator that is not known here.
        MissingExtraError: torch or onnx is not installed.
    """
    torch = require("torch", extra="train", purpose=f"running {info.name} in PyTorch")
    onnx = require("onnx", extra="train", purpose=f"running {info.name} in PyTorch")
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    operators = _operators(torch)
    unknown = sorted({node.op_type for node in model.graph.node} - operators.keys())
    if unknown:
        raise ModelFileError(
            f"PyTorch cannot run {info.name}: its graph has {', '.join(unknown)}; use the engine onnx, or TensorRT"
        )
    constants = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in model.graph.initializer}
    nodes = [
        (
            node.op_type,
            list(node.input),
            list(node.output),
            # How many parts a Split gives is said by its outputs alone before opset 18.
            {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
            | {"outputs": len(node.output)},
        )
        for node in model.graph.node
    ]

    def fold(images: Any) -> dict[str, Any]:
        """All values that are known on the host, by a run that computes no more than shapes."""
        on_host: dict[str, Any] = {**constants, "": None}
        shapes = {name: value.to("meta") for name, value in constants.items()}
        shapes |= {INPUT_NAME: images.to("meta"), "": None}
        for kind, inputs, outputs, attributes in nodes:
            known = kind == "Shape" or on_host.keys() >= set(inputs)
            numbers = PARAMETERS.get(kind, ())
            arguments = [
                on_host[name] if (known and kind != "Shape") or index in numbers else shapes[name]
                for index, name in enumerate(inputs)
            ]
            results = dict(zip(outputs, operators[kind](arguments, attributes), strict=True))
            if known:
                on_host |= results
            shapes |= {name: value.to("meta") for name, value in results.items()}
        return on_host

    class OnnxNetwork(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            # A name in the graph may hold what a buffer's name must not.
            self.weights = {name: f"constant{index}" for index, name in enumerate(constants)}
            for name, buffer in self.weights.items():
                if constants[name].is_floating_point():
                    self.register_buffer(buffer, constants[name])
            self.folded: dict[tuple[int, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
            self.folding = threading.Lock()

        def forward(self, images: Any) -> Maps:
            quarter, half, tags = self.run(images)
            return Maps((quarter, half), tags)

        def landmarks(self, images: Any) -> Any:
            return self.run(images)[0]

        def run(self, images: Any) -> Values:
            on_host, on_device = self.known(images)
            values: dict[str, Any] = {INPUT_NAME: images, "": None, **on_device}
            for kind, inputs, outputs, attributes in nodes:
                if on_host.keys() >= set(outputs):
                    continue
                numbers = PARAMETERS.get(kind, ())
                arguments = [
                    on_host[name] if index in numbers else values[name] if name in values else self.weight(name)
                    for index, name in enumerate(inputs)
                ]
                values.update(zip(outputs, operators[kind](arguments, attributes), strict=True))
            return [values[name] for name in info.outputs]

        def known(self, images: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            """The graph's constants and what follows from the size of the images: on the host, and on the device."""
            shape = tuple(images.shape)
            with self.folding:  # threads may meet a size for the first time together
                if shape not in self.folded:
                    on_host = fold(images)
                    on_device = {
                        name: value.to(images.device) if value.is_floating_point() else value
                        for name, value in on_host.items()
                        if name and name not in constants
                    }
                    self.folded[shape] = on_host, on_device
                return self.folded[shape]

        def weight(self, name: str) -> Any:
            return getattr(self, self.weights[name], constants[name])

    return OnnxNetwork().eval()


def _operators(torch: Any) -> dict[str, Callable[[Values, Attributes], Values]]:
    """What computes each operator: its inputs and attributes to its outputs."""
    functional = torch.nn.functional
    types = {1: torch.float32, 6: torch.int32, 7: torch.int64, 10: torch.float16, 11: torch.float64}

    def convolve(values: Values, given: Attributes) -> Values:
        images, weight, bias = [*values, None][:3]
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        padding: Any = (top, left)
        if (top, left) != (bottom, right):
            images, padding = functional.pad(images, (left, right, top, bottom)), 0
        strides, dilations = given.get("strides", (1, 1)), given.get("dilations", (1, 1))
        return [
            functional.conv2d(images, weight, bias, tuple(strides), padding, tuple(dilations), given.get("group", 1))
        ]

    def convolve_transposed(values: Values, given: Attributes) -> Values:
        images, weight, bias = [*values, None][:3]
        top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
        assert (top, left) == (bottom, right), "our exports pad alike on both sides"
        extra, strides = given.get("output_padding", (0, 0)), given.get("strides", (1, 1))
        shape = tuple(strides), (top, left), tuple(extra), given.get("group", 1)
        return [functional.conv_transpose2d(images, weight, bias, *shape)]

    def resize(values: Values, given: Attributes) -> Values:
        images = values[0]
        if len(values) > 3 and values[3] is not None:
            size = tuple(int(side) for side in values[3][2:])
        else:
            size = tuple(int(side * float(scale)) for side, scale in zip(images.shape[2:], values[2][2:], strict=True))
        if given["mode"] == b"nearest":
            return [functional.interpolate(images, size=size, mode="nearest")]
        corners = given.get("coordinate_transformation_mode") == b"align_corners"
        return [functional.interpolate(images, size=size, mode="bilinear", align_corners=corners)]

    def split(values: Values, given: Attributes) -> Values:
        axis = given.get("axis", 0)
        if len(values) > 1:
            return list(values[0].split(values[1].tolist(), axis))
        return list(values[0].chunk(given["outputs"], axis))

    def pool(values: Values, given: Attributes) -> Values:
        return [functional.avg_pool2d(values[0], tuple(given["kernel_shape"]), tuple(given["strides"]))]

    def clip(values: Values, given: Attributes) -> Values:
        low, high = [*values[1:], None, None][:2]
        return [values[0].clamp(None if low is None else float(low), None if high is None else float(high))]

    def depth_to_space(values: Values, given: Attributes) -> Values:
        assert given.get("mode") == b"CRD", "our exports order pixels as torch does"
        return [functional.pixel_shuffle(values[0], given["blocksize"])]

    def divide(values: Values, given: Attributes) -> Values:
        whole = not values[0].is_floating_point()
        return [torch.div(values[0], values[1], rounding_mode="trunc" if whole else None)]

    def constant(values: Values, given: Attributes) -> Values:
        from onnx import numpy_helper

        return [torch.from_numpy(numpy_helper.to_array(given["value"]).copy())]

    return {
        "Add": lambda values, given: [values[0] + values[1]],
        "AveragePool": pool,
        "Cast": lambda values, given: [values[0].to(types[given["to"]])],
        "Clip": clip,
        "Concat": lambda values, given: [torch.cat(values, given["axis"])],
        "Constant": constant,
        "Conv": convolve,
        "ConvTranspose": convolve_transposed,
        "DepthToSpace": depth_to_space,
        "Div": divide,
        "Identity": lambda values, given: [values[0]],
        "Mul": lambda values, given: [values[0] * values[1]],
        "Range": lambda values, given: [torch.arange(*(value.item() for value in values))],
        "Relu": lambda values, given: [functional.relu(values[0])],
        "Resize": resize,
        "Shape": lambda values, given: [
            torch.tensor(values[0].shape[given.get("start", 0) : given.get("end", values[0].dim())])
        ],
        "Sigmoid": lambda values, given: [values[0].sigmoid()],
        "Split": split,
        "Squeeze": lambda values, given: [values[0].squeeze()],
        "Sub": lambda values, given: [values[0] - values[1]],
    }
