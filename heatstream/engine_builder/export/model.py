"""A torch network as a model file: ONNX, batch norms folded, FP16 if asked for, checked, self-describing.

The network is any torch module whose call gives ``heatmaps=(quarter, half)`` and ``tags``, or for landmarks one
whose ``landmarks(images)`` gives the maps to decode, as those of :mod:`heatstream.models` do; this room never
imports that one.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.export.drift import measure_drift
from heatstream.engine_builder.export.fp16 import cast_to_half, peak_values
from heatstream.engine_builder.export.fusable_relu import make_relu_fusable
from heatstream.engine_builder.export.int8 import DRIFT_BOUND, PROBES, Photographs, quantise
from heatstream.engine_builder.export.onnx_session import import_onnxruntime, session_options
from heatstream.engine_builder.export.probe_images import natural_images
from heatstream.errors import EngineError, InputError
from heatstream.extras import require
from heatstream.files import replacing
from heatstream.model_info import (
    FREE_SIZE_MULTIPLE,
    INPUT_NAME,
    OUTPUTS,
    ModelInfo,
    Precision,
    Task,
)
from heatstream.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["DRIFT_LIMITS", "ExportReport", "export_model"]

OPSET = 18
"""ONNX operator set: the newest that TensorRT 10.3 (JetPack 6.1) and ONNX Runtime both read in full."""

DRIFT_LIMITS: Mapping[str, float] = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.2}
"""How far any value of an output may drift from torch, relative to the output's range, per precision.

One value in a million says little of INT8, whose layers are chosen by their mean drift; its limit catches what is
broken.
"""

FOLDED_BYTES = 1 << 26
"""The largest weights that are computed at export: more than any layer of ours has."""


@dataclass(frozen=True)
class ExportReport:
    """What an export made.

    Attributes:
        path: of the model file.
        info: what the file says of itself; an INT8 file names the layers that are not.
        drift: largest difference from torch relative to the output's range, per output, as ONNX Runtime computes
            on a CPU (which rounds fewer values to float16 than a GPU does).
        float32_operators: how many operators of an FP16 network stayed in float32 because they could overflow.
        int8_layers: how many convolutions compute in INT8.
    """

    path: Path
    info: ModelInfo
    drift: Mapping[str, float]
    float32_operators: int = 0
    int8_layers: int = 0


def export_model(
    module: nn.Module,
    info: ModelInfo,
    path: str | Path,
    *,
    precision: Precision = "fp32",
    size: tuple[int, int] | Literal["any"] | None = None,
    dynamic_batch: bool = False,
    photographs: Photographs | None = None,
    drift_bound: float = DRIFT_BOUND,
    started: Callable[[str], None] = lambda step: None,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write a network to a model file and check the file against torch.

    The check runs the file in ONNX Runtime on images with the spectrum of photographs: two images for a dynamic
    batch, a second size where the size is free. INT8 is checked on photographs, which it was calibrated for.

    Args:
        module: the network; left as it is, on any device.
        info: what is known of it (name, skeleton, size, normalisation, weights).
        path: of the file, replaced only once the new one is complete and checked.
        precision: what the network computes in; inputs and outputs are float32 either way.
        size: (height, width) in px, multiples of 32; ``"any"`` leaves both free, in multiples of 64; the size in
            `info` when left out.
        dynamic_batch: leave the number of images per run free.
        photographs: what INT8 is calibrated on; for no other precision.
        drift_bound: how far INT8 may drift before layers are left out of it; infinity leaves none out.
        started: called with what is done next, human-readable; large networks take minutes.
        progress: called with the number of INT8 layers measured so far and the number of all.

    Returns:
        What was written, and how far it drifts from torch.

    Raises:
        InputError: the size is no multiple of 32 px, or INT8 was asked for without photographs.
        SinkError: the file cannot be written; known before the work starts.
        EngineError: the network cannot be exported, or the exported one drifts too far.
        MissingExtraError: torch, onnx or onnxscript is not installed.
    """
    path = Path(path)
    if (photographs is not None) is not (precision == "int8"):
        raise InputError(
            "INT8 is calibrated on photographs of what the network will see: give a folder of them"
            if precision == "int8"
            else f"photographs are what INT8 is calibrated on, and {precision} was asked for: leave them out"
        )
    info = _described(info, precision=precision, size=size, dynamic_batch=dynamic_batch)
    with replacing(path) as temporary:
        for library in ("torch", "onnx", "onnxscript"):
            require(library, extra="train", purpose="exporting networks")
        started("tracing the network")
        network = _exportable(module, info.task)
        batches = list(_check_batches(info))
        model = _to_onnx(network, info, batches[0])
        if precision != "fp32":
            started("looking for values that overflow in FP16")
        peaks = {} if precision == "fp32" else peak_values(model, batches[0])
        int8_layers = 0
        if photographs is not None:
            started("trying layers in INT8")
            quantised = quantise(model, photographs, bound=drift_bound, progress=progress)
            model, int8_layers = quantised.model, len(quantised.layers)
            info = replace(info, quantisation=_origin(photographs, quantised.left_out))
            batches = list(photographs.images[:PROBES])
        left = 0 if precision == "fp32" else cast_to_half(model, peaks)
        if precision == "fp16":  # INT8 needs a newer operator set
            make_relu_fusable(model)
        started("comparing the file with torch")
        drift = _drift(model, network, info, batches)
        info = replace(info, drift=max(drift.values()))
        _describe(model, info)
        temporary.write_bytes(model.SerializeToString())
        _check_file(temporary, info)
    return ExportReport(path=path, info=info, drift=drift, float32_operators=left, int8_layers=int8_layers)


