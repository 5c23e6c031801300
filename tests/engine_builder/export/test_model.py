"""From a torch network to a checked model file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnxruntime  # noqa: E402
from torch import nn  # noqa: E402

from heatstream.engine_builder.export import model as export  # noqa: E402
from heatstream.engine_builder.export.drift import measure_drift  # noqa: E402
from heatstream.engine_builder.export.int8 import DRIFT_BOUND, Photographs  # noqa: E402
from heatstream.engine_builder.export.model import DRIFT_LIMITS, ExportReport, export_model  # noqa: E402
from heatstream.engine_builder.export.probe_images import natural_images  # noqa: E402
from heatstream.errors import EngineError, InputError, MissingExtraError, SinkError  # noqa: E402
from heatstream.model_info import ModelInfo  # noqa: E402

INFO = ModelInfo(name="small", skeleton="coco-17", input_size=(128, 192), weights="drawn", licence="none")
K = INFO.num_keypoints


class Maps(NamedTuple):
    heatmaps: tuple[Any, Any]
    tags: Any


class Small(nn.Module):  # type: ignore[misc]
    """Every kind of layer of the real networks, a few channels wide, with batch norms that do something."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gain = gain
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(8 + 2 * K, 8, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.nearest = nn.Upsample(scale_factor=2, mode="nearest")
        self.coarse_head, self.fine_head = nn.Conv2d(8, 2 * K, 1), nn.Conv2d(8, K, 1)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 2.0)

    def forward(self, images: Any, *, scales: bool = False) -> Maps:
        assert not scales, "an export must not ask for what only training needs"
        stem = self.stem(images)
        coarse = self.down(stem * self.gain) / self.gain
        both = self.coarse_head(coarse)
        fine = self.up(torch.cat((coarse, both), dim=1)) + stem + self.nearest(coarse)
        heatmaps, tags = both.split(K, dim=1)
        return Maps((heatmaps, self.fine_head(fine)), tags)


