"""``heatstream recipe``, and which recipe a user means."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from heatstream.errors import UnknownNameError
from heatstream.files import expanded

__all__ = ["recipe", "recipe_path"]

FOLDER = Path(str(files("heatstream"))) / "recipes"
SCHEMA = "recipe.schema.json"


def recipe_path(name_or_file: str) -> Path:
    """The recipe of that name, or the file; anything that looks like a path is one.

    Raises:
        UnknownNameError: there is neither.
    """
    path = expanded(name_or_file)
    if path.suffix == ".toml" or len(path.parts) > 1 or path.is_file():
        return path
    known = {each.stem: each for each in sorted(FOLDER.glob("*.toml"))}
    if name_or_file not in known:
        raise UnknownNameError.among(known, kind="recipe", name=name_or_file)
    return known[name_or_file]


def recipe(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a recipe that comes with heatstream.")] = "finetune",
    names: Annotated[bool, typer.Option("--list", help="Print what each recipe is for instead.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema by which editors check recipes instead.")
    ] = False,
) -> None:
    """Print a recipe to start from.

    A recipe can also be trained by its name: `heatstream train finetune`.

    Examples:

        heatstream recipe > mine.toml

        heatstream recipe swahr-tiny > mine.toml

        heatstream recipe --list

        heatstream recipe --schema > recipe.schema.json
    """
    if schema:
        print((FOLDER / SCHEMA).read_text(encoding="utf-8"), end="")
    elif names:
        for path in sorted(FOLDER.glob("*.toml")):
            print(f"{path.stem:20} {_first_sentence(path)}")
    else:
        print(recipe_path(name).read_text(encoding="utf-8"), end="")


def _first_sentence(path: Path) -> str:
    """What a recipe's first comment says it is."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#:"):
            continue
        if not line.startswith("# "):
            break
        comments.append(line[2:].strip())
    text = " ".join(comments)
    end = text.find(". ")
    return text[: end + 1] if end >= 0 else text
