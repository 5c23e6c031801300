"""A network small enough to be made in a test, and clips in which it finds somebody.

It takes every keypoint to be where the picture is brightest, so one soft white spot is one person.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from heatstream.demo.cli import main
from heatstream.model_info import ModelInfo, Precision
from heatstream.skeletons import COCO_17
from tests.demo.helpers import Command, Ended
from tests.fakes.runtime import MODELS

CLIP_FRAMES = 30
CLIP_FPS = 25.0
SIZE = (128, 192)
"""(height, width) px of the clip."""


def spot(x: float, y: float) -> NDArray[np.uint8]:
    """A black frame, uint8 BGR, with one soft white spot at (x, y) px."""
    rows, columns = np.indices(SIZE) + 0.5
    brightness = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 5.0**2))
    return np.repeat(np.rint(brightness)[:, :, None], 3, axis=2).astype(np.uint8)


def spot_place(index: int) -> tuple[float, float]:
    """Where the spot of the clip is in a frame, px: to the right, and never midway between two pixels of a map."""
    return 40.35 + 3.1 * index, 62.7


@pytest.fixture
def heatstream(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command line in this process, without a display."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ended(ended.value.code if isinstance(ended.value.code, int) else -1, out, err)

    return run


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a spot that moves to the right."""
    path = tmp_path_factory.mktemp("clip") / "spot.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), CLIP_FPS, SIZE[::-1])
    for index in range(CLIP_FRAMES):
        writer.write(spot(*spot_place(index)))
    writer.release()
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose network finds the brightest spot."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def tiny_faces() -> Path:
    """A model file whose network takes the brightest place of a box to be every landmark of a face."""
    return MODELS / "points.onnx"


def write_model(
    path: Path, *, metadata: bool = True, claims: str = "coco-17", scale: float = 1.0, precision: Precision = "fp32"
) -> Path:
    """Write the network to a file.

    Args:
        path: the file.
        metadata: whether it describes itself.
        claims: the skeleton it says it has; its outputs always have 17 maps.
        scale: multiplies the heatmaps; NaN gives maps that hold nothing else.
        precision: what it says it computes in; it is always float32.
    """
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")
    helper = onnx.helper
    info = ModelInfo(
        name="tiny",
        skeleton=claims,
        input_size=(128, 128),
        any_size=True,
        weights="made by hand",
        project=False,
        precision=precision,
    )
    joints = COCO_17.num_keypoints
    # Undo the normalisation and take the mean of the colours: brightness, 0..1.
    brightness = np.repeat(np.float32(info.std)[None] / 3, joints, axis=0).reshape(joints, 3, 1, 1)
    offset = np.full(joints, np.float32(info.mean).mean(), np.float32)
    shape = [1, joints, None, None]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "brightness", "offset"], ["bright"], "bright"),
            helper.make_node("Mul", ["bright", "scale"], ["maps"]),
            helper.make_node("AveragePool", ["maps"], ["heatmaps_quarter"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("AveragePool", ["maps"], ["heatmaps_half"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("AveragePool", ["bright"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Mul", ["small", "zero"], ["tags"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, None, None])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name in ("heatmaps_quarter", "heatmaps_half", "tags")
        ],
        [
            onnx.numpy_helper.from_array(brightness.astype(np.float32), "brightness"),
            onnx.numpy_helper.from_array(offset, "offset"),
            onnx.numpy_helper.from_array(np.float32(scale), "scale"),
            onnx.numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if metadata:
        helper.set_model_props(model, info.to_metadata())
    onnx.save(model, str(path))
    return path
