"""One path for TensorRT 10.3, 11 and TensorRT-RTX: strongly typed, of a fixed shape, told step by step."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heatstream.catalog import bundled_path
from heatstream.engine_builder.export.fp16 import cast_to_half, peak_values
from heatstream.engine_builder.export.int8 import Photographs, quantise
from heatstream.engine_builder.export.probe_images import natural_images
from heatstream.engine_builder.trt.compile import CompiledEngine, compile_engine
from heatstream.engine_builder.trt.gpus import PORTABLE
from heatstream.engine_builder.trt.layers import count_layers, float32_layers, inspected_layers
from heatstream.engine_builder.trt.model_source import ModelSource, read_model
from heatstream.engine_builder.trt.toolkit import Toolkit
from heatstream.errors import BuildError
from tests.demo.conftest import write_model

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")

VERSIONS = ("10.3.0", "11.4.1")


@pytest.fixture(params=[*VERSIONS, "rtx"])
def toolkit(request: pytest.FixtureRequest, tensorrt: Callable[..., Toolkit]) -> Toolkit:
    """Each of the three."""
    rtx: Toolkit = request.getfixturevalue("rtx") if request.param == "rtx" else tensorrt(request.param)
    return rtx


@pytest.fixture
def bundled() -> ModelSource:
    """The bundled network: any size, FP16."""
    return read_model(bundled_path("swahr-tiny"))


def _compile(
    toolkit: Toolkit, source: ModelSource, batch: int = 1, graph: Any = None, **options: Any
) -> CompiledEngine:
    info = source.shaped(size=options.pop("size", None), batch=batch, precision=options.pop("precision", "fp16"))
    targets = PORTABLE if toolkit.backend == "tensorrt-rtx" else ("sm_87",)
    content = source.graph(info) if graph is None else graph.SerializeToString()
    return compile_engine(toolkit, content, info, batch=batch, targets=targets, **options)


class _Watcher:
    """A progress that notes what it is told."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        self.parents: dict[str, str | None] = {}
        self.steps = 0

    def started(self, phase: str, parent: str | None, steps: int) -> None:
        assert parent is None or parent in self.open
        assert steps > 0
        self.open[phase], self.parents[phase] = steps, parent

    def stepped(self, phase: str, step: int) -> None:
        assert 0 <= step < self.open[phase]
        self.steps += 1

    def finished(self, phase: str) -> None:
        del self.open[phase]


def test_a_file_of_any_size_becomes_an_engine_of_one(toolkit: Toolkit, bundled: ModelSource) -> None:
    watcher = _Watcher()
    engine = _compile(toolkit, bundled, size=(128, 192), progress=watcher)
    assert engine.plan
    assert engine.shapes == {
        "images": (1, 3, 128, 192),
        "heatmaps_quarter": (1, 17, 32, 48),
        "heatmaps_half": (1, 17, 64, 96),
        "tags": (1, 17, 32, 48),
    }
    assert count_layers(engine.layers)["fp16"]["convolution"] == 88
    assert float32_layers(engine.layers) == []
    assert watcher.open == {}
    assert watcher.steps > 0
    assert watcher.parents["Building engine"] is None


def test_a_batch_is_free_from_one_to_what_was_asked(toolkit: Toolkit, bundled: ModelSource) -> None:
    engine = _compile(toolkit, bundled, batch=4, size=(128, 128))
    assert engine.shapes["images"] == (-1, 3, 128, 128)
    assert engine.shapes["tags"] == (-1, 17, 32, 32)
    if toolkit.backend == "tensorrt":
        plan = json.loads(engine.plan)
        assert plan["profiles"] == [{"images": [[1, 3, 128, 128], [4, 3, 128, 128], [4, 3, 128, 128]]}]


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrt_is_asked_for_strong_typing_and_no_precision(
    tensorrt: Callable[..., Toolkit], bundled: ModelSource, version: str
) -> None:
    plan = json.loads(_compile(tensorrt(version), bundled).plan)
    assert plan["strongly_typed"]
    assert plan["flags"] == []  # FP16 is not set where it can be, and TF32 is cleared everywhere
    assert plan["profiles"] == []


def test_an_fp32_file_is_cast_and_what_stays_in_fp32_is_named(toolkit: Toolkit, tmp_path: Path) -> None:
    half = _compile(toolkit, read_model(write_model(tmp_path / "tiny.onnx")))
    assert list(count_layers(half.layers)) == ["fp16"]
    large = _compile(toolkit, read_model(write_model(tmp_path / "large.onnx", scale=1e5)))
    assert float32_layers(large.layers)
    assert "fp16" in count_layers(large.layers)
    single = _compile(toolkit, read_model(tmp_path / "tiny.onnx"), precision="fp32")
    assert list(count_layers(single.layers)) == ["fp32"]


def test_an_int8_file_computes_its_convolutions_in_int8_and_the_rest_in_fp16(toolkit: Toolkit, tmp_path: Path) -> None:
    """The fakes are asked for no flag that TensorRT 11 lacks: what is INT8 is said by the graph."""
    path = write_model(tmp_path / "tiny.onnx")
    plain = read_model(path)
    model = onnx.load(path)
    images = natural_images(16, (128, 128), plain.info)
    photographs = Photographs("photos", ("a.jpg",) * 16, list(np.split(images, 16)))
    quantised = quantise(model, photographs, bound=np.inf).model
    cast_to_half(quantised, peak_values(model, images[:1]))
    onnx.helper.set_model_props(quantised, replace(plain.info, precision="int8").to_metadata())
    onnx.save(quantised, str(path))

    engine = _compile(toolkit, read_model(path), precision=None)
    counts = count_layers(engine.layers)
    assert counts["int8"] == {"convolution": 1}
    assert set(counts) == {"int8", "fp16"}
    assert counts["fp16"]["pooling"] == 3
    if toolkit.backend == "tensorrt":
        assert json.loads(engine.plan)["flags"] == []