def _origin(photographs: Photographs, left_out: tuple[str, ...]) -> dict[str, Any]:
    """What the file says of its calibration."""
    return {"folder": photographs.folder, "images": list(photographs.names), "left_out": list(left_out)}


def _described(
    info: ModelInfo, *, precision: Precision, size: tuple[int, int] | str | None, dynamic_batch: bool
) -> ModelInfo:
    """The description with what the caller chose."""
    shape: dict[str, Any] = {}
    if size == "any":
        shape = {"any_size": True}
    elif size is not None:
        shape = {"any_size": False, "input_size": size}
    return replace(
        info,
        **shape,
        precision=precision,
        batch=None if dynamic_batch else 1,
        outputs=dict(OUTPUTS[info.task]),
        heatstream_version=__version__,
    )


def _exportable(module: nn.Module, task: Task) -> nn.Module:
    """A copy in evaluation mode on the CPU, in float32, with the outputs of a model file and no others."""
    from torch import nn

    class PoseNetwork(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            out = self.network(images)
            return out.heatmaps[0], out.heatmaps[1], out.tags

    class LandmarkNetwork(nn.Module):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor]:
            return (self.network.landmarks(images),)

    wrapper = LandmarkNetwork if task == "landmarks" else PoseNetwork
    return wrapper(copy.deepcopy(module)).cpu().float().eval()


