"""The run's folder: files that are whole or untouched, and whose they are."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.errors import TrainingError  # noqa: E402
from heatstream.models.training.recipe import parse_recipe, write_recipe  # noqa: E402
from heatstream.models.training.run_folder import RunFolder  # noqa: E402
from tests.fakes.tiny_recipe import RECIPE  # noqa: E402


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes, which fails as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 100, 50_000])
def test_a_full_disk_is_one_error_and_leaves_the_old_checkpoint(room: int, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(folder.last, {"weights": torch.zeros(50_000)})
    before = folder.last.read_bytes()
    with little_room(room), pytest.raises(TrainingError) as raised:
        folder.save(folder.last, {"weights": torch.ones(50_000)})
    message = str(raised.value)
    assert "\n" not in message
    assert str(folder.last) in message
    assert "intact" in message
    assert folder.last.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="choose another"), RunFolder(tmp_path / "file" / "run").held():
        raise AssertionError


def test_two_trainings_cannot_share_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.held(), pytest.raises(TrainingError, match=r"another training is at work .*--out"), folder.held():
        raise AssertionError
    with folder.held():
        pass  # it is free again


def test_the_recipe_lies_in_the_folder(tmp_path: Path) -> None:
    recipe = parse_recipe(RECIPE)
    folder = RunFolder(tmp_path / "a" / "b")
    with folder.held():
        folder.start(recipe)
    assert parse_recipe((folder.path / "recipe.toml").read_text()) == recipe


def test_a_new_folder_has_no_state(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "nothing").load(parse_recipe(RECIPE)) is None


@pytest.mark.parametrize("change", ["train.rate=0.5", "data.size=96", "model.skeleton=mpii-16", "loss.sigma=1.0"])
def test_a_folder_of_another_recipe_is_refused_with_the_key(change: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(folder.resume, {"recipe": write_recipe(parse_recipe(RECIPE)), "step": 3})
    with pytest.raises(TrainingError) as raised:
        folder.load(parse_recipe(RECIPE, [change]))
    assert change.partition("=")[0] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", ["train.threads=2", "data.workers=3", "train.log_every=1", "data.cache_gb=1"])
def test_what_changes_no_weights_may_change(change: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(folder.resume, {"recipe": write_recipe(parse_recipe(RECIPE)), "step": 3})
    state = folder.load(parse_recipe(RECIPE, [change]))
    assert state is not None
    assert state["step"] == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "cut short"])
def test_a_damaged_state_is_refused(content: bytes | None, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(folder.resume, {"recipe": write_recipe(parse_recipe(RECIPE)), "weights": torch.zeros(1000)})
    folder.resume.write_bytes(folder.resume.read_bytes()[:2000] if content is None else content)
    with pytest.raises(TrainingError, match=r"resume\.pt is damaged"):
        folder.load(parse_recipe(RECIPE))
