"""A model file's graph in torch: the maps of ONNX Runtime, and no work on the host after the first run of a size."""

from __future__ import annotations

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
from tests.fakes.runtime import MODELS

torch = pytest.importorskip("torch", reason="torch comes with the extra train")
onnx = pytest.importorskip("onnx", reason="onnx comes with the extra train")


def images(size: tuple[int, int]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(size[1]).random((1, 3, *size), np.float32)


@pytest.mark.parametrize(
    ("model", "tolerance"),
    [
        (MODELS / "spots.onnx", 1e-6),
        (catalog.bundled_path("swahr-mobile"), 5e-3),  # in FP16; its tags span several units
    ],
    ids=["spots", "swahr-mobile"],
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


def test_what_follows_from_the_size_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured graph could not hold it: it is host's work, and it would be copied to the device each time."""
    model = catalog.bundled_path("swahr-mobile")
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
