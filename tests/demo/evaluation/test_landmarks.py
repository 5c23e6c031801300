"""`heatstream eval` of landmarks in boxes: faces, MPII's bodies and COCO's people, down to the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from heatstream import skeletons
from heatstream.model_info import OUTPUTS, ModelInfo
from tests.demo.conftest import SIZE, spot
from tests.demo.helpers import Command
from tests.models.landmarks.readers.test_text_sets import pts

FACES = 6
EYES = 50.0
"""Distance of the outer corners of the labelled eyes, px; both are half of it beside the spot."""

CORNERS_ERROR = 2 * (EYES / 2) / 68 / EYES
"""What two corners that are looked for in the spot cost a face whose other points are found."""


def write_landmark_model(path: Path, skeleton: str, size: tuple[int, int] = (128, 128)) -> Path:
    """A model file whose network finds every landmark in the brightest spot."""
    onnx = pytest.importorskip("onnx", reason="onnx comes with the extra test")
    helper, count = onnx.helper, skeletons.get(skeleton).num_keypoints
    info = ModelInfo(
        name=f"tiny-{skeleton}",
        skeleton=skeleton,
        input_size=size,
        batch=None,
        task="landmarks",
        outputs=dict(OUTPUTS["landmarks"]),
        weights="made by hand",
        decode={"topk": 9},
        project=False,
    )
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "brightness"], ["landmarks"], strides=[4, 4]),
        ],
        "tiny",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, *size])],
        [
            helper.make_tensor_value_info(
                "landmarks", onnx.TensorProto.FLOAT, ["batch", count, size[0] // 4, size[1] // 4]
            )
        ],
        [onnx.numpy_helper.from_array(np.full((count, 3, 1, 1), 0.6, np.float32), "brightness")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, info.to_metadata())
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    sizes = {"300w-68": (128, 128), "wflw-98": (128, 128), "mpii-16": (128, 96), "coco-17": (128, 96)}
    return {name: write_landmark_model(folder / f"{name}.onnx", name, size) for name, size in sizes.items()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces whose landmarks all lie in a spot, but the corners of the eyes; those of the second half are 5 px off."""
    folder = tmp_path_factory.mktemp("faces")
    (folder / "val").mkdir()
    images = []
    for number in range(FACES):
        x, y = np.random.default_rng(number).uniform((60, 50), (130, 80))
        cv2.imwrite(str(folder / "val" / f"{number}.png"), spot(x, y))
        points = np.full((68, 2), (x - 0.5 + (5 if number >= FACES / 2 else 0), y - 0.5))
        points[36, 0] -= EYES / 2
        points[45, 0] += EYES / 2
        images.append(
            {
                "image": f"val/{number}.png",
                "points": points.tolist(),
                "bbox": [x - 32, y - 32, 64, 64],
                "source": "near" if number < FACES / 2 else "far",
            }
        )
    (folder / "val.json").write_text(json.dumps({"num_points": 68, "images": images}))
    return folder


