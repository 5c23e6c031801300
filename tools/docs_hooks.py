"""For the site: pages that are made from the program, and pages for the source files that other pages link to."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".cu": "cuda",
    ".cuh": "cuda",
    ".json": "json",
    ".sh": "bash",
    ".yml": "yaml",
}
ROOT_PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
LEFT_OUT = "More"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that nobody has listed at the end of the list."""
    assert config.nav is not None
    listed = set(_pages(config.nav))
    folder = Path(config.docs_dir)
    missing = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
    missing = [page for page in missing if page not in listed]
    if missing:
        config.nav.append({LEFT_OUT: missing})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {"cli.md": _commands(), "api.md": _api()}
    for source, page in ROOT_PAGES.items():
        if page != "index.md":
            made[page] = (REPOSITORY / source).read_text(encoding="utf-8")
    pages = {file.src_uri: file.content_string for file in files.documentation_pages()} | made
    for page, text in pages.items():
        for target in _sources(page, text):
            made[_source_page(target)] = _source(target)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files outside of docs/ lead to their pages."""
    here = page.file.src_uri
    outside = _is_outside(here)

    def changed(found: re.Match[str]) -> str:
        target = _target(here, found[2], outside=outside)
        if target is None:
            return found[0]
        place = relpath(_page_of(target), PurePosixPath(here).parent.as_posix())
        return f"{found[1]}{place}{found[3]}"

    return LINK.sub(changed, markdown)


def _is_outside(page: str) -> bool:
    """Whether a page's links are those of a file at the top of the repository."""
    return page in ("changelog.md", "contributing.md") or page.startswith("source/")


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in _pages(entry)]


def _target(page: str, link: str, *, outside: bool) -> str | None:
    """The file of the repository that a link leads to, if it is outside of docs/ or the page is; None for others."""
    if not outside and not link.startswith("../"):
        return None
    base = PurePosixPath("" if outside else "docs")
    folder = base if outside else base / PurePosixPath(page).parent
    target = normpath((folder / link).as_posix())
    if target.startswith("docs/") and not outside:
        return None
    return target if (REPOSITORY / target).exists() else None


def _page_of(target: str) -> str:
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return ROOT_PAGES.get(target) or _source_page(target)


def _source_page(target: str) -> str:
    return f"source/{target.removesuffix('.md')}.md"


def _sources(page: str, text: str) -> list[str]:
    outside = _is_outside(page)
    targets = [_target(page, found[2], outside=outside) for found in LINK.finditer(text)]
    return [
        target
        for target in targets
        if target is not None and not target.startswith("docs/") and target not in ROOT_PAGES
    ]


def _source(target: str) -> str:
    """A page that shows a file, or lists a folder."""
    path = REPOSITORY / target
    if path.is_dir():
        names = sorted(
            each.name + "/" * each.is_dir() for each in path.iterdir() if not each.name.startswith((".", "__"))
        )
        return f"# {target}\n\n" + "\n".join(f"- `{name}`" for name in names) + "\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return LINK.sub(lambda found: found[0] if "://" in found[2] else f"]({found[2]})", text)
    return f"# {target}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}\n````\n"


def _commands() -> str:
    """Every command with its options, as `--help` has them."""
    import typer
    from typer.cli import get_docs_for_click

    from heatstream.demo.cli import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="heatstream")
    return str(get_docs_for_click(obj=command, ctx=context, name="heatstream", title="Commands"))


def _api() -> str:
    """Every name that a program uses."""
    import heatstream

    text = (
        "# Python\n\nEverything that a program may have to name is exported from `heatstream` and typed. Coordinates "
        "are (x, y) in px of the source image, pixel centres at +0.5; every error is a `HeatstreamError`.\n"
    )
    first = ("load", "load_landmarks", "stream", "draw")
    names = [*first, *(name for name in heatstream._HOMES if name not in first)]
    for name in names:
        text += f"\n::: {heatstream._HOMES[name]}.{name}\n"
    return text + "\n::: heatstream.errors\n    options:\n      show_root_heading: true\n"
