"""Models that go back to operator set 17, and those that must not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra train")

from heatstream.engine_builder.export.fusable_relu import make_relu_fusable  # noqa: E402

IMAGE = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float32)


def _model(*nodes: Any, opset: int = 18) -> Any:
    weight = onnx.numpy_helper.from_array(np.ones((2, 2, 3, 3), np.float16), "weight")
    scales = onnx.numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    make = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            make("Cast", ["images"], ["half"], to=onnx.TensorProto.FLOAT16),
            make("Conv", ["half", "weight"], ["conv"]),
            make("Relu", ["conv"], ["relu"]),
            *nodes,
            make("Cast", [nodes[-1].output[0] if nodes else "relu"], ["out"], to=onnx.TensorProto.FLOAT),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 2, 8, 8])],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, "channels", "height", "width"])],
        [weight, scales],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)


def _resize(**attributes: Any) -> Any:
    return onnx.helper.make_node("Resize", ["relu", "", "scales"], ["large"], mode="linear", **attributes)


def _run(model: Any, folder: Any) -> tuple[Any, list[str]]:
    """Its result, and the operators that ONNX Runtime made of it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(folder / "optimised.onnx")
    return session.run(None, {"images": IMAGE})[0], [node.op_type for node in optimised.graph.node]


@pytest.mark.parametrize(
    "nodes",
    [
        (),
        (_resize(keep_aspect_ratio_policy="stretch", antialias=0),),
        (onnx.helper.make_node("Split", ["relu"], ["first", "second"], axis=1, num_outputs=2),),
    ],
    ids=["relu", "resize", "split"],
)
def test_the_same_network_runs_its_relu_with_the_convolution(nodes: tuple[Any, ...], tmp_path: Any) -> None:
    model = _model(*nodes)
    before, slow = _run(model, tmp_path)
    assert make_relu_fusable(model)
    onnx.checker.check_model(model, full_check=True)
    after, quick = _run(model, tmp_path)
    np.testing.assert_allclose(after, before, rtol=2e-3, atol=2e-3)  # FP16 roundings fall away
    assert "Max" in slow
    assert not {"Max", "Relu"} & set(quick)


@pytest.mark.parametrize(
    "nodes",
    [
        (_resize(antialias=1),),
        (_resize(keep_aspect_ratio_policy="not_larger"),),
        (onnx.helper.make_node("ReduceMean", ["relu", "scales"], ["mean"]),),  # its axes were an attribute before
    ],
    ids=["antialias", "aspect", "reduce"],
)
def test_what_means_something_else_before_stays(nodes: tuple[Any, ...]) -> None:
    model = _model(*nodes)
    kept = model.SerializeToString()
    assert not make_relu_fusable(model)
    assert model.SerializeToString() == kept


@pytest.mark.parametrize("opset", [17, 19])
def test_other_operator_sets_stay(opset: int) -> None:
    model = _model(opset=opset)
    assert not make_relu_fusable(model)
    assert model.opset_import[0].version == opset
