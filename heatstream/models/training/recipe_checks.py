"""What a recipe's values may be, and whether the files it names are there: checked before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from heatstream import skeletons
from heatstream.errors import DatasetError, RecipeError, UnknownNameError
from heatstream.models.checkpoints import weights_file
from heatstream.models.landmarks.settings import APART, FOLDERS_OF_LABELS
from heatstream.models.networks.registry import NETWORKS
from heatstream.models.pose.dataset import find_root
from heatstream.models.training.schema import AnyRecipe
from heatstream.models.training.toml_dataclass import flatten, nearest, to_table

__all__ = ["check_files", "check_values"]

SIZE_MULTIPLE = 32
"""Networks halve their input five times."""

MOST_PROCESSES = 1024
"""More threads than any machine has cores crash OpenMP."""

Test = tuple[Callable[[Any], bool], str]

POSITIVE: Test = (lambda v: 0 < v < float("inf"), "above 0")
NOT_NEGATIVE: Test = (lambda v: 0 <= v < float("inf"), "0 or more")
PROBABILITY: Test = (lambda v: 0 <= v <= 1, "from 0 to 1")

TESTS: dict[str, Test] = {
    "data.sets.*.weight": POSITIVE,
    "data.size": (
        lambda v: all(side >= 64 and side % SIZE_MULTIPLE == 0 for side in (v if isinstance(v, list) else [v])),
        f"multiples of {SIZE_MULTIPLE}, 64 or more",
    ),
    "data.workers": (lambda v: 0 <= v <= MOST_PROCESSES, f"from 0 to {MOST_PROCESSES}"),
    "data.cache_gb": NOT_NEGATIVE,
    "data.validation.limit": NOT_NEGATIVE,
    "augment.rotation": (lambda v: 0 <= v <= 180, "from 0 to 180 degrees"),
    "augment.scale": (lambda v: 0 < v[0] <= v[1] < float("inf"), "two numbers above 0, the smaller first"),
    "augment.translation": NOT_NEGATIVE,
    **{f"augment.{name}": PROBABILITY for name in ("flip", "zoom_people", "colour", "grey", "blur", "jpeg")},
    **{f"augment.{name}": PROBABILITY for name in ("cutout", "mosaic")},
    "loss.sigma": POSITIVE,
    "loss.tag_margin": POSITIVE,
    "loss.push": NOT_NEGATIVE,
    "loss.pull": NOT_NEGATIVE,
    "loss.heatmap_weights": (lambda v: min(v) >= 0 and max(v) > 0, "0 or more, and not both 0"),
    "loss.scale_weight": NOT_NEGATIVE,
    "train.steps": POSITIVE,
    "train.batch": POSITIVE,
    "train.rate": POSITIVE,
    "train.weight_decay": NOT_NEGATIVE,
    "train.milestones": (lambda v: all(0 < m < 1 for m in v) and list(v) == sorted(v), "rising shares between 0 and 1"),
    "train.warmup_steps": NOT_NEGATIVE,
    "train.clip": NOT_NEGATIVE,
    "train.ema": (lambda v: 0 <= v < 1, "from 0 to below 1"),
    "train.seed": NOT_NEGATIVE,
    "train.checkpoint_seconds": NOT_NEGATIVE,
    "train.validate_every": NOT_NEGATIVE,
    "train.log_every": POSITIVE,
    "train.threads": (lambda v: 0 <= v <= MOST_PROCESSES, f"from 0 to {MOST_PROCESSES}"),
}
"""Key to what its value must be, in code and in words."""


def check_values(recipe: AnyRecipe) -> None:
    """Refuse values that no training can have.

    Raises:
        RecipeError: names the key and what it may be.
    """
    _among(NETWORKS, "model.name", recipe.model.name, "network")
    _among(skeletons.SKELETONS, "model.skeleton", recipe.model.skeleton, "skeleton")
    if not recipe.data.sets:
        raise RecipeError("data.sets is empty: add a [[data.sets]] section with annotations and images")
    for key, value in flatten(to_table(recipe)):
        general = ".".join("*" if part.isdigit() else part for part in key.split("."))
        test, words = TESTS.get(general, (None, ""))
        if test is not None and not test(value):
            raise RecipeError(f"{key} = {value!r} is impossible: give {words}")
    if recipe.train.schedule == "step" and not recipe.train.milestones:
        raise RecipeError('train.milestones is empty: schedule = "step" needs shares of the steps, such as [0.7, 0.9]')
    _check_device(recipe.train.device)


def check_files(recipe: AnyRecipe) -> None:
    """Refuse a recipe whose folders and files are not there.

    Raises:
        RecipeError: names the key, and the nearest file that is there.
    """
    try:
        root = find_root(recipe.data.root)
    except DatasetError as error:
        wanted = Path(recipe.data.root)
        hint = nearest(str(wanted), (str(wanted.parent / folder) for folder in _folders_beside(wanted)))
        raise RecipeError(f"{error} ({hint})") from None
    for key, name, is_folder in _named_files(recipe):
        path = root / name
        if not (path.is_dir() if is_folder else path.is_file()):
            raise RecipeError(f"{key}: {_missing(path, 'folder' if is_folder else 'file')}")
    init = weights_file(recipe.model.init)
    if recipe.model.init and not init.is_file():
        bundled = [name for name in NETWORKS if weights_file(name).is_file()]
        raise RecipeError(f"model.init: {_missing(init, 'file', others=bundled)}")


def _named_files(recipe: AnyRecipe) -> Iterator[tuple[str, str, bool]]:
    """Every key that names a file or folder of data, with its value and whether it is a folder."""
    sets: list[tuple[str, Any]] = [(f"data.sets.{number}", one) for number, one in enumerate(recipe.data.sets)]
    if recipe.data.validation is not None:
        sets.append(("data.validation", recipe.data.validation))
    for key, one in sets:
        kind = getattr(one, "format", "coco")  # the sets of a training of poses are COCO's
        yield f"{key}.annotations", one.annotations, kind in FOLDERS_OF_LABELS
        if kind in APART:
            yield f"{key}.images", one.images, True


def _folders_beside(root: Path) -> Iterator[str]:
    """The folders where a relative `data.root` was looked for, nearest first."""
    for above in (Path.cwd(), *Path.cwd().parents):
        folder = (above / root).parent
        if folder.is_dir():
            yield from _names(folder, folders=True)


def _missing(path: Path, what: str, *, others: Sequence[str] = ()) -> str:
    """Say that a path is not there, and what is like it in the deepest folder that is, or among other names."""
    parent = path.parent
    if not parent.is_dir():
        while not parent.parent.is_dir():
            parent = parent.parent
        return f"there is no folder {parent}: {nearest(parent.name, _names(parent.parent, folders=True))}"
    return f"there is no {what} {path}: {nearest(path.name, [*others, *_names(parent, folders=what == 'folder')])}"


def _names(folder: Path, *, folders: bool, most: int = 1000) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry, _ in zip(entries, range(most), strict=False) if entry.is_dir() == folders)


def _among(known: Any, key: str, name: str, kind: str) -> None:
    if name not in known:
        raise RecipeError(f"{key}: {UnknownNameError.among(known, kind=kind, name=name)}")


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not (kind == "cuda" and number.isdigit())):
        raise RecipeError(f"train.device = {device!r} is unknown: give auto, cpu, cuda or cuda:1")
