"""`heatstream label`, from photographs to files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import pytest

from tests.demo.conftest import spot
from tests.demo.helpers import Command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, place in (("10.jpg", (60, 60)), ("9.jpg", (100, 40))):
        cv2.imwrite(str(folder / name), spot(*place))
    return folder


def test_photographs_become_labels(heatstream: Command, tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    out, tasks = tmp_path / "labels.json", tmp_path / "tasks.json"
    ended = heatstream("label", photos, "--out", out, "--label-studio", tasks, "-m", tiny_model)
    assert (ended.code, ended.err) == (0, "")
    labels = json.loads(out.read_text())
    assert [image["file_name"] for image in labels["images"]] == ["9.jpg", "10.jpg"]
    names = {image["id"]: image["file_name"] for image in labels["images"]}
    found = {names[person["image_id"]]: person["keypoints"][:3] for person in labels["annotations"]}
    assert found["9.jpg"] == pytest.approx([100, 40, 2], abs=3)
    assert found["10.jpg"] == pytest.approx([60, 60, 2], abs=3)
    assert f"{out}: 2 people in 2 photographs, 34 keypoints and 0 doubtful ones" in ended.out
    assert len(json.loads(tasks.read_text())) == 2
    assert "<KeyPointLabels" in (tmp_path / "tasks.xml").read_text()


def test_a_turned_photograph_is_left_out(heatstream: Command, tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    path = photos / "9.jpg"
    data = path.read_bytes()
    turned = struct.pack(">2sHIH HHIHH I", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\x00\x00" + turned
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    out = tmp_path / "labels.json"
    ended = heatstream("label", photos, "--out", out, "-m", tiny_model)
    assert ended.code == 0
    assert "9.jpg is left out, its EXIF entry turns it" in ended.err
    assert [image["file_name"] for image in json.loads(out.read_text())["images"]] == ["10.jpg"]


def test_wrong_limits_are_one_sentence(heatstream: Command, photos: Path, tmp_path: Path) -> None:
    ended = heatstream("label", photos, "--out", tmp_path / "a.json", "--doubtful", "0.9")
    assert ended.code == 2
    assert "--doubtful 0.9 is above --sure 0.35" in ended.err
    ended = heatstream("label", photos / "9.jpg", "--out", tmp_path / "a.json")
    assert (ended.code, "is no folder" in ended.err) == (2, True)
