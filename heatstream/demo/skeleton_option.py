"""The option that names a keypoint layout: a known one, a recipe's, or that of labels."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from heatstream import skeletons
from heatstream.errors import InputError
from heatstream.files import expanded

__all__ = ["SKELETON_HELP", "read_skeleton"]

SKELETON_HELP = "Name of the keypoint layout, or a recipe with a section [skeleton], or COCO keypoint JSON."


def read_skeleton(text: str) -> str:
    """The name of a layout; that of a file is known from then on.

    Args:
        text: a name, or the path of a file that ends in .toml or .json.

    Raises:
        UnknownNameError: there is no layout of that name.
        DatasetError: the JSON is none of COCO's.
        InputError: the TOML describes no skeleton, or one with the name of another.
    """
    path = expanded(text)
    if path.suffix.lower() == ".json":
        from heatstream.models.pose.coco import skeleton_of

        return skeletons.register(skeleton_of(path)).name
    if path.suffix.lower() == ".toml":
        return _of_recipe(path)
    return skeletons.get(text).name


def _of_recipe(path: Path) -> str:
    from heatstream.skeleton_tables import skeleton_from_table

    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table = toml.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({(error.strerror or '').lower()}): give another file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no TOML ({str(error)[:200]}): correct it") from error
    if not isinstance(table.get("skeleton"), dict):
        raise InputError(f"{path} has no section [skeleton]: add one, with name and keypoints")
    return skeletons.register(skeleton_from_table(table["skeleton"])).name
