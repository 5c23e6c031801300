"""README's table of networks is the catalogue's."""

from __future__ import annotations

from pathlib import Path

from heatstream import skeletons
from heatstream.catalog import CATALOG, CatalogEntry

README = Path(__file__).resolve().parent.parent / "README.md"


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
