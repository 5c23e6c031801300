"""`heatstream describe`, and what `run` finds with the model file it writes."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

pytest.importorskip("onnx", reason="onnx comes with the extra train")

from tests.demo.helpers import Command, read_lines
from tests.fakes.foreign_networks import draw_person, write_channels_last
from tests.fakes.own_skeleton import write_own_set

OUTPUT = "StatefulPartitionedCall:0"
TABLE = '[skeleton]\nname = "nine"\nkeypoints = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]\n'


@pytest.mark.parametrize("of", ["labels", "recipe"])
def test_a_network_of_others_finds_people_of_a_skeleton_of_ones_own(
    heatstream: Command, tmp_path: Path, of: str
) -> None:
    theirs = write_channels_last(tmp_path / "theirs.onnx")
    category = write_own_set(tmp_path / "own", pictures=1)
    (tmp_path / "mine.toml").write_text(TABLE)
    skeleton = tmp_path / ("own/mine.json" if of == "labels" else "mine.toml")
    raw = ("--mean", "0,0,0", "--std", ",".join(["0.00392156862745098"] * 3))
    said = ("--heatmaps", OUTPUT, "--tags", OUTPUT, "--channels-last", "--skeleton", skeleton, *raw)
    told = heatstream("describe", theirs, *said, "--stride", "2", "--licence", "MIT")
    assert told.code == 0, told.err
    assert "tags: from 0 to 0 on a made-up picture" in told.out
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), draw_person((128, 192), [(1 + 2 * number, 3) for number in range(9)], cell=8))
    ran = heatstream(
        *("run", picture, "--model", tmp_path / "theirs-described.onnx", "--no-window"),
        *("--jsonl", tmp_path / "a.jsonl", "--save", tmp_path / "a.png", "--conf", "0"),
    )
    assert ran.code == 0, ran.err
    header, result = read_lines(tmp_path / "a.jsonl")
    assert header["skeleton"]["keypoints"] == (category["keypoints"] if of == "labels" else list("abcdefghi"))
    assert len(result["people"]) == 1
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert drawn is not None
    assert (drawn != cv2.imread(str(picture))).any()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--stride", "4"), "the heatmaps have a stride of 2 px, 4 was said"),
        (("--skeleton", "coco-17"), r"is not the 17 maps of coco-17"),
        (("--skeleton", "coco-71"), "did you mean 'coco-17'"),
        (("--mean", "a,b"), "give three numbers"),
        (("--size", "100"), "give multiples of 64"),
        (("--size", "²"), "give multiples of 64"),
        (("--skeleton", "nothing.toml"), "nothing.toml cannot be read"),
    ],
)
def test_a_wrong_guess_is_one_sentence(heatstream: Command, tmp_path: Path, change: tuple[str, ...], told: str) -> None:
    theirs = write_channels_last(tmp_path / "theirs.onnx")
    write_own_set(tmp_path / "own", pictures=1)
    said = ("--heatmaps", OUTPUT, "--tags", OUTPUT, "--channels-last", "--skeleton", tmp_path / "own/mine.json")
    ended = heatstream("describe", theirs, *said, "--stride", "2", *change)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "theirs-described.onnx").exists()