def test_faces_are_measured_and_the_curve_is_drawn(
    heatstream: Command, faces: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    ended = heatstream("eval", models["300w-68"], "--data", faces, "--flip", "-o", output, "--sheet", sheet)
    assert (ended.code, ended.err) == (0, "")
    result = json.loads(output.read_text())
    near, far = result["subsets"]["near"], result["subsets"]["far"]
    assert near["NME"] == pytest.approx(100 * CORNERS_ERROR, abs=1)
    assert far["NME"] == pytest.approx(100 * (CORNERS_ERROR + 5 * 66 / 68 / EYES), abs=1)
    assert result["metrics"]["NME"] == pytest.approx((near["NME"] + far["NME"]) / 2, abs=1e-3)
    assert (near["FR@8"], far["FR@10"], result["metrics"]["FR@8"]) == (0, 100, 50)
    assert (near["AUC@10"], far["AUC@10"]) == (pytest.approx(100 * (1 - near["NME"] / 10), abs=0.01), 0)
    assert (result["norm"], result["settings"]["flip"], len(result["per_face"])) == ("inter-ocular", True, FACES)
    assert f"{result['metrics']['NME']:.2f}" in ended.out
    for word in ("NME", "FR", "AUC", "near", "far", "flip test", "out-ced.png", "sheet.png"):
        assert word in ended.out
    curve, drawn = cv2.imread(str(tmp_path / "out-ced.png")), cv2.imread(str(sheet))
    assert (curve[:, :, 0] != curve[:, :, 2]).any()
    assert (drawn[:, :, 0] != drawn[:, :, 2]).any(), "no landmark was drawn in colour"


def test_the_boxes_of_faces_have_the_papers_names(
    heatstream: Command, faces: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    figures = []
    for options, protocol in (((), "P2"), (("--protocol", "P2"), "P2"), (("--protocol", "P1"), "P1")):
        output = tmp_path / f"{protocol}.json"
        ended = heatstream("eval", models["300w-68"], "--data", faces, "-o", output, *options)
        assert (ended.code, ended.err) == (0, "")
        assert f"boxes  {protocol}, " in ended.out
        content = json.loads(output.read_text())
        assert content["protocol"] == protocol
        figures.append(content["metrics"]["NME"])
    assert figures[0] == figures[1]
    assert figures[2] != pytest.approx(figures[0], abs=1e-3)  # another crop, another pixel


def test_a_set_without_boxes_has_no_protocol_that_needs_them(
    heatstream: Command, models: dict[str, Path], tmp_path: Path
) -> None:
    pts(tmp_path / "a.pts")
    ended = heatstream("eval", models["300w-68"], "--data", tmp_path, "--protocol", "P2", "--ced", tmp_path / "c.png")
    assert ended.code == 2
    assert "300-W gives no boxes of its own, which P2 needs: measure it with --protocol P1" in ended.err


def test_the_curve_has_a_name_of_its_own_without_other_files(
    heatstream: Command, faces: Path, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = heatstream("eval", models["300w-68"], "--data", faces, "--norm", "box", "--limit", "2")
    assert (ended.code, ended.err) == (0, "")
    assert "CED curve  tiny-300w-68-ced.png" in ended.out
    assert "box" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-300w-68-ced.png"]
    ended = heatstream("eval", models["300w-68"], "--data", faces, "--limit", "2", "--ced", "other.jpg")
    assert ended.code == 0
    assert (tmp_path / "other.jpg").is_file()


@pytest.fixture(scope="module")
def mpii(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people whose joints lie in a spot, but one joint's label, 8 px off; heads of 12 and 60 px."""
    folder = tmp_path_factory.mktemp("mpii")
    (folder / "images").mkdir()
    (folder / "annot").mkdir()
    x, y = 90.0, 60.0
    cv2.imwrite(str(folder / "images" / "a.png"), spot(x, y))
    joints = np.full((16, 2), (x + 0.5, y + 0.5))  # 1-based
    joints[10] += (8, 0)
    person = {"image": "a.png", "center": [x, y], "scale": 0.5, "joints": joints.tolist(), "joints_vis": [1] * 16}
    (folder / "annot" / "valid.json").write_text(json.dumps([person, person]))
    heads = np.zeros((2, 2, 2))
    heads[1, 0] = 20, 100  # 0.6 of it is the length
    savemat(folder / "annot" / "gt_valid.mat", {"headboxes_src": heads})
    return folder


def test_mpiis_bodies_are_measured_by_their_heads(
    heatstream: Command, mpii: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.json"
    ended = heatstream("eval", models["mpii-16"], "--data", mpii, "-o", output, "--sheet", tmp_path / "sheet.jpg")
    assert (ended.code, ended.err) == (0, "")
    half, tenth = (json.loads(output.read_text())["metrics"][f"PCKh@{share}"] for share in ("0.5", "0.1"))
    assert (half["wrist"], half["ankle"]) == (75, 100)  # one wrist of four is 8 of 12 px off
    assert half["mean"] == pytest.approx(100 * 27 / 28, abs=1e-3)
    assert tenth["wrist"] <= 50
    assert "PCKh@0.5" in ended.out
    assert "PCKh@0.1" in ended.out
    assert "HRNet's published tables count 0.11" in ended.out
    assert (tmp_path / "sheet.jpg").is_file()
    assert [path.name for path in tmp_path.glob("*.png")] == []  # no curve of bodies


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person in each photo, whose keypoints all lie in a spot; a detector's boxes, of which some are wrong."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "val").mkdir()
    images, people, found = [], [], []
    for number in (1, 2, 3):
        x, y = np.random.default_rng(number).uniform((70, 50), (120, 80))
        cv2.imwrite(str(folder / "val" / f"{number}.png"), spot(x, y))
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]})
        keypoints = np.column_stack([np.full((17, 2), (x - 0.5, y - 0.5)), np.full(17, 2)])
        box = [x - 20, y - 30, 40, 60]
        person = {"id": number, "image_id": number, "category_id": 1, "keypoints": keypoints.ravel().tolist()}
        people.append({**person, "num_keypoints": 17, "bbox": box, "area": 2000, "iscrowd": 0})
        if number != 3:  # the detector misses one, sees one twice, and a thing where nobody is
            found.append({"image_id": number, "category_id": 1, "bbox": box, "score": 0.9})
            found.append({"image_id": number, "category_id": 1, "bbox": [box[0] + 1, *box[1:]], "score": 0.5})
            found.append({"image_id": number, "category_id": 7, "bbox": box, "score": 0.5})
    categories = [{"id": 1, "name": "person", "keypoints": list(skeletons.COCO_17.keypoints)}]
    (folder / "val.json").write_text(json.dumps({"images": images, "annotations": people, "categories": categories}))
    (folder / "boxes.json").write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize(("boxes", "recall"), [(False, 100), (True, 100 * 2 / 3)])
def test_cocos_people_are_measured_in_their_boxes_or_a_detectors(
    heatstream: Command, coco: Path, models: dict[str, Path], tmp_path: Path, boxes: bool, recall: float
) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")
    output = tmp_path / "out.json"
    more = ("--boxes", coco / "boxes.json") if boxes else ()
    ended = heatstream("eval", models["coco-17"], "--data", coco, "-o", output, "--sheet", tmp_path / "s.jpg", *more)
    assert (ended.code, ended.err) == (0, "")
    result = json.loads(output.read_text())
    assert result["metrics"]["AR50"] == pytest.approx(recall, abs=0.1)
    assert [image["false"] for image in result["per_image"]] == [0, 0, 0]  # who is seen twice is one
    assert result["settings"]["boxes"] == (str(coco / "boxes.json") if boxes else None)
    assert ("labelled boxes" in ended.out) != boxes


@pytest.mark.parametrize(
    ("model", "data", "more", "words"),
    [
        ("wflw-98", "faces", (), r"tiny-wflw-98 finds 98 points (wflw-98), {faces}/val.json labels 68 (300w-68)"),
        ("wflw-98", "coco", (), "finds 98 points (wflw-98), {coco}/val.json labels 17 (coco-17)"),
        ("300w-68", "models", (), "holds no set that is known; looked for val.json or test.json"),
        ("300w-68", "absent", (), "absent is not a folder"),
        ("300w-68", "faces", ("--annotations", "absent.json"), "there are no annotations at {faces}/absent.json"),
        ("300w-68", "faces", ("--scales", "0.5,1"), "--scales is for networks that find people"),
        ("300w-68", "faces", ("--adjust", "h3r"), "--adjust is for networks that find people"),
        ("300w-68", "faces", ("--boxes", "b.json"), "--boxes is for COCO's people"),
        ("300w-68", "faces", ("--ced", "curve.txt"), "curve.txt is not a picture's name"),
        ("300w-68", "faces", ("--ced", "absent/curve.png"), "absent"),
        ("mpii-16", "mpii", ("--norm", "box"), "--norm is for faces; {mpii}/annot/valid.json labels bodies"),
        ("mpii-16", "mpii", ("--ced", "a.png"), "--ced is for faces"),
        ("coco-17", "coco", ("--boxes", "absent.json"), "absent.json could not be read"),
        ("pose", "faces", (), "tiny finds people, {faces}/val.json labels 300w-68 in boxes (faces)"),
        ("pose", "coco", ("--norm", "box"), "--norm is for networks that find landmarks in boxes"),
        ("pose", "coco", ("--boxes", "b.json"), "--boxes is for networks that find landmarks in boxes"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    heatstream: Command,
    faces: Path,
    mpii: Path,
    coco: Path,
    models: dict[str, Path],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    data: str,
    more: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"faces": faces, "mpii": mpii, "coco": coco, "models": models["mpii-16"].parent, "absent": Path("absent")}
    ended = heatstream("eval", {**models, "pose": tiny_model}[model], "--data", places[data], *more)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert words.format(**places) in line
    assert not list(tmp_path.iterdir())


def test_a_set_of_people_is_found_without_annotations(heatstream: Command, coco: Path, tiny_model: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")
    ended = heatstream("eval", tiny_model, "--data", coco)
    assert (ended.code, ended.err) == (0, "")
    assert "3, of whom" in ended.out


def test_a_checkpoint_of_landmarks_is_measured(
    heatstream: Command, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch comes with the extra train")
    from heatstream import models as networks

    monkeypatch.chdir(tmp_path)
    torch.save(networks.create("h3r-mobile-300w68").state_dict(), tmp_path / "bare.pth")
    ended = heatstream(
        *("eval", "bare.pth", "--network", "h3r-mobile-300w68", "--size", "64", "--data", faces, "--limit", "2")
    )
    assert (ended.code, ended.err) == (0, "")
    assert "64x64 px, top 9" in ended.out
    assert (tmp_path / "h3r-mobile-300w68-ced.png").is_file()
