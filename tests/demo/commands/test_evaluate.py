"""`heatstream eval`, from the command line down to the files it leaves, and what it shares with `export`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from heatstream.model_info import ModelInfo
from heatstream.models.pose.evaluation import evaluate
from heatstream.runtime.engines.onnx_engine import OnnxEngine
from heatstream.runtime.pipelines.pose import CpuPosePipeline
from tests.demo.conftest import SIZE, spot
from tests.demo.helpers import Command
from tests.fakes.labelled_photos import make_set

pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")

IMAGES = 8


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with val.json and val/: one spot per image, whose labels are up to some pixels off."""
    folder = tmp_path_factory.mktemp("spots")
    (folder / "val").mkdir()
    random = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(IMAGES):
        x, y = random.uniform((40, 40), (150, 90))
        cv2.imwrite(str(folder / "val" / f"{number}.png"), spot(x, y))
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
        labels = random.normal((x, y), number, (17, 2))
        annotation = {
            "id": number + 1,
            "image_id": number,
            "keypoints": np.column_stack([labels, np.full(17, 2)]).ravel().tolist(),
            "bbox": [x - 30, y - 30, 60, 60],
            "area": 3600,
        }
        annotations.append(annotation)
    (folder / "val.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def test_a_model_file_is_measured(heatstream: Command, spots: Path, tiny_model: Path, tmp_path: Path) -> None:
    output, sheet = tmp_path / "results.json", tmp_path / "sheet.jpg"
    ended = heatstream(
        *("eval", tiny_model, "--data", spots, "--annotations", "val.json"),
        *("--flip", "--scales", "0.5,1,2", "--adjust", "h3r", "--detection-threshold", "0.2"),
        *("--short-side", "192", "--conf", "0.3"),
        *("--output", output, "--sheet", sheet),
    )
    assert (ended.code, ended.err) == (0, "")
    result = json.loads(output.read_text())
    assert 0 < result["metrics"]["AP"] < 100
    assert f"{result['metrics']['AP']:.1f}" in ended.out
    assert result["metrics"]["AP(L)"] is None  # nobody is larger than 96 px
    assert "h3r" in ended.out
    assert str(sheet) in ended.out
    assert result["model_sha256"] == hashlib.sha256(tiny_model.read_bytes()).hexdigest()
    settings = result["settings"]
    assert (settings["flip"], settings["scales"]) == (True, [2.0, 1.0, 0.5])
    assert (settings["input_size"], settings["decode"]["person_threshold"]) == ([192, 192], 0.3)
    assert "short side 192 px" in ended.out
    assert "person threshold 0.3" in ended.out
    assert (settings["decode"]["adjust"], settings["decode"]["detection_threshold"]) == ("h3r", 0.2)
    assert (result["images"], len(result["per_image"])) == (IMAGES, IMAGES)
    scores = [image["score"] for image in result["per_image"]]
    assert scores[0] > 0.9 > scores[-1]

    picture = cv2.imread(str(sheet))
    assert picture.shape[1] > picture.shape[0]
    assert (picture[:, :, 0] != picture[:, :, 2]).any(), "nobody was drawn in colour"


@pytest.mark.parametrize("data", ["", "val"])
def test_the_images_are_found_beside_their_labels(
    heatstream: Command, spots: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.chdir(spots.parent)
    name = Path(spots.name)
    annotations = name / "val.json" if data else Path("val.json")
    ended = heatstream("eval", tiny_model, "--data", name / data, "--annotations", annotations, "--limit", "2")
    assert (ended.code, ended.err) == (0, "")
    assert "2 in" in ended.out


class Maps(NamedTuple):
    heatmaps: tuple[Any, Any]
    tags: Any


def test_torch_and_its_exports_have_the_same_ap(spots: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    pytest.importorskip("onnxscript", reason="onnxscript comes with the extra train")
    from heatstream.engine_builder.export.model import export_model
    from heatstream.runtime.engines.torch_engine import TorchEngine

    class Brightest(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bright = torch.nn.Conv2d(3, 17, 1)
            torch.nn.init.constant_(self.bright.weight, 0.07)
            torch.nn.init.constant_(self.bright.bias, 0.45)

        def forward(self, images: Any) -> Maps:
            bright = self.bright(images)
            quarter = torch.nn.functional.avg_pool2d(bright, 4)
            return Maps((quarter, torch.nn.functional.avg_pool2d(bright, 2)), 0.25 * quarter)

    info = ModelInfo(name="brightest", skeleton="coco-17", input_size=(128, 128), project=False)
    network = Brightest()
    export_model(network, info, tmp_path / "fp32.onnx")
    export_model(network, info, tmp_path / "fp16.onnx", precision="fp16")

    def precision_of(engine: Any) -> float:
        with CpuPosePipeline(engine) as pipeline:
            result = evaluate(
                lambda frame: pipeline(frame).poses, spots / "val.json", spots / "val", skeleton="coco-17"
            )
        return result.metrics["AP"]

    expected = precision_of(TorchEngine(network, info))
    assert 20 < expected < 90
    assert precision_of(OnnxEngine(tmp_path / "fp32.onnx", 1)) == pytest.approx(expected, abs=0.1)
    assert precision_of(OnnxEngine(tmp_path / "fp16.onnx", 1)) == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize(
    ("option", "name", "kind"),
    [
        ("-o", "tiny.onnx", "the model"),
        ("-o", "spots/val.json", "the file of labels"),
        ("--sheet", "spots/val/1.png", "a photo of the set"),
    ],
)
def test_nothing_that_is_read_is_written_over(
    heatstream: Command,
    spots: Path,
    tiny_model: Path,
    tmp_path: Path,
    option: str,
    name: str,
    kind: str,
) -> None:
    model = tmp_path / "tiny.onnx"
    model.write_bytes(tiny_model.read_bytes())
    (tmp_path / "spots").symlink_to(spots)
    before = (tmp_path / name).read_bytes()
    ended = heatstream(
        *("eval", model, "--data", spots, "--annotations", "val.json", "--limit", "2"), option, tmp_path / name
    )
    assert ended.code == 2
    assert f"is {kind} itself" in ended.err
    assert (tmp_path / name).read_bytes() == before


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training's checkpoint of a small network for crowds, as nobody trained it."""
    torch = pytest.importorskip("torch", reason="torch comes with the extra train")
    from heatstream import models

    torch.manual_seed(0)
    network = models.create("swahr-tiny", skeleton="crowdpose-14")
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    config = {"network": "swahr-tiny", "skeleton": "crowdpose-14", "size": 64}
    torch.save({"model": network.state_dict(), "config": config, "step": 7, "recipe": ""}, path)
    torch.save(network.state_dict(), path.with_name("bare.pth"))
    return path


def test_a_checkpoint_says_which_network_it_is(heatstream: Command, checkpoint: Path, tmp_path: Path) -> None:
    """An untrained network finds nobody, which is no reason to fail."""
    labelled = make_set(tmp_path, images=3, skeleton="crowdpose-14", crowd=True)
    output = tmp_path / "results.json"
    ended = heatstream("eval", checkpoint, "--data", tmp_path, "--annotations", "val.json", "-o", output)
    assert (ended.code, ended.err) == (0, "")
    assert "swahr-tiny (best.pt) on PyTorch" in ended.out
    assert "64x64" in ended.out
    result = json.loads(output.read_text())
    assert result["metrics"]["AP"] == 0
    assert result["metrics"]["AP(E)"] == 0
    assert len(result["per_image"]) == len(labelled.people)


@pytest.mark.parametrize(
    ("arguments", "any_size", "size"),
    [((), False, (64, 64)), (("--size", "any"), True, (64, 64)), (("--short-side", "128"), True, (128, 128))],
)
def test_an_export_takes_skeleton_and_size_from_the_checkpoint(
    heatstream: Command,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    any_size: bool,
    size: tuple[int, int],
) -> None:
    from heatstream.engine_builder.export.model import ExportReport

    def described(network: Any, info: ModelInfo, path: Path, **options: Any) -> ExportReport:
        assert network.num_joints == 14
        assert (info.skeleton, info.any_size, info.input_size) == ("crowdpose-14", any_size, size)
        assert info.geometry == "exact"  # as our training warps; the catalogue's is the official one
        return ExportReport(path, info, {})

    monkeypatch.setattr("heatstream.engine_builder.export.model.export_model", described)
    ended = heatstream("export", "swahr-tiny", "-c", checkpoint, *arguments)
    assert (ended.code, ended.err) == (0, "")
    assert "weights: best.pt" in ended.out


def test_weights_that_come_with_the_package_are_exported_by_name(
    heatstream: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch comes with the extra train")
    from heatstream.engine_builder.export.model import ExportReport

    monkeypatch.setattr(
        "heatstream.engine_builder.export.model.export_model",
        lambda network, info, path, **options: ExportReport(path, info, {}),
    )
    ended = heatstream("export", "swahr-tiny", "-c", "swahr-tiny")
    assert (ended.code, ended.err) == (0, "")
    assert "weights: swahr-tiny.pt" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eval", "{best}", "--network", "swahr-w32"), "best.pt holds a swahr-tiny, not a swahr-w32"),
        (("export", "swahr-w32", "-c", "{best}"), "best.pt holds a swahr-tiny, not a swahr-w32"),
        (("eval", "{bare}"), "bare.pth does not say which network it is of: name one of swahr-small"),
        (("eval", "{bare}", "--network", "swahr-tiny"), "predicts|of another network|expected"),
        (("eval", "{best}", "--size", "any:100"), "try any:128"),
        (("eval", "{best}"), "has 17 keypoints, crowdpose-14 has 14: coco-17 would fit"),
        (("eval", "{tiny}", "--network", "swahr-tiny"), "leave it out"),
        (("eval", "{best}", "--size", "any", "--short-side", "128"), "--short-side 128 is --size any:128"),
        (("eval", "{best}", "--short-side", "100"), "got 100: try 128"),
        (("eval", "h3r-mobile-68", "--short-side", "128"), "takes images of 128x128 px alone: leave it out"),
        (("eval", "{tiny}", "--size", "128"), "or give --short-side"),
        (("eval", "{tiny}", "--scales", "big"), "0.5,1,2"),
        (("eval", "{tiny}", "--scales", "0.5,2"), "tags are taken from scale 1"),
        (("eval", "{tiny}", "--sheet", "sheet.txt"), "not a picture's name"),
        (("eval", "{tiny}", "--output", "absent/results.json"), "absent"),
        (("eval", "{tiny}", "--annotations", "absent.json"), "absent.json"),
        (("eval", "{tiny}", "--data", "absent"), "absent"),
        (("eval", "absent.onnx"), "absent.onnx"),
        (("eval", "absent.pt"), "absent.pt"),
        (("eval", "swahr-w33"), "did you mean 'swahr-w32'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    heatstream: Command,
    spots: Path,
    tiny_model: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"best": checkpoint, "bare": checkpoint.with_name("bare.pth"), "tiny": tiny_model}
    given = [argument.format(**places) for argument in arguments]
    if given[0] == "eval":
        given += [] if "--data" in given else ["--data", str(spots)]
        given += [] if "--annotations" in given else ["--annotations", str(spots / "val.json")]
    ended = heatstream(*given)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert any(word in line for word in words.split("|"))
    assert not list(tmp_path.iterdir())
