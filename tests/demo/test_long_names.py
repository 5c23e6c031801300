"""Names that no file system takes, wherever a command takes a name: one sentence and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from heatstream.errors import HeatstreamError
from heatstream.files import write_whole
from heatstream.runtime.load import load
from tests.demo.helpers import Command

NAME = "a" * 300
RUN = ("run", "CLIP", "-m", "TINY", "--no-window")
EVAL = ("eval", "TINY", "--data", ".", "--annotations", "none.json")

COMMANDS = [
    ("run", NAME, "-m", "TINY"),
    ("run", f"*{NAME}", "-m", "TINY"),
    ("run", "CLIP", "-m", NAME),
    ("run", "CLIP", "-m", f"{NAME}.onnx"),
    *((*RUN, option, f"{NAME}{suffix}") for option, suffix in (("--jsonl", ""), ("--coco", ""), ("--zones", ".toml"))),
    *((*RUN, "--save", f"{NAME}{suffix}") for suffix in (".mp4", ".avi", ".jpg")),
    ("eval", f"{NAME}.onnx", "--data", "."),
    ("eval", f"{NAME}.pt", "--data", "."),
    ("eval", "TINY", "--data", NAME),
    ("eval", "TINY", "--data", ".", "--annotations", NAME),
    *((*EVAL, option, f"{NAME}{suffix}") for option, suffix in (("-o", ".json"), ("--sheet", ".jpg"))),
    ("export", NAME),
    ("export", "swahr-tiny", "-c", NAME),
    ("export", "swahr-tiny", "-c", "swahr-tiny", "-o", NAME),
    ("bench", NAME),
    *(("bench", "TINY", option, NAME) for option in ("--json", "--source", "--compare")),
    ("train", NAME),
    ("build", f"{NAME}.onnx"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).replace(NAME, "LONG"))
def test_a_name_too_long_is_one_line(
    command: tuple[str, ...],
    heatstream: Command,
    clip: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if command[0] in ("export", "train") or f"{NAME}.pt" in command:
        pytest.importorskip("torch", reason="torch comes with the extra train")
    stand_for = {"CLIP": str(clip), "TINY": str(tiny_model)}
    ended = heatstream(*(stand_for.get(word, word) for word in command))
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("heatstream: ")
    assert list(tmp_path.iterdir()) == []


def test_a_program_gets_our_error() -> None:
    with pytest.raises(HeatstreamError):
        load(NAME)


def test_the_longest_name_there_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".json")
    write_whole(path, b"{}")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
