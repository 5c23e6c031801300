"""The documentation site: it is built without a warning, and nothing in it leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import heatstream
from tests.fakes.patience import HANG_SECONDS
from tests.test_imports import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]


def build(site: Path, config: Path = REPOSITORY / "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    return subprocess.run(
        [*command, "--site-dir", str(site)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs comes with the extra docs, which the extra test includes")
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder


class Links(HTMLParser):
    """What a page leads to and what can be led to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value is not None and name in ("id", "name"):
                self.names.add(value)
            if value and name in ("href", "src"):
                self.links.append(value)


def test_no_link_of_the_site_leads_nowhere(site: Path) -> None:
    pages = {page: Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 20
    broken = []
    for page, found in pages.items():
        for link in found.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (address.fragment and unquote(address.fragment) not in pages[target].names):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def test_commands_and_names_are_in_the_reference(site: Path) -> None:
    commands = (site / "cli" / "index.html").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"heatstream {name}" not in commands] == []
    names = Links((site / "api" / "index.html").read_text(encoding="utf-8")).names
    assert [f"{home}.{name}" for name, home in heatstream._HOMES.items() if f"{home}.{name}" not in names] == []
    text = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r":(?:class|func|meth|data):", text)


def test_a_broken_link_stops_the_build(site: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Page\n\n[nowhere](nowhere.md)\n")
    config = tmp_path / "mkdocs.yml"
    own = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    validation = own[own.index("validation:") :]
    config.write_text(f"site_name: page\ntheme: {{name: material, font: false}}\n{validation}")
    done = build(tmp_path / "site", config)
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr
