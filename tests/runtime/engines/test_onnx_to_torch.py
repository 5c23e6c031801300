"""A model file's graph in torch: the maps of ONNX Runtime, and no work on the host after the first run of a size."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream import catalog
from heatstream.engine_builder.trt.model_source import read_model
from heatstream.errors import ModelFileError
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.engines.onnx_to_torch import torch_module_from_onnx
from heatstream.runtime.engines.torch_engine import TorchEngine
from tests.fakes.patience import HANG_SECONDS
from tests.fakes.runtime import MODELS

torch = pytest.importorskip("torch", reason="torch comes with the extra train")
onnx = pytest.importorskip("onnx", reason="onnx comes with the extra train")


def images(size: tuple[int, int]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(size[1]).random((1, 3, *size), np.float32)


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        (MODELS / "spots.onnx", 1e-6),
        (catalog.bundled_path("swahr-tiny"), 1e-2),  # in FP16; its tags span several units
    ],
    ids=["spots", "swahr-tiny"],
)
def test_it_gives_the_maps_of_onnx_runtime_at_every_size(model: Path, tolerance: float) -> None:
    source = read_model(model)
    engine = TorchEngine(
        torch_module_from_onnx(model.read_bytes(), source.info), source.info, precision=source.info.precision
    )
    expected = OnnxEngine(model, 1)
    for size in ((64, 128), (128, 64), (64, 128)):
        found = engine.run(images(size))
        for name, maps in expected.run(images(size)).items():
            assert found[name].dtype == np.float32
            np.testing.assert_allclose(found[name], maps, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["swahr-tiny", "h3r-mobile-68"])
def test_a_run_reads_nothing_back_from_the_device(name: str) -> None:
    """No value can be read on the device meta, as none can be while a GPU's stream is captured."""
    model = catalog.bundled_path(name)
    info = read_model(model).info
    network = torch_module_from_onnx(model.read_bytes(), info).to("meta")
    images = torch.empty((2, 3, *info.input_size), device="meta")
    with torch.inference_mode():
        maps = network.run(images)
        again = network.run(images)
    for output, found, other, (_, stride) in zip(info.outputs, maps, again, info.outputs.items(), strict=True):
        assert found.device.type == other.device.type == "meta", output
        assert found.shape == other.shape == (2, info.num_keypoints, *(side // stride for side in info.input_size))


def parameters_of_weights() -> Any:
    """A graph with the operators whose numbers are inputs in float: a Clip, and a Resize by scales."""
    model = onnx.load(MODELS / "spots.onnx")
    graph, helper = model.graph, onnx.helper
    output = graph.output[0].name
    (producer,) = (node for node in graph.node if output in node.output)
    producer.output[list(producer.output).index(output)] = "before"
    numbers = {"low": np.float32(0.25), "high": np.float32(0.5), "half": np.float32([1, 1, 0.5, 0.5])}
    numbers["double"] = 1 / numbers["half"]
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items())
    linear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    added = [
        helper.make_node("Clip", ["before", "low", "high"], ["clipped"]),
        helper.make_node("Resize", ["clipped", "", "half"], ["smaller"], **linear),
        helper.make_node("Resize", ["smaller", "", "double"], [output], **linear),
    ]
    place = list(graph.node).index(producer) + 1  # in front of whatever reads the output
    for node in reversed(added):
        graph.node.insert(place, node)
    return model


def test_numbers_that_come_as_weights_are_read_on_the_host(tmp_path: Path) -> None:
    onnx.save(parameters_of_weights(), tmp_path / "numbers.onnx")
    info = read_model(tmp_path / "numbers.onnx").info
    network = torch_module_from_onnx((tmp_path / "numbers.onnx").read_bytes(), info)
    expected = OnnxEngine(tmp_path / "numbers.onnx", 1).run(images((64, 128)))
    with torch.inference_mode():
        found = network.run(torch.from_numpy(images((64, 128))))
        network.to("meta").run(torch.empty((1, 3, 64, 64), device="meta"))
    np.testing.assert_allclose(found[0], expected[next(iter(info.outputs))], atol=1e-6)


def test_threads_that_meet_a_size_together_all_get_its_maps() -> None:
    model = catalog.bundled_path("swahr-tiny")
    source = read_model(model)
    batch = torch.empty((1, 3, 64, 64), device="meta")  # which takes the time of shapes alone
    network = torch_module_from_onnx(model.read_bytes(), source.info).to("meta")
    failures: list[BaseException] = []

    def run(barrier: threading.Barrier) -> None:
        barrier.wait()
        try:
            with torch.inference_mode():
                network(batch)
        except Exception as error:
            failures.append(error)

    for _ in range(20):
        network.folded.clear()
        barrier = threading.Barrier(2)
        threads = [threading.Thread(target=run, args=(barrier,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_SECONDS)
        assert not failures


def test_what_follows_from_the_size_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured graph could not hold it: it is host's work, and it would be copied to the device each time."""
    model = catalog.bundled_path("swahr-tiny")
    network = torch_module_from_onnx(model.read_bytes(), read_model(model).info)
    batch = torch.from_numpy(images((64, 64)))
    with torch.inference_mode():
        first = network(batch)

        def refuse(*args: Any, **options: Any) -> None:
            raise AssertionError("computed again")

        monkeypatch.setattr(torch, "arange", refuse)
        monkeypatch.setattr(torch, "tensor", refuse)
        again = network(batch)
    assert torch.equal(first.tags, again.tags)


def test_an_operator_that_it_does_not_know_is_named() -> None:
    model = onnx.load(MODELS / "spots.onnx")
    model.graph.node[0].op_type = "DeformConv"
    info = read_model(MODELS / "spots.onnx").info
    with pytest.raises(ModelFileError, match="PyTorch cannot run spots: its graph has DeformConv"):
        torch_module_from_onnx(model.SerializeToString(), info)
