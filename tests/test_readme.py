"""What the pages say is there: README's table is the catalogue's, links lead somewhere, named files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heatstream import skeletons
from heatstream.catalog import CATALOG, CatalogEntry

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
MADE = {"cli.md", "api.md", "changelog.md", "contributing.md"}
"""Pages that exist on the site alone; see tools/docs_hooks.py."""

PAGES = [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def row(entry: CatalogEntry) -> str:
    height, width = entry.input_size
    kind, finds = (
        ("people", f"short side {height} px")
        if entry.task == "pose"
        else ("one face or body in a box", f"{height}x{width} px")
    )
    points = f"{entry.skeleton}, {skeletons.get(entry.skeleton).num_keypoints} points"
    card = f" ([model card](heatstream/weights/{entry.name}.md)), {entry.licence}" if entry.bundled else ""
    return f"| `{entry.name}` | {kind} | {points} | {finds} | {entry.parameters / 1e6:.1f} M | {entry.weights}{card} |"


def test_the_table_of_networks_is_the_catalogue() -> None:
    expected = [row(entry) for entry in CATALOG.values()]
    section = README.read_text(encoding="utf-8").partition("\n## Networks\n")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("| `")]
    assert found == expected, "the table should be:\n" + "\n".join(expected)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_and_named_files_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)\s#]+)[^)]*\)|(?:src|href)=\"([^\"#]+)", text)
    links = [markdown or html for markdown, html in found if "://" not in markdown + html]
    missing = [link for link in links if not (page.parent / link).exists() and link not in MADE]
    named = re.findall(r"`((?:heatstream|tests|tools|benchmarks|experiments)/[\w./-]+)`", text)
    missing += [name for name in named if not (REPOSITORY / name).exists() and "NAME" not in name]
    assert missing == []


def test_the_map_names_at_most_eight_files() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## From a frame to a result")[2].partition("\n## ")[0]
    assert 1 <= len(re.findall(r"^\| \d+ \|", section, re.MULTILINE)) <= 8
