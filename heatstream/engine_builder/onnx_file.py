"""What an ONNX file asks for, read before any runtime opens it: its operators, its sizes, and the files beside it.

A network of heatstream's is a chain of convolutions and what stands between them. A file may hold more than that: loops
that never end, tensors that double at every step, weights in files of other folders. ONNX Runtime would believe it all,
and has no limit of time or memory. So the file is read here first, without the library `onnx`, which a robot has not
got: the wire format of protocol buffers is numbered fields, each a varint, a fixed word or a run of bytes.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from heatstream.errors import ModelFileError

__all__ = ["check_graph", "external_files"]

MOST_ELEMENTS = 512
"""Of one value, per pixel of the input: the widest network (W48) has 64 channels at 1/2, 16 per pixel."""

MOST_PRODUCTS = 2_000_000
"""Multiplications per pixel of the input: W48 needs 160,000."""

MOST_NODES = 20_000
MOST_BYTES = 2**31
"""Of a file: protocol buffers end there."""

USUAL_PIXELS = 256 * 256
"""Of an input whose size is free."""

CONSTANTS = frozenset({"Constant", "Shape", "Range"})
OF_WEIGHTS = frozenset({"Cast", "DequantizeLinear", "Identity"})
"""What stands between weights that are kept in a smaller type and the convolution; it leaves their shape."""
ELEMENTWISE = frozenset(
    {
        *("Abs", "Add", "BatchNormalization", "Cast", "Ceil", "Clip", "DequantizeLinear", "Div", "Erf", "Exp", "Floor"),
        *("Gelu", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LeakyRelu", "Log", "Max", "Min"),
        *("Mish", "Mul", "Neg", "PRelu", "Pow", "QuantizeLinear", "Reciprocal", "Relu", "Sigmoid", "Softmax"),
        *("Softplus", "Sqrt", "Sub", "Tanh"),
    }
)
SHRINKING = frozenset(
    {
        *("ArgMax", "AveragePool", "Flatten", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMax"),
        *("ReduceMean", "ReduceSum", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "DepthToSpace"),
        *("SpaceToDepth",),
    }
)
GROWING = frozenset({"Concat", "Conv", "ConvTranspose", "Resize"})
OPERATORS = CONSTANTS | ELEMENTWISE | SHRINKING | GROWING


@dataclass
class _Tensor:
    """A constant: its shape, its few numbers, and the file that holds them."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    raw: bytes = b""
    numbers: list[float] = field(default_factory=list)
    location: str = ""

    def values(self) -> list[float]:
        """The numbers of a small tensor; empty for others."""
        codes = {1: "f", 6: "i", 7: "q", 11: "d"}
        code = codes.get(self.data_type)
        if self.raw and code is not None and len(self.raw) <= 1024:
            size = struct.calcsize(code)
            return list(struct.unpack(f"<{len(self.raw) // size}{code}", self.raw[: len(self.raw) // size * size]))
        return self.numbers


@dataclass
class _Node:
    kind: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    tensor: _Tensor | None = None
    nested: bool = False


@dataclass
class _Graph:
    nodes: list[_Node] = field(default_factory=list)
    tensors: dict[str, _Tensor] = field(default_factory=dict)
    functions: int = 0
    pixels: int = USUAL_PIXELS


@dataclass(frozen=True)
class _Size:
    """Of a value: channels, and its area relative to the input's."""

    channels: float
    area: float

    @property
    def elements(self) -> float:
        return self.channels * self.area


def check_graph(path: Path) -> None:
    """Refuse a graph that is no network of ours, or would take unbounded time or memory.

    Args:
        path: of the ONNX file.

    Raises:
        ModelFileError: it holds an operator that is not in :data:`OPERATORS`, its values or work grow beyond
            :data:`MOST_ELEMENTS` or :data:`MOST_PRODUCTS`, its weights lie outside its folder, or it is damaged.
    """
    graph = _read(path)
    if graph.functions or len(graph.nodes) > MOST_NODES:
        raise ModelFileError(f"{path} holds functions of its own, or more than {MOST_NODES} nodes: export it again")
    _external_names(graph, path)
    sizes: dict[str, _Size] = {}
    products = 0.0
    for node in graph.nodes:
        if node.kind not in OPERATORS or node.nested or node.domain not in ("", "ai.onnx"):
            name = node.kind if node.kind.isidentifier() and len(node.kind) < 40 else "of another kind"
            raise ModelFileError(
                f"{path} holds the operator {name}, which no network of heatstream has: export it again with "
                "`heatstream export`"
            )
        if node.kind in OF_WEIGHTS and node.inputs and node.outputs:
            weights = graph.tensors.get(node.inputs[0])
            # Those of a convolution alone: the few numbers of a resize would be other ones afterwards.
            if weights is not None and len(weights.dims) == 4:
                graph.tensors[node.outputs[0]] = weights
                continue
        size, work = _grown(node, graph.tensors, sizes, graph.pixels)
        products += work
        if not size.elements <= MOST_ELEMENTS or not products <= MOST_PRODUCTS:
            raise ModelFileError(
                f"{path} asks for {size.elements:.3g} values or {products:.3g} multiplications per pixel of its input "
                f"at its {node.kind}, at most {MOST_ELEMENTS} and {MOST_PRODUCTS:,} are computed: export it again"
            )
        for output in node.outputs:
            sizes[output] = size
            if node.kind == "Constant" and node.tensor is not None:
                graph.tensors[output] = node.tensor


def external_files(path: Path) -> tuple[Path, ...]:
    """The files beside an ONNX file that hold its weights, sorted.

    Raises:
        ModelFileError: one leads out of the file's folder or is missing, or the file is damaged.
    """
    names = _external_names(_read(path), path)
    for name in names:
        if not os.path.isfile(path.parent / name):
            raise ModelFileError(f"{path} has its weights in {path.parent / name}, which is missing: copy it too")
    return tuple(path.parent / name for name in names)


def _external_names(graph: _Graph, path: Path) -> list[str]:
    """Relative names of the files that hold weights, all of them inside the file's folder."""
    names = sorted({tensor.location for tensor in graph.tensors.values() if tensor.location})
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in name.replace("\\", "/").split("/") or "\0" in name:
            raise ModelFileError(f"{path} takes weights from {name!r}, outside its folder: export it again")
    return names


def _grown(node: _Node, tensors: Mapping[str, _Tensor], sizes: Mapping[str, _Size], pixels: int) -> tuple[_Size, float]:
    """How large a node's output is, and how many multiplications it takes, per pixel of the input."""
    image = _Size(3, 1)
    found = [sizes.get(name, image) for name in node.inputs if name and name not in tensors]
    constants = [tensors[name] for name in node.inputs if name in tensors]
    largest = max(found, key=lambda size: size.elements, default=_Size(1, 1 / pixels))
    if node.kind in ("Conv", "ConvTranspose") and constants and len(constants[0].dims) == 4:
        out, per_group, *kernel = constants[0].dims
        groups = (node.numbers.get("group") or [1])[0]
        if node.kind == "ConvTranspose":
            out, per_group = per_group * groups, out // max(groups, 1)
        steps = math.prod(node.numbers.get("strides") or [1])
        pads = node.numbers.get("pads") or [0]
        reach = max(side * step for side, step in zip(kernel, node.numbers.get("dilations") or [1, 1], strict=True))
        if max(map(abs, pads)) > max(reach, 1):
            return _Size(math.inf, 1), 0
        area = largest.area * steps if node.kind == "ConvTranspose" else largest.area / max(steps, 1)
        # One pixel at least, which in a small picture is more than its share.
        area = max(area, 1 / pixels)
        return _Size(out, area), out * per_group * math.prod(kernel) * max(area, largest.area * (steps <= 1))
    if node.kind == "Concat":
        return _Size(sum(size.channels for size in found), max((size.area for size in found), default=0)), 0
    if node.kind == "Resize":
        scales = next((tensor.values() for tensor in constants if tensor.data_type in (1, 11) and tensor.values()), [])
        sides = next((tensor.values() for tensor in constants if tensor.data_type == 7 and tensor.values()), [])
        if not scales and not sides:  # to the size of another map, none of which is larger than the input
            return _Size(largest.channels, 1), 0
        area = largest.area * math.prod(scales[-2:]) if scales else math.prod(sides[-2:]) / pixels
        return _Size(largest.channels, area), 0
    if node.kind == "Range":
        return _Size(max([1.0, *(abs(value) for tensor in constants for value in tensor.values())]), 1 / pixels), 0
    if node.kind in ("Shape", "Constant"):
        return _Size(1, 1 / pixels), 0
    both = max([size.channels for size in found] + [1]) * max([size.area for size in found] + [0])
    of_constants = max([math.prod(tensor.dims) / pixels for tensor in constants] + [0])
    if node.kind in ELEMENTWISE and max(both, of_constants) > largest.elements:  # broadcast against each other
        return _Size(max(both, of_constants), 1), 0
    return largest, 0


def _read(path: Path) -> _Graph:
    try:
        if path.stat().st_size >= MOST_BYTES:
            raise ModelFileError(f"{path} is larger than an ONNX file can be: export it again")
        graph = _Graph()
        for number, value in _fields(memoryview(path.read_bytes())):
            if number == 7 and isinstance(value, memoryview):
                _read_graph(value, graph)
            graph.functions += number == 25
        return graph
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, IndexError, struct.error, OverflowError):
        raise ModelFileError(
            f"{path} is not an ONNX file, or is damaged: export it again with `heatstream export`"
        ) from None


def _read_graph(data: memoryview, graph: _Graph) -> None:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            graph.nodes.append(_node(value))
        elif number == 5 and isinstance(value, memoryview):
            tensor = _tensor(value)
            graph.tensors[tensor.name] = tensor
        elif number == 11 and isinstance(value, memoryview):
            sides = _input_sides(value)
            if len(sides) == 4 and min(sides[2:]) > 0:
                graph.pixels = sides[2] * sides[3]


def _input_sides(data: memoryview) -> list[int]:
    """The shape of a graph's input, 0 where a side is free: value, type, tensor, shape, sides."""
    messages = [data]
    for wanted in (2, 1, 2, 1):
        inner = [value for message in messages for number, value in _fields(message) if number == wanted]
        messages = [value for value in inner if isinstance(value, memoryview)]
    sides = [[value for number, value in _fields(message) if number == 1] for message in messages]
    return [_signed(side[0]) if side else 0 for side in sides]


def _node(data: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number in (1, 2):
            (node.inputs if number == 1 else node.outputs).append(_text(value))
        elif number == 4:
            node.kind = _text(value)
        elif number == 7:
            node.domain = _text(value)
        elif number == 5:
            _attribute(value, node)
    return node


def _attribute(data: memoryview, node: _Node) -> None:
    name, numbers = "", []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            name = _text(value)
        elif number in (3, 8):
            numbers += _varints(value) if isinstance(value, memoryview) else [_signed(value)]
        elif number == 5 and isinstance(value, memoryview):
            node.tensor = _tensor(value)
        elif number in (6, 11):
            node.nested = True
    node.numbers[name] = numbers


def _tensor(data: memoryview) -> _Tensor:
    tensor = _Tensor()
    for number, value in _fields(data):
        if number == 1:
            tensor.dims += _varints(value) if isinstance(value, memoryview) else [_signed(value)]
        elif number == 2 and isinstance(value, int):
            tensor.data_type = value
        elif number == 4 and isinstance(value, memoryview) and len(value) <= 1024:
            tensor.numbers += struct.unpack(f"<{len(value) // 4}f", value[: len(value) // 4 * 4])
        elif number == 7 and isinstance(value, memoryview) and len(value) <= 1024:
            tensor.numbers += _varints(value)
        elif number == 8 and isinstance(value, memoryview):
            tensor.name = _text(value)
        elif number == 9 and isinstance(value, memoryview):
            tensor.raw = bytes(value[:1025])
        elif number == 13 and isinstance(value, memoryview):
            entry = {key: _text(text) for key, text in _fields(value) if isinstance(text, memoryview)}
            if entry.get(1) == "location":
                tensor.location = entry.get(2, "")
    if any(side < 0 for side in tensor.dims):
        raise ValueError("a negative size")
    return tensor


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field of a message: an int, or the bytes of a string, a message or packed numbers."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("a field of another kind")
        if at + length > len(data):
            raise ValueError("a field beyond the end")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")


def _varints(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        numbers.append(_signed(value))
    return numbers


def _signed(value: int | memoryview) -> int:
    """A varint as the 64-bit number that it is."""
    if not isinstance(value, int):
        raise ValueError("a number of another kind")
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "replace")
