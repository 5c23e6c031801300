"""Casting a graph to float16, on graphs small enough to know what must come out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from heatstream.engine_builder.export.fp16 import cast_to_half, peak_values  # noqa: E402

Array = NDArray[np.float32]
SHAPE = (1, 2, 4, 4)
IMAGES = np.linspace(-2, 2, 32, dtype=np.float32).reshape(SHAPE)


def graph(nodes: list[Any], outputs: dict[str, tuple[int, ...]], **weights: Array) -> Any:
    """A float32 model with the input ``images`` of shape (1, 2, 4, 4)."""

    def value(name: str, shape: tuple[int, ...]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "small",
            [value("images", SHAPE)],
            [value(name, shape) for name, shape in outputs.items()],
            [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


def run(model: Any) -> list[Array]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {port.type for port in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    outputs: list[Array] = session.run(None, {"images": IMAGES})
    return outputs


def kinds(model: Any) -> Counter[str]:
    return Counter(item.op_type for item in model.graph.node)


def weight_types(model: Any) -> dict[str, str]:
    return {tensor.name: onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer}


def convolution() -> Any:
    weights = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    return graph(
        [
            node("Conv", ["images", "w"], "a", pads=[1, 1, 1, 1]),
            node("Relu", ["a"], "b"),
            node("Resize", ["b", "", "scales"], "c", mode="nearest"),
        ],
        {"b": SHAPE, "c": (1, 2, 8, 8)},
        w=weights,
        scales=np.array([1, 1, 2, 2], np.float32),
    )


def test_values_become_float16_and_the_edges_stay_float32() -> None:
    model = convolution()
    before = run(model)
    assert cast_to_half(model, peak_values(model, IMAGES)) == 0
    assert weight_types(model) == {"w half": "FLOAT16", "scales": "FLOAT"}
    assert kinds(model) == {"Conv": 1, "Relu": 1, "Resize": 1, "Cast": 4}  # in, two out, and b back for Resize
    for want, got in zip(before, run(model), strict=True):
        assert 0 < np.abs(want - got).max() < 1e-2


def test_peaks_are_the_largest_magnitudes() -> None:
    model = convolution()
    peaks = peak_values(model, IMAGES)
    b, c = run(model)
    assert peaks["images"] == 2.0
    assert peaks["b"] == pytest.approx(b.max())
    assert peaks["c"] == pytest.approx(c.max())
    assert peaks["a"] >= peaks["b"]
    assert peaks["scales"] == 2.0
    assert set(peaks) == {"images", "w", "scales", "a", "b", "c"}


def test_what_could_overflow_stays_float32_in_one_island() -> None:
    """x * 1e6 * 1e-6: the product in the middle does not fit a float16."""
    model = graph(
        [
            node("Mul", ["images", "up"], "large"),
            node("Relu", ["large"], "still_large"),
            node("Mul", ["still_large", "down"], "small_again"),
            node("Mul", ["small_again", "two"], "out"),
        ],
        {"out": SHAPE},
        up=np.array(1e6, np.float32),
        down=np.array(1e-6, np.float32),
        two=np.array(2, np.float32),
    )
    assert cast_to_half(model, peak_values(model, IMAGES)) == 3
    assert weight_types(model) == {"up": "FLOAT", "down": "FLOAT", "two half": "FLOAT16"}
    assert kinds(model)["Cast"] == 2  # after the island, and to the output
    np.testing.assert_allclose(run(model)[0], 2 * IMAGES.clip(0), rtol=1e-3)


@pytest.mark.parametrize("peak", [float("inf"), float("nan")])
def test_what_was_not_finite_stays_float32(peak: float) -> None:
    model = graph([node("Relu", ["images"], "out")], {"out": SHAPE})
    assert cast_to_half(model, {"images": 2.0, "out": peak}) == 1
    assert kinds(model) == {"Relu": 1}


def test_a_weight_of_both_precisions_is_kept_in_both() -> None:
    model = graph(
        [node("Mul", ["images", "w"], "a"), node("Exp", ["a"], "b"), node("Mul", ["b", "w"], "out")],
        {"out": SHAPE},
        w=np.array(0.3, np.float32),
    )
    model.graph.node[1].input[0] = "a"
    model.graph.node.insert(2, node("Pow", ["b", "w"], "c"))
    model.graph.node[3].input[0] = "c"
    expected = run(model)[0]
    assert cast_to_half(model, peak_values(model, IMAGES)) == 2  # Exp and Pow can overflow inside
    assert weight_types(model) == {"w": "FLOAT", "w half": "FLOAT16"}
    np.testing.assert_allclose(run(model)[0], expected, rtol=5e-3)


def test_integers_are_left_alone() -> None:
    model = graph([node("Shape", ["images"], "shape"), node("Reshape", ["images", "shape"], "out")], {"out": SHAPE})
    assert cast_to_half(model, peak_values(model, IMAGES)) == 0
    np.testing.assert_allclose(run(model)[0], IMAGES, rtol=1e-3)
