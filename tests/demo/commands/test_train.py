"""`heatstream train`, from the recipe to the weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.demo.terminal.signals import StopSignals  # noqa: E402
from tests.demo.helpers import REPOSITORY, Command  # noqa: E402
from tests.fakes.patience import HANG_SECONDS  # noqa: E402
from tests.fakes.tiny_faces_recipe import write_faces_recipe  # noqa: E402
from tests.fakes.tiny_recipe import SIZE, write_recipe_file  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_process_is_left")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe_file(tmp_path / "data")


def start(recipe: Path, out: Path, *changes: str) -> subprocess.Popen[str]:
    sets = [part for change in changes for part in ("--set", change)]
    return subprocess.Popen(
        [sys.executable, "-m", "heatstream", "train", str(recipe), *sets, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Read what a process says until a line begins so."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the process ended before it said {beginning!r}")


def weights(folder: Path, name: str = "last.pt") -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / name, weights_only=True)["model"]
    return found


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_weights_of_an_unbroken_one(
    heatstream: Command, recipe: Path, tmp_path: Path
) -> None:
    quick = ["train.checkpoint_seconds=0", "train.log_every=1", "data.workers=1"]
    killed = start(recipe, tmp_path / "killed", *quick)
    wait_for(killed, "step 3/6")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    step = torch.load(tmp_path / "killed" / "resume.pt", weights_only=True)["step"]
    assert 1 <= step < 6

    again = start(recipe, tmp_path / "killed", *quick)
    _, err = again.communicate(timeout=HANG_SECONDS)
    assert again.returncode == 0, err
    assert f"step {step + 1}/6" in err
    assert f"step {step}/6" not in err

    ended = heatstream("train", recipe, "--out", tmp_path / "unbroken")
    assert ended.code == 0, ended.err
    assert_same_weights(tmp_path / "killed", tmp_path / "unbroken")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(number: int, code: int, recipe: Path, tmp_path: Path) -> None:
    process = start(recipe, tmp_path / "run", "train.steps=100000", "train.log_every=1", "data.workers=1")
    wait_for(process, "step 2/")
    os.killpg(process.pid, number)  # to its workers too, as terminals and service managers do
    _, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == code
    last = err.splitlines()[-1]
    assert "stopped after step" in last
    assert f"heatstream train {recipe} --set train.steps=100000" in last
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["step"] >= 2


def test_it_tells_what_it_made_and_what_comes_next(
    heatstream: Command, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = heatstream("train", recipe, "--set", "train.steps=2")
    assert ended.code == 0, ended.err
    run = Path("runs/tiny")
    assert f"{run}/best.pt: AP" in ended.out
    for command in (f"heatstream eval {run}/best.pt", f"heatstream export swahr-tiny --checkpoint {run}/best.pt"):
        assert command in ended.out
    for name in ("best.pt", "last.pt", "resume.pt", "recipe.toml"):
        assert (run / name).is_file()
    assert list((run / "logs").iterdir())
    assert "step 2/2" in ended.err
    assert "images/s" in ended.err

    again = heatstream("train", recipe, "--set", "train.steps=2")
    assert again.code == 0, again.err
    assert "is finished" in again.out
    assert "--set model.init=" in again.out
    assert again.err == ""

    other = heatstream("train", recipe, "--set", "train.steps=2", "--set", "train.rate=0.5")
    assert other.code == 2
    (line,) = other.err.splitlines()
    assert "train.rate (0.002, there 0.5)" in line
    assert "--out" in line


def test_the_first_batch_is_shown(heatstream: Command, recipe: Path, tmp_path: Path) -> None:
    ended = heatstream("train", recipe, "--show-batch", tmp_path / "batch.png")
    assert (ended.code, ended.out) == (0, f"{tmp_path / 'batch.png'}\n"), ended.err
    picture = cv2.imread(str(tmp_path / "batch.png"))
    assert picture is not None
    assert min(picture.shape[:2]) >= min(64, *SIZE)
    assert not (tmp_path / "runs").exists()


def test_landmarks_are_trained_shown_and_measured_alike(heatstream: Command, tmp_path: Path) -> None:
    recipe = write_faces_recipe(tmp_path / "data")
    shown = heatstream("train", recipe, "--show-batch", tmp_path / "batch.png")
    assert shown.code == 0, shown.err
    assert cv2.imread(str(tmp_path / "batch.png")) is not None

    out = tmp_path / "run"
    trained = heatstream("train", recipe, "--set", "train.steps=2", "--out", out)
    assert trained.code == 0, trained.err
    assert "validation: NME " in trained.err
    assert f"{out / 'best.pt'}: NME " in trained.out
    assert f"heatstream eval {out / 'best.pt'} --data {tmp_path / 'data'} --annotations" in trained.out
    assert "heatstream run 0 --faces --face-model h3r-mobile-300w68.onnx" in trained.out

    again = heatstream("train", recipe, "--set", "train.steps=2", "--out", out)
    assert (again.code, again.err) == (0, "")
    assert "is finished" in again.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "train.stpes=3"], ["train.stpes", "train.steps"]),
        (["--set", "data.sets.0.images=poeple"], ["data.sets.0.images", "people"]),
        (["--set", "model.skeleton=crowdpose-14"], ["people.json", "17 keypoints", "crowdpose-14"]),
        (["--set", "model.init=swahr-tiny", "--set", "data.sets.0.annotations=empty.json"], ["empty.json"]),
        (["--set", "data.validation.annotations=empty.json"], ["empty.json"]),
        (["--show-batch", "nowhere/batch.png"], ["nowhere/batch.png"]),
        (["--show-batch", "batch.what"], ["batch.what"]),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str],
    words: list[str],
    heatstream: Command,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (recipe.parent / "empty.json").touch()
    ended = heatstream("train", recipe, *arguments)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    for word in words:
        assert word in line


def test_where_signals_come_twice_the_second_ends_nothing() -> None:
    with StopSignals(second_ends=False) as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
    assert stop.received == signal.SIGTERM
