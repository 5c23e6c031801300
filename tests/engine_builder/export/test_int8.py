"""INT8: where the Q/DQ pairs are, what they hold, and which layers are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")

import onnxruntime  # noqa: E402

from heatstream.engine_builder.export.drift import measure_drift  # noqa: E402
from heatstream.engine_builder.export.fp16 import cast_to_half, peak_values  # noqa: E402
from heatstream.engine_builder.export.int8 import FEWEST_IMAGES, Photographs, quantise  # noqa: E402
from heatstream.engine_builder.export.quantised_graph import SMALLEST_SCALE, layers_to_quantise  # noqa: E402
from heatstream.errors import InputError  # noqa: E402

Array = NDArray[np.float32]
WIDTH = 8
SHAPE = (1, WIDTH, 16, 16)


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def images(count: int = FEWEST_IMAGES) -> list[Array]:
    return [draw(1, 3, 16, 16, seed=seed + 1) for seed in range(count)]


def photographs(count: int = FEWEST_IMAGES) -> Photographs:
    return Photographs("photos", tuple(f"{index}.jpg" for index in range(count)), images(count))


def network(**weights: Array) -> Any:
    """Four convolutions of which the third, "wide", reads and passes on what the fourth and a residual read too."""
    weights = {
        "first": draw(WIDTH, 3, 3, 3),
        "depthwise": draw(WIDTH, 1, 3, 3),
        "wide": draw(WIDTH, WIDTH, 1, 1),
        "last": draw(2, WIDTH, 1, 1),
        **weights,
    }
    node, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    groups = {"depthwise": WIDTH}
    nodes, value = [], "images"
    for name in ("first", "depthwise", "wide"):
        pads = [weights[name].shape[2] // 2] * 4
        nodes.append(node("Conv", [value, name], [f"{name} out"], name, pads=pads, group=groups.get(name, 1)))
        value = f"{name} out"
    nodes.append(node("Relu", ["depthwise out"], ["residual"]))
    nodes.append(node("Add", ["wide out", "residual"], ["sum"]))
    nodes.append(node("Conv", ["wide out", "last", "bias"], ["maps"], "last"))
    weights["bias"] = draw(2)
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "small",
            [tensor("images", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
            [
                tensor("maps", onnx.TensorProto.FLOAT, [1, 2, 16, 16]),
                tensor("sum", onnx.TensorProto.FLOAT, list(SHAPE)),
            ],
            [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )


def run(model: Any, image: Array) -> list[Array]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    maps: list[Array] = session.run(["maps", "sum"], {"images": image})
    return maps


def drift(model: Any, other: Any, some: Sequence[Array]) -> float:
    outputs = zip(*([zip(run(model, image), run(other, image), strict=True) for image in some]), strict=True)
    return max(measure_drift(pairs).rms for pairs in outputs)


def sources(model: Any) -> dict[str, Any]:
    """Name of a value -> the node that it comes from."""
    return {name: node for node in model.graph.node for name in node.output}


def constants(model: Any) -> dict[str, NDArray[Any]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_pairs_stand_before_convolutions_and_nowhere_else() -> None:
    model = network()
    before = model.SerializeToString()
    quantised = quantise(model, photographs(), bound=np.inf)
    assert model.SerializeToString() == before
    assert quantised.layers == ("first", "depthwise", "wide", "last")
    assert quantised.left_out == ()
    values, made = constants(quantised.model), sources(quantised.model)
    for node in quantised.model.graph.node:
        if node.op_type == "Conv":
            data, weights = made[node.input[0]], made[node.input[1]]
            assert data.op_type == weights.op_type == "DequantizeLinear"
            assert made[data.input[0]].op_type == "QuantizeLinear"
            channels = 2 if node.name == "last" else WIDTH
            assert values[weights.input[0]].dtype == np.int8
            assert values[weights.input[1]].shape == (channels,)
            assert values[data.input[1]].shape == ()
            for pair in (data, weights):
                assert values[pair.input[2]].dtype == np.int8
                assert not values[pair.input[2]].any(), "TensorRT takes no other zero point than 0"
            assert all(name == "bias" for name in node.input[2:])
        elif node.op_type == "Add":
            assert list(node.input) == ["wide out", "residual"], "what is no convolution reads values as they were"
    assert 0 < drift(model, quantised.model, images(4)) < 0.05


def test_it_stays_int8_when_the_rest_becomes_float16() -> None:
    model = network()
    quantised = quantise(model, photographs(), bound=np.inf).model
    cast_to_half(quantised, peak_values(model, images(1)[0]))
    kinds = {name: array.dtype for name, array in constants(quantised).items()}
    assert {kinds[name] for name in kinds if name.endswith("_scale half")} == {np.dtype(np.float16)}
    assert {kinds[name] for name in kinds if name.endswith("_quantized")} == {np.dtype(np.int8)}
    assert kinds["bias half"] == np.float16
    assert "float32" not in {str(kind) for kind in kinds.values()}
    assert drift(model, quantised, images(4)) < 0.05


def test_a_scale_never_vanishes_in_float16() -> None:
    weights = draw(WIDTH, WIDTH, 1, 1)
    weights[2] *= 1e-9
    weights[3] = 0
    quantised = quantise(network(wide=weights), photographs(), bound=np.inf).model
    scales = constants(quantised)["wide_scale"]
    assert scales.min() >= SMALLEST_SCALE * 0.99
    assert (scales.astype(np.float16) > 0).all()


def test_the_layer_that_spoils_the_maps_is_left_out_and_no_other() -> None:
    """Its first channel is a thousand times larger than the others and not read by the last one."""
    wide, last = draw(WIDTH, WIDTH, 1, 1), draw(2, WIDTH, 1, 1)
    wide[0] *= 1000
    last[:, 0] = 0
    model, told = network(wide=wide, last=last), list[tuple[int, int]]()
    every = quantise(model, photographs(), bound=np.inf)
    bound = 0.03
    assert drift(model, every.model, images(4)) > bound
    chosen = quantise(model, photographs(), bound=bound, progress=lambda *numbers: told.append(numbers))
    assert chosen.left_out == ("last",)  # it reads the channels in one scale; per channel, "wide" itself is harmless
    assert chosen.layers == ("first", "depthwise", "wide")
    assert drift(model, chosen.model, images(4)) <= bound
    assert [node.input[1] for node in chosen.model.graph.node if node.name == "last"] == ["last"]
    assert not [name for name in constants(chosen.model) if name.startswith("last_")]
    assert told == [(done, 4) for done in (1, 2, 3, 4)]


def test_a_bound_that_nothing_meets_leaves_every_layer_out() -> None:
    model = network()
    none = quantise(model, photographs(), bound=1e-9)
    assert none.layers == ()
    assert sorted(none.left_out) == sorted(layers_to_quantise(model))
    assert drift(model, none.model, images(4)) == 0


def test_too_few_photographs_are_refused() -> None:
    with pytest.raises(
        InputError, match=rf"photos holds 3 photographs and INT8 is calibrated on at least {FEWEST_IMAGES}"
    ):
        photographs(3)


@pytest.mark.parametrize(
    ("received", "largest", "rms"),
    [
        ([0.0, 1.0, 2.0], 0.0, 0.0),
        ([0.0, 1.0, 1.0], 0.5, 0.5 / 3**0.5),
        ([np.nan, 1.0, 2.0], np.inf, np.inf),
        ([0.0, np.inf, 2.0], np.inf, np.inf),
    ],
)
def test_drift_is_relative_to_the_range(received: list[float], largest: float, rms: float) -> None:
    found = measure_drift([(np.float32([0, 1, 2]), np.float32(received))])
    assert (found.largest, found.rms) == pytest.approx((largest, rms))


def test_maps_without_a_range_must_be_equal() -> None:
    flat = np.ones(3, np.float32)
    assert measure_drift([(flat, flat)]).largest == 0
    assert measure_drift([(flat, flat + np.float32(1e-3))]).largest > 1e6
    assert measure_drift([]).largest == 0
