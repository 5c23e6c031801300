"""The examples of docs/results-out.md run as they stand, on what a run has left."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.demo.helpers import REPOSITORY, Command

PAGE = REPOSITORY / "docs" / "results-out.md"


def test_the_pages_programs_run(heatstream: Command, clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    options = ("--jsonl", tmp_path / "out.jsonl", "--mcap", tmp_path / "out.mcap", "--frames", "5")
    assert heatstream("run", clip, "-m", tiny_model, "--no-window", *options).code == 0
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert len(ended.stdout.splitlines()) == 5


def test_the_page_names_every_option(heatstream: Command) -> None:
    text = PAGE.read_text(encoding="utf-8")
    offered = heatstream("run", "--help").out
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--tag-threshold"}:
        assert option in offered, option
    for option in ("--mcap", "--web", "--token", "--private", "--blur-heads", "--send", "--rerun", "--foxglove"):
        assert option in text or option == "--token"