class SmallLandmarks(Small):
    """The same layers for the other task; only `landmarks` must be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Conv2d(K, 2 * K, 1, bias=False)

    def landmarks(self, images: Any) -> Any:
        maps = super().forward(images).heatmaps[0]
        return nn.functional.conv2d(maps, self.classes.weight[K:])

    def forward(self, images: Any, *, scales: bool = False) -> Maps:
        raise AssertionError("an export keeps the class that decoding reads, and no other")


PHOTOGRAPHS = Photographs(
    "photos",
    tuple(f"{index}.jpg" for index in range(16)),
    list(np.split(natural_images(16, INFO.input_size, INFO), 16)),
)


def run_both(report: ExportReport, network: nn.Module, images: Any) -> list[tuple[Any, Any]]:
    """(torch, ONNX Runtime) per output, the file loaded as a stranger would."""
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        out = network.eval()(images)
    expected = (*out.heatmaps, out.tags)
    received = session.run(list(report.info.outputs), {"images": images.numpy()})
    return [(want.numpy(), got) for want, got in zip(expected, received, strict=True)]


@pytest.mark.parametrize(
    ("options", "sizes", "shape"),
    [
        pytest.param({}, [(1, 128, 192)], [1, 3, 128, 192], id="fp32"),
        pytest.param({"precision": "fp16", "size": (64, 96)}, [(1, 64, 96)], [1, 3, 64, 96], id="fp16 of another size"),
        pytest.param(
            {"precision": "fp16", "size": "any", "dynamic_batch": True},
            [(1, 64, 64), (3, 128, 320)],
            ["batch", 3, "height", "width"],
            id="fp16 of any size and batch",
        ),
        pytest.param({"size": "any"}, [(1, 192, 64)], [1, 3, "height", "width"], id="fp32 of any size"),
        pytest.param({"dynamic_batch": True}, [(1, 128, 192), (4, 128, 192)], ["batch", 3, 128, 192], id="any batch"),
    ],
)
def test_an_export_gives_what_torch_gives(
    tmp_path: Path, options: dict[str, Any], sizes: list[tuple[int, int, int]], shape: list[int | str]
) -> None:
    network = Small().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    path = tmp_path / "small.onnx"
    steps: list[str] = []

    report = export_model(network, INFO, path, started=steps.append, **options)

    assert network.training
    assert (steps[0], steps[-1]) == ("tracing the network", "comparing the file with torch")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    precision = options.get("precision", "fp32")
    limit = DRIFT_LIMITS[precision]
    assert list(report.drift) == ["heatmaps_quarter", "heatmaps_half", "tags"]
    assert 0 < max(report.drift.values()) <= limit
    for batch, height, width in sizes:
        images = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
        for want, got in run_both(report, network, images):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, want, rtol=0, atol=limit * np.ptp(want))

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert ModelInfo.from_metadata(metadata, path=path) == report.info
    assert report.info.drift == max(report.drift.values())
    assert (report.info.precision, report.info.weights) == (precision, "drawn")
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_param or size.dim_value for size in dimensions] == shape

    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["BatchNormalization"] == 0
    types = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert types == {onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.FLOAT}
    assert str(Path(__file__).parent).encode() not in path.read_bytes(), "paths of this machine are in the file"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("options", [{}, {"size": "any", "dynamic_batch": True}])
def test_an_int8_file_says_what_it_was_calibrated_on_and_leaves_out(tmp_path: Path, options: dict[str, Any]) -> None:
    network, told = Small(), list[tuple[int, int]]()
    report = export_model(
        network,
        INFO,
        tmp_path / "small.onnx",
        precision="int8",
        photographs=PHOTOGRAPHS,
        progress=lambda *numbers: told.append(numbers),
        **options,
    )
    model = onnx.load(report.path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert list(metadata) == ["heatstream"]
    info = ModelInfo.from_metadata(metadata, path=report.path)
    assert info == report.info
    assert info.precision == "int8"
    assert info.quantisation is not None
    assert (info.quantisation["folder"], len(info.quantisation["images"])) == ("photos", 16)
    layers = {node.name for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")}
    assert layers == {"stem.0", "down.0", "coarse_head", "up.0", "fine_head"}
    assert set(info.quantisation["left_out"]) < layers
    assert report.int8_layers == len(layers) - len(info.quantisation["left_out"])
    assert told in ([], [(done, len(layers)) for done in range(1, len(layers) + 1)])

    pairs: list[list[Any]] = [[], [], []]
    for image in PHOTOGRAPHS.images[:4]:
        for found, pair in zip(pairs, run_both(report, network, torch.from_numpy(image)), strict=True):
            found.append(pair)
    slack = 1.2  # float16 drifts too
    assert 0 < max(measure_drift(found).rms for found in pairs) <= slack * DRIFT_BOUND


def test_values_beyond_float16_stay_float32(tmp_path: Path) -> None:
    network = Small(gain=1e6)
    report = export_model(network, INFO, tmp_path / "small.onnx", precision="fp16", size=(64, 64))
    assert 0 < report.float32_operators < 6
    assert max(report.drift.values()) <= DRIFT_LIMITS["fp16"]


def test_the_real_networks_export(tmp_path: Path) -> None:
    """A narrow HRNet with all its branches, so that every kind of exchange is in the graph."""
    from heatstream.models.networks.hrnet import SwahrHRNet

    torch.manual_seed(0)
    network = SwahrHRNet(K, width=8, modules=(1, 1, 1), blocks=1)
    report = export_model(network, INFO, tmp_path / "hrnet.onnx", precision="fp16", size="any")
    assert max(report.drift.values()) <= DRIFT_LIMITS["fp16"]
    kinds = {node.op_type for node in onnx.load(report.path).graph.node}
    assert kinds == {"Cast", "Conv", "ConvTranspose", "Relu", "Add", "Concat", "Resize", "Split"}


def _damaged() -> nn.Module:
    network = Small()
    nn.init.constant_(network.fine_head.bias, float("nan"))
    return network


class _LooseNorm(Small):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Any, *, scales: bool = False) -> Maps:
        return super().forward(self.norm(images).relu())


class _Branching(Small):
    def forward(self, images: Any, *, scales: bool = False) -> Maps:
        return super().forward(images if images.mean() > 0 else -images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_damaged, "not finite on the check image"),
        (_LooseNorm, "batch norms that follow no convolution"),
        (_Branching, "torch could not export small"),
    ],
)
def test_a_network_that_cannot_be_exported_leaves_the_old_file(
    tmp_path: Path, make: Callable[[], nn.Module], words: str
) -> None:
    path = tmp_path / "small.onnx"
    path.write_text("old")
    with pytest.raises(EngineError, match=words) as caught:
        export_model(make(), INFO, path, size=(64, 64))
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_drift_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "DRIFT_LIMITS", {"fp16": 1e-6})
    with pytest.raises(EngineError, match=r"drifts from torch by .* export it with precision fp32"):
        export_model(Small(), INFO, tmp_path / "small.onnx", precision="fp16", size=(64, 64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "options", "error", "words"),
    [
        ("no/small.onnx", {}, SinkError, "there is no folder"),
        (".", {}, SinkError, "it is a folder"),
        ("small.onnx", {"size": (100, 128)}, InputError, "multiples of 32"),
        ("small.onnx", {"precision": "int4"}, InputError, "one of fp32, fp16, int8"),
        ("small.onnx", {"precision": "int8"}, InputError, "INT8 is calibrated on photographs .* give a folder"),
        ("small.onnx", {"photographs": PHOTOGRAPHS}, InputError, "and fp32 was asked for: leave them out"),
    ],
)
def test_what_cannot_work_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, options: dict[str, Any], error: type, words: str
) -> None:
    monkeypatch.setattr(export, "_to_onnx", lambda *_: pytest.fail("the work was started"))
    with pytest.raises(error, match=words):
        export_model(Small(), INFO, tmp_path / path, **options)


@pytest.mark.parametrize("library", ["torch", "onnx", "onnxscript"])
def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    network = Small()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library} is needed .* pip install 'heatstream\[train\]'"):
        export_model(network, INFO, tmp_path / "small.onnx")


def test_check_images_look_like_photographs() -> None:
    """The spectrum falls with frequency, and the pixels use the range of a photograph."""
    (images,) = export._check_batches(INFO)
    assert images.shape == (1, 3, 128, 192)
    pixels = images * np.reshape(INFO.std, (3, 1, 1)) + np.reshape(INFO.mean, (3, 1, 1))
    assert -1e-6 < pixels.min() < 0.1
    assert 0.9 < pixels.max() < 1 + 1e-6
    power = np.abs(np.fft.rfft2(images[0].mean(axis=0)))
    assert power[1:5, 1:5].mean() > 5 * power[30:60, 30:60].mean()


def test_a_network_of_landmarks_has_one_output(tmp_path: Path) -> None:
    info = replace(INFO, task="landmarks", outputs={"landmarks": 4}, decode={"topk": 9})
    network = SmallLandmarks()
    report = export_model(network, info, tmp_path / "landmarks.onnx", precision="fp16", dynamic_batch=True)
    session = onnxruntime.InferenceSession(str(report.path), providers=["CPUExecutionProvider"])
    assert ModelInfo.from_metadata(session.get_modelmeta().custom_metadata_map, path="") == report.info
    images = torch.randn(3, 3, 128, 192)
    (maps,) = session.run(["landmarks"], {"images": images.numpy()})
    with torch.inference_mode():
        expected = network.eval().landmarks(images).numpy()
    np.testing.assert_allclose(maps, expected, rtol=0, atol=DRIFT_LIMITS["fp16"] * np.ptp(expected))

    model = onnx.load(report.path)
    assert "Slice" not in {node.op_type for node in model.graph.node}
    assert [2 * K, K, 1, 1] not in [list(weights.dims) for weights in model.graph.initializer]