def _check_batches(info: ModelInfo) -> Iterator[NDArray[np.float32]]:
    """What the network is traced and checked with."""
    count = 2 if info.batch is None else info.batch
    height, width = info.input_size
    sizes = [(height, width)]
    if info.any_size:
        sizes.append((max(height // 2 // FREE_SIZE_MULTIPLE, 1) * FREE_SIZE_MULTIPLE, width + FREE_SIZE_MULTIPLE))
    for size in sizes:
        yield natural_images(count, size, info)


def _to_onnx(network: nn.Module, info: ModelInfo, images: NDArray[np.float32]) -> Any:
    """The network as an onnx.ModelProto: float32, batch norms folded into the convolutions before them."""
    import torch

    free: dict[int, Any] = {}
    if info.batch is None:
        free[0] = torch.export.Dim("batch")
    if info.any_size:
        free[2] = torch.export.Dim("height") * FREE_SIZE_MULTIPLE
        free[3] = torch.export.Dim("width") * FREE_SIZE_MULTIPLE
    with _quiet():
        try:
            program = torch.onnx.export(
                network,
                (torch.from_numpy(images),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=list(info.outputs),
                dynamic_shapes={"images": free} if free else None,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = error.__cause__ or error
            reason = next(iter(str(cause).splitlines()), type(cause).__name__)
            raise EngineError(
                f"torch could not export {info.name} to ONNX ({reason[:200]}): its forward must not branch on values"
            ) from error
    assert program is not None
    model = _folded(program.model)
    left = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if left:
        raise EngineError(
            f"{info.name} has batch norms that follow no convolution ({', '.join(left)}) and cannot be folded: "
            "put each after the convolution it belongs to"
        )
    _strip(model)
    _name_dimensions(model, info)
    _name_layers(model)
    return model


def _folded(graph: Any) -> Any:
    """The exporter's graph as an onnx.ModelProto, with what depends only on weights computed, whatever its size.

    Landmark networks cut the weights of the class that is not read; the exporter computes that only for small ones.
    """
    import onnxscript
    import onnxscript.optimizer

    onnxscript.optimizer.fold_constants(graph, input_size_limit=FOLDED_BYTES, output_size_limit=FOLDED_BYTES)
    onnxscript.optimizer.remove_unused_nodes(graph)
    return onnxscript.ir.to_proto(graph)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from warning about itself: deprecations inside it, operators of absent libraries."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(model: Any) -> None:
    """Remove what the exporter notes for debugging: source lines with the paths of this machine among it."""
    graph = model.graph
    model.ClearField("metadata_props")
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")
    for item in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")


def _name_dimensions(model: Any, info: ModelInfo) -> None:
    """Give free dimensions readable names in place of the exporter's formulas."""
    strides = {INPUT_NAME: 1} | dict(info.outputs)
    for value in [*model.graph.input, *model.graph.output]:
        batch, _, height, width = value.type.tensor_type.shape.dim
        stride = strides[value.name]
        if info.batch is None:
            batch.dim_param = "batch"
        if info.any_size:
            height.dim_param = "height" if stride == 1 else f"height/{stride}"
            width.dim_param = "width" if stride == 1 else f"width/{stride}"


def _name_layers(model: Any) -> None:
    """Call convolutions by their weights in torch: reports of engines and of INT8 name them."""
    taken = {node.name for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            name = node.input[1].removeprefix("network.").removesuffix(".weight")
            if name not in taken:
                node.name = name
                taken.add(name)


def _drift(model: Any, network: nn.Module, info: ModelInfo, batches: list[NDArray[np.float32]]) -> dict[str, float]:
    """Run the model in ONNX Runtime and in torch, and refuse it if they differ too much."""
    import torch

    session = import_onnxruntime().InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {name: [] for name in info.outputs}
    for images in batches:
        with torch.inference_mode():
            expected = [maps.numpy() for maps in network(torch.from_numpy(images))]
        if not all(np.isfinite(maps).all() for maps in expected):
            raise EngineError(
                f"{info.name} gives values that are not finite on the check image: its weights are damaged, "
                "use another checkpoint"
            )
        received = session.run(list(info.outputs), {INPUT_NAME: images})
        for name, want, got in zip(info.outputs, expected, received, strict=True):
            pairs[name].append((want, got))
    drift = {name: measure_drift(both).largest for name, both in pairs.items()}
    worst = max(drift, key=lambda name: drift[name])
    if not drift[worst] <= DRIFT_LIMITS[info.precision]:
        advice = "check its weights" if info.precision == "fp32" else "export it with precision fp32"
        raise EngineError(
            f"{info.name} exported in {info.precision} drifts from torch by {drift[worst]:.2g} of the range of "
            f"{worst}, at most {DRIFT_LIMITS[info.precision]:g} is allowed: {advice}"
        )
    return drift


def _describe(model: Any, info: ModelInfo) -> None:
    """Write the description into the metadata."""
    model.producer_name = "heatstream"
    model.producer_version = __version__
    model.graph.name = info.name
    for key, value in info.to_metadata().items():
        model.metadata_props.add(key=key, value=value)


def _check_file(path: Path, info: ModelInfo) -> None:
    """Read the file back as a runtime would: it must describe itself, and truly."""
    options = session_options(optimised=False)
    session = import_onnxruntime().InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    read = ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map, path=path)
    assert read == info, f"{path} does not read back as it was written: {read} != {info}"
    read.check_io(session.get_inputs(), session.get_outputs(), path=path)
