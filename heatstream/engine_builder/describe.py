"""A network of somebody else's as a model file of ours: its outputs renamed and described, after running it once.

Its layers stay as they are. What stands around them is added to the graph, of operators that every runtime has: another
order of colours or axes before it, the parts of an output that are heatmaps and tags behind it, and the second
resolution that the decode averages, where the network gives one alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream import skeletons
from heatstream.engine_builder.export.onnx_session import import_onnxruntime, session_options
from heatstream.engine_builder.export.probe_images import natural_images
from heatstream.engine_builder.onnx_file import check_graph, external_files
from heatstream.errors import InputError, ModelFileError
from heatstream.extras import require
from heatstream.files import replacing
from heatstream.model_info import FREE_SIZE_MULTIPLE, INPUT_NAME, OUTPUTS, SIZE_MULTIPLE, ModelInfo

__all__ = ["Foreign", "Part", "describe_model"]

OPSET = 13
"""The oldest operator set whose slices, resizes and paddings are written as here."""

USUAL_SIDE = 256
"""Px, of the base size of a network of any size unless told otherwise."""

STRIDES = (2, 4, 8, 16)
PREFIX = "net/"
"""What the network's own names begin with inside the model file."""

FLOAT16 = 10
"""ONNX's number of the type."""


@dataclass(frozen=True)
class Part:
    """An output, or some of its channels.

    Attributes:
        output: its name in the file.
        channels: the first and the one after the last; None for all.
    """

    output: str
    channels: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Part:
        """Of ``NAME``, or ``NAME[17:34]`` for channels 17 to 33.

        Raises:
            InputError: the channels are not such.
        """
        match = re.fullmatch(r"(.+)\[(\d*):(\d+)\]", text)
        if match is None:
            return cls(text)
        channels = int(match[2] or 0), int(match[3])
        if channels[0] >= channels[1]:
            raise InputError(f"{text} names no channels: write NAME[0:17] for the first 17")
        return cls(match[1], channels)

    def __str__(self) -> str:
        return self.output if self.channels is None else f"{self.output}[{self.channels[0]}:{self.channels[1]}]"


@dataclass(frozen=True)
class Foreign:
    """What its owner says of a network.

    Attributes:
        heatmaps: of one resolution, or of two, the coarser first.
        tags: of associative embedding; None for a network that finds one face or body in a box.
        stride: px of the input per px of the (coarser) heatmaps.
        skeleton: name of the layout; every part has as many channels.
        mean: of the three colours, in their order in `bgr`, of values from 0 to 1, or to 255 where one is above 1.
        std: likewise.
        bgr: it takes blue first.
        channels_last: it takes (B, H, W, 3).
        size: (height, width) px to run it at; that of the file where it takes one alone.
        name: how the model is called.
        weights: where they are from.
        licence: of the weights.
    """

    heatmaps: tuple[Part, ...]
    tags: Part | None
    stride: int
    skeleton: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False
    channels_last: bool = False
    size: tuple[int, int] | None = None
    name: str = ""
    weights: str = ""
    licence: str = "unknown"


def describe_model(path: Path, said: Foreign, output: Path) -> tuple[ModelInfo, dict[str, tuple[float, float]]]:
    """Run a network once, check that it is what was said, and write it as a model file.

    Args:
        path: its ONNX file; left as it is.
        said: what its owner says of it.
        output: of the model file, replaced only once the new one is complete and checked.

    Returns:
        What the model file says of itself, and the least and the greatest value of every output on a made-up picture.

    Raises:
        ModelFileError: the file is no ONNX file, holds what no network needs, or the network is not as was said; the
            message tells what was found.
        InputError: what was said cannot be.
        SinkError: the file cannot be written.
        MissingExtraError: onnx is not installed.
    """
    onnx = require("onnx", extra="train", purpose="describing networks")
    if said.stride not in STRIDES:
        raise InputError(f"the stride is 2, 4, 8 or 16 px of the input per px of the heatmaps, got {said.stride}")
    if not path.is_file():
        raise ModelFileError(f"there is no file {path}: give the ONNX file of the network")
    if output.exists() and output.samefile(path):
        raise InputError(f"{output} is the network itself: write the model file elsewhere with --output")
    external_files(path)
    with replacing(output) as temporary:
        try:
            model = onnx.load(str(path))
        except Exception as error:  # protobuf's, or of a missing file of weights
            raise ModelFileError(
                f"{path} is no ONNX file, or not a whole one: give another, or export it again"
            ) from error
        if next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0) < OPSET:
            model = _converted(onnx, model, path)
        onnx.save(model, str(temporary))
        _check_operators(temporary, path)
        info = _wrapped(onnx, onnx.compose.add_prefix(model, PREFIX), _split(said), path, temporary)
        return info, _ranges(temporary, info)


