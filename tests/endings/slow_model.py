"""A network that takes its time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.demo.conftest import write_model

SIDE = 256


def write_slow_model(path: Path, rounds: int) -> Path:
    """The network of :func:`write_model` with something beside it that takes long and changes nothing.

    Args:
        path: the file.
        rounds: how often a matrix of 256 x 256 is multiplied with another; 1000 take about a second.
    """
    model = onnx.load(str(write_model(path)))
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "matrix"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [SIDE, SIDE]),
        ],
    )
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.int64(rounds), "rounds"),
            numpy_helper.from_array(np.bool_(True), "go"),
            numpy_helper.from_array(np.eye(SIDE, dtype=np.float32), "matrix"),
        ]
    )
    # The loop starts from what depends on the frame, or it would be worked out once and for all.
    first = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["matrix", "mean"], ["start"]),
        helper.make_node("Loop", ["rounds", "go", "start"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end"], ["something"], keepdims=0),
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
