"""Networks that are none of heatstream's, as ONNX files: they find coloured squares, whatever they were "trained" on.

A person's keypoint k is a square of grey level 60 + 6 k on black, as large as a map's pixel; its heatmap is high where
the level is near, and all tags are 0: everything is one person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST, STEP = 60.0, 6.0


def levels(joints: int) -> NDArray[np.float32]:
    return (LOWEST + STEP * np.arange(joints)).astype(np.float32)


def draw_person(size: tuple[int, int], places: Sequence[tuple[int, int]], *, cell: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the person whose keypoint k lies in cell (x, y) of the map."""
    frame = np.zeros((*size, 3), np.uint8)
    for level, (x, y) in zip(levels(len(places)), places, strict=True):
        frame[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] = int(level)
    return frame


class Graph:
    """Writes an ONNX file, node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def bumps(self, grey: str, joints: int, name: str) -> str:
        """max(0, 1 - ((grey - level) / (STEP / 2))^2) per keypoint, of a map (B, 1, h, w)."""
        level = self.constant(f"{name}_level", levels(joints).reshape(1, joints, 1, 1))
        width = self.constant(f"{name}_width", STEP / 2)
        one, zero = self.constant(f"{name}_one", 1.0), self.constant(f"{name}_zero", 0.0)
        far = self.add("Div", [self.add("Sub", [grey, level], f"{name}_far"), width], f"{name}_scaled")
        square = self.add("Mul", [far, far], f"{name}_square")
        return self.add("Max", [self.add("Sub", [one, square], f"{name}_bump"), zero], f"{name}_map")

    def save(
        self,
        path: Path,
        given: tuple[str, Sequence[Any]],
        outputs: dict[str, int],
        *,
        dtype: str = "FLOAT",
        opset: int = 17,
    ) -> Path:
        import onnx
        from onnx import helper

        kind = getattr(onnx.TensorProto, dtype)
        graph = helper.make_graph(
            self.nodes,
            "main_graph",
            [helper.make_tensor_value_info(given[0], kind, list(given[1]))],
            [helper.make_tensor_value_info(name, kind, [None] * rank) for name, rank in outputs.items()],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        onnx.save(model, str(path))
        return path


def write_two_stage(path: Path, joints: int = 17, *, opset: int = 17) -> Path:
    """A HigherHRNet of another program: any size, tags before heatmaps in one output at 1/4, heatmaps at 1/2."""
    graph = Graph()
    grey = graph.add("ReduceMean", ["data"], "grey", axes=[1], keepdims=1)
    coarse = graph.add("AveragePool", [grey], "coarse", kernel_shape=[4, 4], strides=[4, 4])
    fine = graph.add("AveragePool", [grey], "fine", kernel_shape=[2, 2], strides=[2, 2])
    heatmaps = graph.bumps(coarse, joints, "quarter")
    tags = graph.add("Mul", [heatmaps, graph.constant("none", 0.0)], "quarter_tags")
    graph.add("Concat", [tags, heatmaps], "stage_0", axis=1)
    graph.add("Identity", [graph.bumps(fine, joints, "half")], "stage_1")
    return graph.save(path, ("data", ["n", 3, "h", "w"]), {"stage_1": 4, "stage_0": 4}, opset=opset)


def write_one_stage(path: Path, joints: int = 17) -> Path:
    """Heatmaps and tags at 1/8, blue first, values to 255, one size, half precision; its input is called tags."""
    graph = Graph()
    pooled = graph.add("AveragePool", ["tags"], "pooled", kernel_shape=[8, 8], strides=[8, 8])
    wide = graph.add("Cast", [pooled], "wide", to=1)
    # Red alone, so that the wrong order of colours shows.
    weights = graph.constant("red", np.array([0, 0, 1], np.float32).reshape(1, 3, 1, 1))
    heatmaps = graph.bumps(graph.add("Conv", [wide, weights], "only_red"), joints, "all")
    graph.add("Cast", [heatmaps], "heat", to=10)
    graph.add("Cast", [graph.add("Mul", [heatmaps, graph.constant("none", 0.0)], "flat")], "embedding", to=10)
    return graph.save(path, ("tags", [1, 3, 128, 192]), {"embedding": 4, "heat": 4}, dtype="FLOAT16")


def write_channels_last(path: Path, joints: int = 9) -> Path:
    """A network from another world: (B, H, W, 3) in, (B, H/2, W/2, 2 K) out."""
    graph = Graph()
    first = graph.add("Transpose", ["serving_input"], "first", perm=[0, 3, 1, 2])
    grey = graph.add("ReduceMean", [first], "grey", axes=[1], keepdims=1)
    fine = graph.add("AveragePool", [grey], "fine", kernel_shape=[2, 2], strides=[2, 2])
    heatmaps = graph.bumps(fine, joints, "half")
    tags = graph.add("Mul", [heatmaps, graph.constant("none", 0.0)], "flat")
    both = graph.add("Concat", [heatmaps, tags], "both", axis=1)
    graph.add("Transpose", [both], "StatefulPartitionedCall:0", perm=[0, 2, 3, 1])
    return graph.save(path, ("serving_input", [1, 128, 192, 3]), {"StatefulPartitionedCall:0": 4})
