"""``heatstream decode`` and what of ``run`` belongs to it."""

from __future__ import annotations

from pathlib import Path

from tests.demo.helpers import Command, read_results


def test_a_run_is_decoded_again_from_the_command_line(
    heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    lines, path, again = tmp_path / "out.jsonl", tmp_path / "out.mcap", tmp_path / "again.jsonl"
    run = ("run", clip, "-m", tiny_model, "--no-window", "--frames", "8")
    ended = heatstream(*run, "--jsonl", lines, "--mcap", path, "--raw-peaks", "--smooth")
    assert (ended.code, ended.err) == (0, "")
    ended = heatstream("decode", path, "--jsonl", again)
    assert (ended.code, ended.err) == (0, "")
    assert read_results(again) == read_results(lines)
    assert any(result["people"] for result in read_results(again))
    ended = heatstream("decode", path, "--conf", "1", "--jsonl", again)
    assert not any(result["people"] for result in read_results(again))
    ended = heatstream(*run, "--raw-peaks")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "add --mcap FILE" in ended.err
    ended = heatstream("decode", path, "--jsonl", path)
    assert "is the recording itself" in ended.err