def _check_operators(written: Path, path: Path) -> None:
    """Refuse what would take unbounded time or memory, of a file that was brought to the operator set."""
    try:
        check_graph(written)
    except ModelFileError as error:
        reason = str(error).rpartition(": ")[0].replace(str(written), str(path))
        raise ModelFileError(f"{reason}: export it again, with constants folded and without loops") from None


def _converted(onnx: Any, model: Any, path: Path) -> Any:
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # C++'s, of many kinds
        raise ModelFileError(
            f"{path} is of an operator set before {OPSET} and cannot be brought to it: export it with opset 18"
        ) from error


def _split(said: Foreign) -> Foreign:
    """Of one output for both, heatmaps come first."""
    joints = skeletons.get(said.skeleton).num_keypoints
    if said.tags is None or said.tags.channels or said.tags not in said.heatmaps:
        return said
    both = said.tags.output
    heatmaps = tuple(Part(both, (0, joints)) if part == said.tags else part for part in said.heatmaps)
    return replace(said, heatmaps=heatmaps, tags=Part(both, (joints, 2 * joints)))


def _wrapped(onnx: Any, model: Any, said: Foreign, path: Path, output: Path) -> ModelInfo:
    """Put what is needed around the network, whose names have a prefix, and write it."""
    graph, helper = model.graph, onnx.helper
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelFileError(f"{path} has {len(inputs)} inputs, and pictures are one: export it with that one alone")
    batch, fixed = _input_shape(inputs[0], said, path)
    size = fixed or said.size or (USUAL_SIDE, USUAL_SIDE)
    info = _described(said, path, batch=batch, size=size, any_size=fixed is None)
    found = _run(model.SerializeToString(), inputs[0], said, info, size)
    parts = [*said.heatmaps, *([] if said.tags is None else [said.tags])]
    strides = [_checked(part, found, said, size, path) for part in parts]
    _check_strides(strides, found, said, size, path)
    if fixed is None:
        larger = (size[0], size[1] + FREE_SIZE_MULTIPLE)
        wider = _run(model.SerializeToString(), inputs[0], said, info, larger)
        if [_checked(part, wider, said, larger, path) for part in parts] != strides:
            raise ModelFileError(
                f"{path} says that it takes any size and gives other maps at {larger}: export it again"
            )

    builder = _Nodes(onnx, graph)
    half = inputs[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    builder.before(inputs[0].name, said, half=half)
    pieces = [builder.piece(part, found[part.output], said) for part in parts]
    outputs = {"landmarks": (pieces[0], strides[0])} if said.tags is None else builder.two_stages(pieces, strides)
    del graph.input[:], graph.output[:], graph.value_info[:]
    sides: list[Any] = ["height", "width"] if fixed is None else list(fixed)
    images = [batch or "batch", 3, *sides]
    graph.input.append(helper.make_tensor_value_info(INPUT_NAME, onnx.TensorProto.FLOAT, images))
    joints = info.num_keypoints
    for name, (value, stride) in outputs.items():
        builder.add("Identity", [value], name)
        maps = [f"{side}/{stride}" if isinstance(side, str) else side // stride for side in sides]
        shape = [batch or "batch", joints, *maps]
        graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    builder.finish()
    info = replace(
        info,
        outputs={name: stride for name, (_, stride) in outputs.items()},
        project=said.tags is not None and strides[0] == 4,  # what the GPU projects has stages at 1/4 and 1/2
    )
    del model.metadata_props[:]
    for key, value in info.to_metadata().items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(output))
    return info


def _input_shape(value: Any, said: Foreign, path: Path) -> tuple[int | None, tuple[int, int] | None]:
    """Images per run, None for any, and the (height, width) that alone it takes, None for any."""
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
    channels, other_place = (3, 1) if said.channels_last else (1, 3)
    if len(dims) != 4 or (dims[channels] != 3 and (dims[channels] is not None or dims[other_place] == 3)):
        order = "(B, H, W, 3)" if said.channels_last else "(B, 3, H, W)"
        other = "leave --channels-last out" if said.channels_last else "give --channels-last"
        raise ModelFileError(f"{path} takes {_shown(dims)}, expected {order}: {other}, or export it again")
    height, width = dims[1:3] if said.channels_last else dims[2:]
    if dims[0] not in (None, 1):
        raise ModelFileError(f"{path} takes {dims[0]} pictures at once: export it for one, or for any number")
    if (height is None) != (width is None):
        raise ModelFileError(f"{path} takes {_shown(dims)}: export it with height and width both free, or both fixed")
    if height is None or width is None:
        return dims[0], None
    if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise ModelFileError(
            f"{path} takes pictures of {height}x{width} px: export it for multiples of {SIZE_MULTIPLE}"
        )
    return dims[0], (height, width)


def _described(said: Foreign, path: Path, *, batch: int | None, size: tuple[int, int], any_size: bool) -> ModelInfo:
    scale = 255.0 if max(*said.mean, *said.std) > 1 else 1.0
    order = -1 if said.bgr else 1
    mean, std = (tuple(value / scale for value in values)[::order] for values in (said.mean, said.std))
    return ModelInfo(
        name=said.name or path.stem,
        skeleton=said.skeleton,
        input_size=size,
        any_size=any_size,
        batch=batch,
        task="landmarks" if said.tags is None else "pose",
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        outputs=dict(OUTPUTS["landmarks" if said.tags is None else "pose"]),
        weights=said.weights or path.name,
        licence=said.licence,
    )


def _run(
    model: bytes, value: Any, said: Foreign, info: ModelInfo, size: tuple[int, int]
) -> dict[str, NDArray[np.floating]]:
    """What the network gives for a made-up picture, by the outputs' own names; channels are the second axis."""
    images = natural_images(1, size, info)
    if said.bgr:
        images = images[:, ::-1]
    if said.channels_last:
        images = images.transpose(0, 2, 3, 1)
    dtype = np.float16 if value.type.tensor_type.elem_type == FLOAT16 else np.float32
    try:
        session = import_onnxruntime().InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {value.name: np.ascontiguousarray(images, dtype)})
    except Exception as error:  # ONNX Runtime's own types
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{info.name} does not run on a picture of {size[0]}x{size[1]} px ({reason}): export it again"
        ) from error
    names = [output.name.removeprefix(PREFIX) for output in session.get_outputs()]
    return {
        name: maps.transpose(0, 3, 1, 2) if said.channels_last and maps.ndim == 4 else maps
        for name, maps in zip(names, outputs, strict=True)
    }


