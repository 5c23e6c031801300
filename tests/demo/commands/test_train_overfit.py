"""From annotations to AP: a network that sees eight photographs again and again must find all of their people."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch comes with the extra train")

from tests.demo.helpers import REPOSITORY

PHOTO_PX = {448, 336}
"""The sides of the chosen photos: of one shape, so that one `augment.scale` shows each of them whole."""

RECIPE = """
[model]
name = "swahr-tiny"
init = "swahr-tiny"
frozen = ["backbone", "fpn", "quarter_head"]

[data]
root = "ROOT"
size = 256
workers = 0

[[data.sets]]
annotations = "photos.json"
images = "photos"

[data.validation]
annotations = "photos.json"
images = "photos"

[augment] # none: every window is the whole photo, in the middle
rotation = 0.0
scale = [1.3333333333, 1.3333333333]
translation = 0.0
flip = 0.0

[loss]
tag_kind = "max"
tag_margin = 2.0
push = 0.003
pull = 0.003
heatmap_weights = [1.0, 2.0]

[train]
steps = 80
batch = 8
rate = 2e-3
weight_decay = 0.03
warmup_steps = 10
clip = 0.03
ema = 0.9
precision = "fp32"
device = "cpu"
threads = 1 # two that share a busy core wait for each other far longer than they work
"""


@pytest.mark.slow
def test_eight_photos_are_learned(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    write_photos(shared_data("coco_people/train.json"), tmp_path)
    recipe, out = tmp_path / "overfit.toml", tmp_path / "run"
    recipe.write_text(RECIPE.replace("ROOT", str(tmp_path)))
    heatstream("train", recipe, "--out", out)
    heatstream(
        *("eval", out / "last.pt", "--data", tmp_path / "photos", "--annotations", tmp_path / "photos.json"),
        *("--output", tmp_path / "result.json"),
    )
    metrics = json.loads((tmp_path / "result.json").read_text())["metrics"]
    assert metrics["AP"] > 64  # 59.9 before, 67.7 after; the frozen heatmaps bound how exact it becomes
    assert metrics["AR50"] > 90  # of twelve people ten are found before, and eleven after


def write_photos(annotations: Path, folder: Path) -> None:
    """Copy eight photos of one to three people, all of them labelled and none of them small."""
    content = json.loads(annotations.read_text())
    people: dict[int, list[dict[str, Any]]] = {}
    for annotation in content["annotations"]:
        people.setdefault(annotation["image_id"], []).append(annotation)
    suitable = [
        image
        for image in content["images"]
        if {image["width"], image["height"]} == PHOTO_PX
        and len(people[image["id"]]) <= 3
        and all(a["num_keypoints"] >= 8 and max(a["bbox"][2:]) >= 110 for a in people[image["id"]])
    ][:8]
    (folder / "photos").mkdir()
    for image in suitable:
        shutil.copy(annotations.parent / annotations.stem / image["file_name"], folder / "photos")
    chosen = [annotation for image in suitable for annotation in people[image["id"]]]
    (folder / "photos.json").write_text(json.dumps({**content, "images": suitable, "annotations": chosen}))


def heatstream(*arguments: str | Path) -> None:
    """Run a command, which must succeed."""
    subprocess.run([sys.executable, "-m", "heatstream", *map(str, arguments)], cwd=REPOSITORY, check=True)
