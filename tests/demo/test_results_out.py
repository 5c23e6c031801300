"""docs/results-out.md names options that there are; tests/docs runs its samples."""

from __future__ import annotations

import re

from tests.demo.helpers import REPOSITORY, Command

PAGE = REPOSITORY / "docs" / "results-out.md"


def test_the_page_names_every_option(heatstream: Command) -> None:
    text = PAGE.read_text(encoding="utf-8")
    offered = heatstream("run", "--help").out
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--tag-threshold"}:
        assert option in offered, option
    for option in ("--mcap", "--web", "--token", "--private", "--blur-heads", "--send", "--rerun", "--foxglove"):
        assert option in text