def _checked(
    part: Part, found: Mapping[str, NDArray[np.floating]], said: Foreign, size: tuple[int, int], path: Path
) -> int:
    """The stride of a part, which has a map per keypoint."""
    listed = "; ".join(f"{name} {_shown(maps.shape)}" for name, maps in found.items())
    if part.output not in found:
        raise ModelFileError(f"{path} has no output {part.output}: for {size[0]}x{size[1]} px it gives {listed}")
    maps, skeleton = found[part.output], skeletons.get(said.skeleton)
    first, last = part.channels or (0, maps.shape[1] if maps.ndim == 4 else 0)
    if maps.ndim != 4 or last > maps.shape[1] or last - first != skeleton.num_keypoints:
        raise ModelFileError(
            f"{path}: {part} is not the {skeleton.num_keypoints} maps of {skeleton.name}: for {size[0]}x{size[1]} px "
            f"the network gives {listed}"
        )
    strides = size[0] / maps.shape[2], size[1] / maps.shape[3]
    if strides[0] != strides[1] or strides[0] not in STRIDES:
        raise ModelFileError(
            f"{path}: {part} has a stride of {strides[0]:g}x{strides[1]:g} px, and 2, 4, 8 and 16 are decoded: for "
            f"{size[0]}x{size[1]} px the network gives {listed}"
        )
    if maps.dtype.kind not in "fiub":
        raise ModelFileError(f"{path}: {part} is of {maps.dtype}, not of numbers: name another output")
    if not np.isfinite(maps).all():
        raise ModelFileError(
            f"{path}: {part} has values that are not finite: its weights are damaged, or --mean and --std"
        )
    return int(strides[0])


