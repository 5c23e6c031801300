"""A network that takes its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.demo.conftest import write_model

CHANNELS = 64


def write_slow_model(path: Path, rounds: int) -> Path:
    """The network of :func:`write_model` with something beside it that takes long and changes nothing.

    Args:
        path: the file.
        rounds: convolutions of 64 channels at the size of the frame; at most 50, or no engine would open the file.
    """
    model = onnx.load(str(write_model(path)))
    graph = model.graph
    for name, channels in (("widening", 3), ("round", CHANNELS)):
        weights = np.zeros((CHANNELS, channels, 3, 3), np.float32)
        graph.initializer.append(numpy_helper.from_array(weights, name))
    first = [
        helper.make_node("Conv", ["images", "widening"], ["round_0"], pads=[1] * 4),
        *(helper.make_node("Conv", [f"round_{n}", "round"], [f"round_{n + 1}"], pads=[1] * 4) for n in range(rounds)),
        helper.make_node("ReduceMean", [f"round_{rounds}"], ["something"], keepdims=0),
        helper.make_node("Mul", ["something", "zero"], ["nothing"]),
        helper.make_node("Add", ["images", "nothing"], ["images_later"]),
    ]
    nodes = list(graph.node)
    for node in nodes:
        node.input[:] = ["images_later" if name == "images" else name for name in node.input]
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
