"""Optional libraries: found when they are needed, explained when they are not there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from heatstream.errors import MissingExtraError

__all__ = ["TEGRA_RELEASE", "gpu_extra", "require"]

TEGRA_RELEASE = Path("/etc/nv_tegra_release")
"""What Jetson Linux says of itself; other systems have no such file."""


def gpu_extra() -> str:
    """The extra that brings CuPy for this machine: of the CUDA that JetPack has on a Jetson, else of the wheels."""
    try:
        release = re.search(r"R(\d+)", TEGRA_RELEASE.read_text(errors="replace"))
    except OSError:
        return "gpu"
    return "jetson-cu13" if release is not None and int(release[1]) >= 38 else "jetson"


def require(library: str, *, extra: str, purpose: str) -> Any:
    """Import an optional library on first use.

    Args:
        library: import name, for example ``"torch"`` or ``"onnxscript"``.
        extra: the extra that brings it.
        purpose: what it is needed for, as it reads after "for".

    Returns:
        The module.

    Raises:
        MissingExtraError: it is not installed. A library that is there but fails inside keeps its own
            ImportError.
    """
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != library.split(".")[0]:
            raise
        raise MissingExtraError(library, extra, purpose) from None
