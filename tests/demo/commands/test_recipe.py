"""`heatstream recipe`, and training by a recipe's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heatstream.demo.commands.recipe import recipe_path
from heatstream.errors import UnknownNameError
from tests.demo.helpers import Command


def test_a_recipe_is_printed_as_it_is(heatstream: Command) -> None:
    ended = heatstream("recipe")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == recipe_path("finetune").read_text()
    assert heatstream("recipe", "swahr-tiny").out == recipe_path("swahr-tiny").read_text()


def test_all_are_listed_with_a_sentence(heatstream: Command) -> None:
    lines = heatstream("recipe", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in recipe_path("finetune").parent.glob("*.toml")
    )
    assert all(len(line.split()) > 3 for line in lines)


def test_the_schema_is_printed(heatstream: Command) -> None:
    assert "properties" in json.dumps(json.loads(heatstream("recipe", "--schema").out))


def test_a_file_goes_before_a_name_and_neither_is_one_sentence(
    heatstream: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "finetune").write_text("")
    assert recipe_path("finetune") == Path("finetune")
    assert recipe_path("mine.toml") == Path("mine.toml")
    with pytest.raises(UnknownNameError, match="did you mean 'swahr-tiny'"):
        recipe_path("swahr-tinny")
    ended = heatstream("recipe", "nothing-like-it")
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1
