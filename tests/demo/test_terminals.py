"""Terminals of a few columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.helpers import Command
from tests.fakes.labelled_photos import make_set

COMMANDS = {
    "run": ("run", "CLIP", "-m", "TINY", "--no-window"),
    "models": ("models",),
    "doctor": ("doctor",),
    "bench": ("bench", "TINY", "--seconds", "0.1", "--threads", "1"),
    "eval": ("eval", "TINY", "--data", "SET"),
}


@pytest.fixture
def arguments(clip: Path, tiny_model: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[str]:
    """Of one of the commands."""
    words = COMMANDS[request.param]
    stand_for = {"CLIP": str(clip), "TINY": str(tiny_model), "SET": str(tmp_path)}
    if "SET" in words:
        pytest.importorskip("faster_coco_eval", reason="faster-coco-eval comes with the extra train")
        make_set(tmp_path)
    return [stand_for.get(word, word) for word in words]


@pytest.mark.parametrize("columns", ["1", "4"])
@pytest.mark.parametrize("arguments", COMMANDS, indirect=True)
def test_tables_fit_into_any_terminal(
    arguments: list[str], columns: str, heatstream: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ended = heatstream(*arguments)
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) >= 40  # the terminal breaks lines, not we
