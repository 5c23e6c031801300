"""Where the sets of a training lie."""

from __future__ import annotations

import os
from pathlib import Path

from heatstream.errors import DatasetError

__all__ = ["find_root"]


def find_root(root: str) -> Path:
    """Return the folder of the sets: `root` itself, or where it is found in the current folder or one above.

    Raises:
        DatasetError: it is nowhere.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if os.path.isdir(folder / root):
            return folder / root
    raise DatasetError(f"no folder {root} in {here} or above it: correct `data.root`")
