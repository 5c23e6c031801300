"""Whether the folders and files that a recipe names are there: checked before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heatstream import catalog
from heatstream.errors import DatasetError, RecipeError
from heatstream.models.checkpoints import weights_file
from heatstream.models.data.root import find_root
from heatstream.models.landmarks.readers.formats import APART, FOLDERS_OF_LABELS
from heatstream.models.settings import AnyRecipe
from heatstream.models.training.recipe_errors import nearest

__all__ = ["check_files"]


def check_files(recipe: AnyRecipe) -> None:
    """Refuse a recipe whose folders and files are not there.

    Raises:
        RecipeError: one line per missing file: its key, and the nearest file that is there.
    """
    try:
        root = find_root(recipe.data.root)
    except DatasetError as error:
        wanted = Path(recipe.data.root)
        hint = nearest(str(wanted), (str(wanted.parent / folder) for folder in _folders_beside(wanted)))
        raise RecipeError(f"{error} ({hint})") from None
    missing = []
    for key, name, is_folder in _named_files(recipe):
        path = root / name
        if not (os.path.isdir(path) if is_folder else os.path.isfile(path)):
            missing.append(f"{key}: {_missing(path, 'folder' if is_folder else 'file')}")
    teacher = getattr(recipe, "teacher", None)
    for key, name in (("model.init", recipe.model.init), ("teacher.checkpoint", teacher.checkpoint if teacher else "")):
        if name and not os.path.isfile(weights_file(name)):
            entry = catalog.networks().get(name)
            if entry is not None and entry.fetched is not None:
                missing.append(
                    f"{key}: the weights of {name} are not there yet: get them with `heatstream fetch {name}`"
                )
                continue
            bundled = [entry.name for entry in catalog.networks().values() if entry.bundled]
            missing.append(f"{key}: {_missing(weights_file(name), 'file', others=bundled)}")
    if missing:
        raise RecipeError("\n".join(missing))


def _named_files(recipe: AnyRecipe) -> Iterator[tuple[str, str, bool]]:
    """Every key that names a file or folder of data, with its value and whether it is a folder."""
    sets: list[tuple[str, Any]] = [(f"data.sets.{number}", one) for number, one in enumerate(recipe.data.sets)]
    if recipe.data.validation is not None:
        sets.append(("data.validation", recipe.data.validation))
    for key, one in sets:
        kind = getattr(one, "format", "coco")  # the sets of a training of poses are COCO's
        yield f"{key}.annotations", one.annotations, kind in FOLDERS_OF_LABELS
        if kind in APART:
            yield f"{key}.images", getattr(one, "folder", one.images), True


def _folders_beside(root: Path) -> Iterator[str]:
    """The folders where a relative `data.root` was looked for, nearest first."""
    for above in (Path.cwd(), *Path.cwd().parents):
        folder = (above / root).parent
        if os.path.isdir(folder):
            yield from _names(folder, folders=True)


def _missing(path: Path, what: str, *, others: Sequence[str] = ()) -> str:
    """Say that a path is not there, and what is like it in the deepest folder that is, or among other names."""
    parent = path.parent
    if not os.path.isdir(parent):
        while not os.path.isdir(parent.parent):
            parent = parent.parent
        return f"there is no folder {parent}: {nearest(parent.name, _names(parent.parent, folders=True))}"
    return f"there is no {what} {path}: {nearest(path.name, [*others, *_names(parent, folders=what == 'folder')])}"


def _names(folder: Path, *, folders: bool, most: int = 1000) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry, _ in zip(entries, range(most), strict=False) if entry.is_dir() == folders)
