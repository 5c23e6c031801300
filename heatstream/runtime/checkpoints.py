"""A torch checkpoint where a model file is wanted: exported once, and kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import platformdirs

from heatstream.errors import ModelFileError, SinkError
from heatstream.version import __version__

__all__ = ["model_of_checkpoint"]


def model_of_checkpoint(checkpoint: Path) -> Path:
    """The model file of a checkpoint that says of which network it is, as those of ``heatstream train`` do.

    It lies in the user's cache under a digest of the checkpoint and is made when that is first asked for, by a process
    of its own, which takes some seconds: torch stays out of this one.

    Raises:
        ModelFileError: the checkpoint is missing or cannot be read, does not say which network it is of, or torch is
            not installed.
        SinkError: the cache cannot be written.
    """
    try:
        with checkpoint.open("rb") as file:
            digest = hashlib.sha256(__version__.encode())
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelFileError(f"{checkpoint} cannot be read: {error.strerror}") from None
    folder = Path(platformdirs.user_cache_path("heatstream")) / "checkpoints"
    model = folder / f"{digest.hexdigest()}.onnx"
    if model.is_file():
        return model
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot write {folder}: {error.strerror}; set XDG_CACHE_HOME to a folder of yours") from error
    made = subprocess.run(
        [sys.executable, "-m", "heatstream.demo.checkpoint_to_model", str(checkpoint), str(model)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if made.returncode != 0:
        lines = made.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"its export ended with exit code {made.returncode}"
        raise ModelFileError(
            f"{checkpoint} is a checkpoint, and no model file could be made of it: {reason}; `heatstream export NAME "
            f"--checkpoint {checkpoint}` makes one"
        )
    return model
