"""A skeleton of one's own, from labels to results: trained, measured, exported, run where nothing is known of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from tests.demo.helpers import REPOSITORY, Command  # noqa: E402
from tests.fakes.own_skeleton import write_own_set  # noqa: E402
from tests.fakes.patience import HANG_SECONDS  # noqa: E402

RECIPE = """
[model]
name = "swahr-tiny"
init = "swahr-tiny"

[data]
root = "ROOT"
size = 64
workers = 0

[[data.sets]]
annotations = "coco.json"
images = "photos"

[data.validation]
annotations = "mine.json"
images = "photos"

[train]
steps = 30
batch = 2
rate = 2e-3
device = "cpu"
threads = 1
log_every = 30
checkpoint_seconds = 3600
"""

ELSEWHERE = """
import json, sys
import cv2
import numpy as np
import heatstream
from heatstream import skeletons

frame = cv2.imread(sys.argv[2])
# What 30 steps have taught finds nobody yet; everything that could be a keypoint is taken.
pipeline = heatstream.load(sys.argv[1], "cpu", 1, settings={"detection_threshold": -1.0, "person_threshold": -1.0})
result = pipeline(frame)
layout = skeletons.get(result.poses.skeleton)
drawn = heatstream.draw(frame, result, min_score=0.0)
print(json.dumps({
    "names": layout.keypoints, "limbs": layout.limbs, "flips": layout.flip_pairs, "people": len(result.poses),
    "joint": result.poses.joint(layout.keypoints[-1]).shape, "json": json.loads(result.to_json())["skeleton"],
    "changed": int((drawn != frame).sum()), "torch": "torch" in sys.modules,
}))
"""


@pytest.mark.slow
def test_nine_keypoints_of_ones_own_go_all_the_way(heatstream: Command, tmp_path: Path) -> None:
    category = write_own_set(tmp_path / "data")
    recipe = tmp_path / "finetune.toml"
    recipe.write_text(RECIPE.replace("ROOT", str(tmp_path / "data")))
    run = tmp_path / "run"

    trained = heatstream("train", recipe, "--set", "data.sets.0.annotations=mine.json", "--out", run)
    assert trained.code == 0, trained.err
    assert "loaded the backbone; fresh: " in trained.err
    measured = heatstream(
        *("eval", run / "best.pt", "--data", tmp_path / "data/photos", "--annotations", tmp_path / "data/mine.json")
    )
    assert measured.code == 0, measured.err
    assert "labelled people  4" in measured.out
    model = tmp_path / "elsewhere.onnx"
    exported = heatstream("export", "swahr-tiny", "-c", run / "best.pt", "-o", model)
    assert exported.code == 0, exported.err

    picture = tmp_path / "data/photos/0.png"
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(model), str(picture)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=HANG_SECONDS,
        check=True,
    )
    told = json.loads(found.stdout)
    assert told["names"] == category["keypoints"]
    assert told["limbs"] == [[first - 1, second - 1] for first, second in category["skeleton"]]
    assert told["flips"] == [[1, 2]]
    assert told["people"] > 0
    assert told["joint"] == [told["people"], 2]
    assert told["json"].startswith("my-figure-9-")
    assert told["changed"] > 0
    assert not told["torch"]


def test_a_recipe_of_other_labels_says_so_at_once(heatstream: Command, tmp_path: Path) -> None:
    write_own_set(tmp_path / "data")
    recipe = tmp_path / "finetune.toml"
    recipe.write_text(RECIPE.replace("ROOT", str(tmp_path / "data")).replace("coco.json", "mine.json"))
    ended = heatstream("train", recipe, "--set", "model.skeleton=coco-17", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "has 9 keypoints, coco-17 has 17: leave model.skeleton out to take the file's own" in ended.err


def test_heads_that_start_anew_learn_even_where_they_are_frozen(tmp_path: Path) -> None:
    from heatstream.models.training.build import build_network
    from heatstream.models.training.recipe import read_recipe

    write_own_set(tmp_path / "data", pictures=1)
    recipe = tmp_path / "finetune.toml"
    recipe.write_text(RECIPE.replace("ROOT", str(tmp_path / "data")).replace("coco.json", "mine.json"))
    frozen = 'model.frozen=["backbone", "quarter_head"]'
    learning = {}
    for skeleton in ("coco-17", ""):
        network, _ = build_network(read_recipe(recipe, [frozen, f'model.skeleton="{skeleton}"']))
        named = network.named_parameters()
        learning[skeleton] = {name.split(".")[0] for name, parameter in named if parameter.requires_grad}
    assert "quarter_head" not in learning["coco-17"]
    assert "quarter_head" in learning[""]
    assert "backbone" not in learning["coco-17"] | learning[""]
