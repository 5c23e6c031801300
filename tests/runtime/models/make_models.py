"""Makes the tiny model files of the runtime's tests: python tests/runtime/models/make_models.py

Their network finds bright spots: every joint's heatmap is the frame's brightness, every tag is 0. In boxes, every
landmark's map is the crop's brightness, from -6 to 6.
Needs onnx; the files are kept in the repository so that the tests need only ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from heatstream.model_info import ModelInfo

HERE = Path(__file__).resolve().parent
ANY = ModelInfo(
    name="spots",
    skeleton="coco-17",
    input_size=(64, 64),
    any_size=True,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    project=False,
    weights="made by hand",
    licence="Apache-2.0",
    decode={"max_people": 5},
)
POINTS = replace(
    ANY,
    name="points",
    skeleton="300w-68",
    any_size=False,
    batch=None,
    task="landmarks",
    outputs={"landmarks": 4},
    decode={"topk": 4},
)
FIXED = replace(ANY, input_size=(64, 128), any_size=False)


def spots(*, joints: int = 17, size: tuple[int, int] | None = None, tags: str = "tags") -> onnx.ModelProto:
    """The network, for inputs of one size or of any."""
    brightness = np.full((joints, 3, 1, 1), 1 / 3, np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "brightness"], ["full"]),
        helper.make_node("AveragePool", ["full"], ["heatmaps_half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["full"], ["heatmaps_quarter"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Mul", ["heatmaps_quarter", "zero"], [tags]),
    ]

    def port(name: str, channels: int, stride: int) -> onnx.ValueInfoProto:
        sides = [f"{name}_height", f"{name}_width"] if size is None else [side // stride for side in size]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *sides])

    graph = helper.make_graph(
        nodes,
        "spots",
        [port("images", 3, 1)],
        [port("heatmaps_quarter", joints, 4), port("heatmaps_half", joints, 2), port(tags, joints, 4)],
        [numpy_helper.from_array(brightness, "brightness"), numpy_helper.from_array(np.float32(0), "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def points() -> onnx.ModelProto:
    """The network that finds landmarks in any number of boxes."""
    count = POINTS.num_keypoints
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "brightness", "offset"], ["landmarks"], strides=[4, 4])],
        "points",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["boxes", 3, 64, 64])],
        [helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, ["boxes", count, 16, 16])],
        [
            numpy_helper.from_array(np.full((count, 3, 1, 1), 4, np.float32), "brightness"),
            numpy_helper.from_array(np.full(count, -6, np.float32), "offset"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def save(name: str, model: onnx.ModelProto, metadata: dict[str, str]) -> None:
    """Check the network and write it beside this script."""
    onnx.checker.check_model(model)
    helper.set_model_props(model, metadata)
    onnx.save(model, HERE / name)


if __name__ == "__main__":
    save("spots.onnx", spots(), ANY.to_metadata())
    save("spots_64x128.onnx", spots(size=(64, 128)), FIXED.to_metadata())
    save("points.onnx", points(), POINTS.to_metadata())
    save("no_metadata.onnx", spots(), {})
    save("other_joints.onnx", spots(joints=14), ANY.to_metadata())
    save("other_size.onnx", spots(size=(64, 64)), FIXED.to_metadata())
    save("other_output.onnx", spots(tags="labels"), ANY.to_metadata())
    save("other_settings.onnx", spots(), replace(ANY, decode={"no_such_setting": 1}).to_metadata())
