"""Which layers of a network compute in INT8: as many as the drift of its maps allows.

Scales come from photographs, never from noise. A layer's sensitivity is measured: how far the maps drift when it alone
is in INT8. The most sensitive ones are then left out, no more than it takes to bring the drift of all the others
together below :data:`DRIFT_BOUND`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.engine_builder.export.drift import Drift, measure_drift
from heatstream.engine_builder.export.onnx_session import import_onnxruntime, session_options
from heatstream.engine_builder.export.quantised_graph import layers_to_quantise, quantise_layers, with_int8_in
from heatstream.errors import InputError

__all__ = ["DRIFT_BOUND", "FEWEST_IMAGES", "Photographs", "Quantised", "quantise"]

DRIFT_BOUND = 5e-3
"""How far the worst output may drift: root mean square, relative to its range."""

FEWEST_IMAGES = 16
"""Fewer photographs do not show how large values become."""

PROBES = 4
"""How many of the photographs the drift is measured on: every layer is run on each of them."""

Run = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class Photographs:
    """What a network is calibrated on: what it will see, and labels are not needed.

    Attributes:
        folder: human-readable name of the folder.
        names: of the files, as many as there are images.
        images: (1, 3, H, W) float32 each, as the network is fed.

    Raises:
        InputError: there are too few.
    """

    folder: str
    names: tuple[str, ...]
    images: Sequence[NDArray[np.float32]]

    def __post_init__(self) -> None:
        if len(self.images) < FEWEST_IMAGES:
            raise InputError(
                f"{self.folder} holds {len(self.images)} photographs and INT8 is calibrated on at least "
                f"{FEWEST_IMAGES}, better 64: give a folder of what the network will see"
            )


@dataclass(frozen=True, eq=False)
class Quantised:
    """A network in INT8.

    Attributes:
        model: the onnx.ModelProto; what is not INT8 is float32 still.
        layers: names of the layers in INT8.
        left_out: names of those that were too sensitive, the most sensitive first.
    """

    model: Any
    layers: tuple[str, ...]
    left_out: tuple[str, ...]


def quantise(
    model: Any,
    photographs: Photographs,
    *,
    bound: float = DRIFT_BOUND,
    progress: Callable[[int, int], None] | None = None,
) -> Quantised:
    """Put as many layers in INT8 as the bound allows.

    Args:
        model: an onnx.ModelProto in float32; left as it is.
        photographs: to calibrate on; the drift is measured on the first ones.
        bound: how far the worst output may drift, see :data:`DRIFT_BOUND`; infinity puts every layer in INT8.
        progress: called after each layer that was measured, with how many are done and how many there are.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    every = quantise_layers(model, photographs.images)
    layers = layers_to_quantise(model)
    probes = photographs.images[:PROBES]
    run = _runner(model)
    expected = [run(image) for image in probes]

    def drift(some: Sequence[str]) -> float:
        return _worst(_runner(with_int8_in(some, every, model)), probes, expected).rms

    if drift(layers) <= bound:
        return Quantised(every, tuple(layers), ())
    alone = {}
    for name in layers:
        alone[name] = drift([name])
        if progress is not None:
            progress(len(alone), len(layers))
    ranked = sorted(layers, key=lambda name: alone[name], reverse=True)
    # The fewest to leave out. The drift falls with every one: bisect; all of them leave none.
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if drift(ranked[middle:]) <= bound:
            enough = middle
        else:
            too_few = middle
    chosen = [name for name in layers if name in ranked[enough:]]
    return Quantised(with_int8_in(chosen, every, model), tuple(chosen), tuple(ranked[:enough]))


def _runner(model: Any) -> Run:
    session = import_onnxruntime().InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    name = model.graph.input[0].name
    return lambda image: list(session.run(None, {name: image}))


def _worst(run: Run, images: Sequence[NDArray[np.float32]], expected: Sequence[list[NDArray[np.float32]]]) -> Drift:
    """Of the outputs, the drift of the one that drifts most."""
    received = [run(image) for image in images]
    outputs = [zip(want, got, strict=True) for want, got in zip(expected, received, strict=True)]
    return max((measure_drift(pairs) for pairs in zip(*outputs, strict=True)), key=lambda drift: drift.rms)
