"""A network that takes its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.demo.conftest import write_model

SIDE = 256


def write_slow_model(path: Path, rounds: int) -> Path:
    """The network of :func:`write_model` with something beside it that takes long and changes nothing.

    Args:
        path: the file.
        rounds: how often a matrix of 256 x 256 is multiplied with another; 1000 take about a second.
    """
    model = onnx.load(str(write_model(path)))
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.eye(SIDE, dtype=np.float32), "matrix"),
        ]
    )
    # It starts from what depends on the frame, or it would be worked out once and for all.
    first = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["matrix", "mean"], ["round_0"]),
        *(helper.make_node("MatMul", [f"round_{n}", "matrix"], [f"round_{n + 1}"]) for n in range(rounds)),
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