INSPECTED = """{"Layers": [
  {"Name": "Reformatting CopyNode for Input Tensor 0 to stem", "LayerType": "Reformat",
   "Inputs": [{"Name": "images", "Dimensions": [1,3,64,64], "Format/Datatype": "Row major linear FP32"}],
   "Outputs": [{"Name": "x", "Format/Datatype": "Row major linear FP16"}], "StreamId": 0},
  {"Name": "stem + relu", "LayerType": "CaskConvolution",
   "Inputs": [{"Name": "x", "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
   "Outputs": [{"Name": "y", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}]},
  {"Name": "head", "LayerType": "CaskConvolution",
   "Inputs": [{"Name": "y", "Format/Datatype": "Half"}], "Outputs": [{"Name": "z", "Format/Datatype": "Half"}]},
  {"Name": "shape", "LayerType": "ShapeHostToDevice",
   "Inputs": [], "Outputs": [{"Name": "s", "Format/Datatype": "Row major Int64 format"}]},
  "a layer of an engine without details"
], "Bindings": ["images", "z"]}"""


def test_an_inspectors_report_is_understood() -> None:
    assert count_layers(inspected_layers(INSPECTED)) == {
        "fp32": {"reformat": 1},
        "int8": {"caskconvolution": 1},
        "fp16": {"caskconvolution": 1},
    }


def test_tensorrt_tells_what_it_made_of_the_layers_and_rtx_is_not_asked(toolkit: Toolkit, bundled: ModelSource) -> None:
    counts = count_layers(_compile(toolkit, bundled, size=(64, 64)).fused)
    if toolkit.backend == "tensorrt":
        assert counts["fp16"]["caskconvolution"] == 88
    else:
        assert counts == {}


def _renamed_operator(model: Any) -> None:
    model.graph.node[21].op_type = "NoSuchOperator"


def _lost_input(model: Any) -> None:
    model.graph.node[21].input[0] = "lost"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_renamed_operator, r"cannot read swahr-tiny at node node_add_\d+ \(NoSuchOperator\): .*Plugin not found"),
        (_lost_input, r"cannot read swahr-tiny at node node_add_\d+ \(Add\): .*input was not registered"),
    ],
)
def test_a_graph_that_is_refused_is_named_with_its_node(
    rtx: Toolkit, bundled: ModelSource, spoil: Callable[[Any], None], words: str
) -> None:
    model = onnx.load(bundled.path)
    spoil(model)
    with pytest.raises(BuildError, match=words) as caught:
        _compile(rtx, bundled, graph=model)
    assert "\n" not in str(caught.value)
    assert "/_src/" not in str(caught.value)


@pytest.mark.parametrize("version", VERSIONS)
def test_tensorrt_names_the_node_too(tensorrt: Callable[..., Toolkit], bundled: ModelSource, version: str) -> None:
    model = onnx.load(bundled.path)
    _renamed_operator(model)
    with pytest.raises(BuildError, match=r"node node_add_\d+ \(NoSuchOperator\)"):
        _compile(tensorrt(version), bundled, graph=model)


def test_mixed_types_are_refused_rather_than_cast(rtx: Toolkit, bundled: ModelSource) -> None:
    model = onnx.load(bundled.path)
    cast = next(node for node in model.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = onnx.TensorProto.DOUBLE
    with pytest.raises(BuildError, match=r"at node node_mul \(Mul\): .*same input types"):
        _compile(rtx, bundled, graph=model)


def test_a_batch_that_is_written_into_the_graph_is_refused(rtx: Toolkit, bundled: ModelSource) -> None:
    """Only the tags have one image whatever the input has: a Reshape or Slice of an exporter can do that."""
    model = onnx.load(bundled.path)
    producer = next(node for node in model.graph.node if "tags" in node.output)
    producer.output[0] = "all tags"
    bounds = {"first": 0, "end": 1}
    model.graph.initializer.extend(
        onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]) for name, value in bounds.items()
    )
    model.graph.node.append(onnx.helper.make_node("Slice", ["all tags", "first", "end", "first"], ["tags"]))
    with pytest.raises(BuildError, match=r"sees tags of swahr-tiny as .* export the model with --size any"):
        _compile(rtx, bundled, batch=2, graph=model)


def test_ctrl_c_ends_a_build_and_leaves_the_handler_as_it_was(toolkit: Toolkit, bundled: ModelSource) -> None:
    class Impatient(_Watcher):
        def stepped(self, phase: str, step: int) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _compile(toolkit, bundled, progress=Impatient())
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("version", VERSIONS)
def test_measured_times_are_kept_for_the_next_build(
    tensorrt: Callable[..., Toolkit], bundled: ModelSource, tmp_path: Path, version: str
) -> None:
    timings = tmp_path / "timings.cache"

    def measured(gpu: str = "Orin") -> Any:
        return json.loads(_compile(tensorrt(version, gpu), bundled, timings=timings).plan)["measured"]

    first = measured()
    assert first > 50
    assert measured() == 0
    assert measured("another GPU") == first
    timings.write_bytes(b"\x00\xffdamaged")
    assert measured() == first
    assert measured() == 0
    timings.unlink()
    timings.mkdir()  # cannot be written: the engine is not lost over it
    assert measured() == first


def test_rtx_keeps_no_times_and_is_not_asked_to(rtx: Toolkit, bundled: ModelSource, tmp_path: Path) -> None:
    _compile(rtx, bundled, size=(64, 64), timings=tmp_path / "timings.cache")
    assert list(tmp_path.iterdir()) == []