def _check_strides(
    strides: Sequence[int], found: Mapping[str, Any], said: Foreign, size: tuple[int, int], path: Path
) -> None:
    """Compare the strides with what was said, and with each other."""
    heatmaps = list(strides[: len(said.heatmaps)])
    listed = ", ".join(
        f"{part} at {stride}" for part, stride in zip((*said.heatmaps, said.tags), strides, strict=False)
    )
    if heatmaps[0] != said.stride:
        raise ModelFileError(
            f"{path}: the heatmaps have a stride of {heatmaps[0]} px, {said.stride} was said: {listed}"
        )
    if len(heatmaps) > 2 or (len(heatmaps) == 2 and heatmaps[1] * 2 != heatmaps[0]):
        raise ModelFileError(
            f"{path}: two resolutions of heatmaps are averaged, the finer of half the stride: {listed}"
        )
    if said.tags is None:
        if len(heatmaps) > 1:
            raise InputError("a network without tags has heatmaps of one resolution: name one")
        return
    coarse = heatmaps[0] if len(heatmaps) == 2 else None
    allowed = (coarse,) if coarse else (heatmaps[0], 2 * heatmaps[0])
    if strides[-1] not in allowed:
        raise ModelFileError(f"{path}: tags are read at the stride of the coarser heatmaps: {listed}")


def _ranges(path: Path, info: ModelInfo) -> dict[str, tuple[float, float]]:
    """Read the file back as a runtime would, and run it: it must describe itself, and truly."""
    session = import_onnxruntime().InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    read = ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map, path=path)
    assert read == info, f"{path} does not read back as it was written: {read} != {info}"
    read.check_io(session.get_inputs(), session.get_outputs(), path=path)
    maps = session.run(list(info.outputs), {INPUT_NAME: natural_images(1, info.input_size, info)})
    return {name: (float(values.min()), float(values.max())) for name, values in zip(info.outputs, maps, strict=True)}


class _Nodes:
    """What is added to a graph whose own names begin with a prefix."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self._onnx, self._graph = onnx, graph
        self._first: list[Any] = []
        self._last: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, *, first: bool = False, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        node = self._onnx.helper.make_node(kind, list(inputs), [output], name=f"adapted_{output}", **attributes)
        (self._first if first else self._last).append(node)
        return output

    def before(self, network_input: str, said: Foreign, *, half: bool) -> None:
        """From pictures as heatstream makes them to those that the network takes."""
        value = INPUT_NAME
        if said.bgr:
            value = self._sliced(value, "images_bgr", (2, -4, 1, -1), first=True)
        if said.channels_last:
            value = self.add("Transpose", [value], "images_last", first=True, perm=[0, 2, 3, 1])
        kind = self._onnx.TensorProto.FLOAT16 if half else self._onnx.TensorProto.FLOAT
        self.add("Cast", [value], network_input, first=True, to=kind)

    def piece(self, part: Part, maps: NDArray[np.floating], said: Foreign) -> str:
        """The maps of a part, (B, K, h, w) float32."""
        number = len(self._last)
        value = PREFIX + part.output
        if said.channels_last:
            value = self.add("Transpose", [value], f"first_{number}", perm=[0, 3, 1, 2])
        if part.channels is not None and part.channels != (0, maps.shape[1]):
            value = self._sliced(value, f"part_{number}", (*part.channels, 1, 1))
        if maps.dtype != np.float32:
            value = self.add("Cast", [value], f"float_{number}", to=self._onnx.TensorProto.FLOAT)
        return value

    def two_stages(self, pieces: Sequence[str], strides: Sequence[int]) -> dict[str, tuple[str, int]]:
        """The outputs of a model file for poses: a second resolution is made where there is one alone."""
        *heatmaps, tags = pieces
        if len(heatmaps) == 2:
            coarse, fine = heatmaps
        elif strides[-1] == 2 * strides[0]:
            fine = heatmaps[0]
            coarse = self.add("AveragePool", [fine], "coarse", kernel_shape=[2, 2], strides=[2, 2])
        else:
            coarse = heatmaps[0]
            scales = self._constant("scales", np.array([1, 1, 2, 2], np.float32))
            fine = self.add("Resize", [coarse, "", scales], "fine", mode="linear")
        stride = strides[-1]
        return {"heatmaps_quarter": (coarse, stride), "heatmaps_half": (fine, stride // 2), "tags": (tags, stride)}

    def finish(self) -> None:
        """Put the nodes into the graph, in an order in which every value is there before it is used."""
        own = list(self._graph.node)
        del self._graph.node[:]
        self._graph.node.extend([*self._first, *own, *self._last])

    def _sliced(self, value: str, output: str, bounds: tuple[int, int, int, int], *, first: bool = False) -> str:
        names = ("starts", "ends", "axes", "steps")
        numbers = [
            self._constant(f"{output}_{name}", np.array([n], np.int64)) for name, n in zip(names, bounds, strict=True)
        ]
        return self.add("Slice", [value, *numbers], output, first=first)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(values, name))
        return name


def _shown(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
