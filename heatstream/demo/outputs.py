"""What a command writes must not be what it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from heatstream.errors import InputError

__all__ = ["check_outputs", "model_files"]


def check_outputs(outputs: Sequence[Path], inputs: Mapping[str, Iterable[Path]]) -> None:
    """Refuse to write two results into one file, or over what is read, under whatever name.

    Args:
        outputs: what will be written.
        inputs: what is read, by what it is, as it reads after "is": ``{"the model": [...]}``.

    Raises:
        InputError: two of them are one file.
    """
    from heatstream.runtime.sinks import same_place

    for number, path in enumerate(outputs):
        if any(same_place(path, other) for other in outputs[:number]):
            raise InputError(f"{path} is named for two kinds of results: give each a file of its own")
        for kind, files in inputs.items():
            for read in files:
                if same_place(path, read):
                    raise InputError(f"{path} is {kind} itself, {read}: write the results to another file")


def model_files(model: str | Path) -> tuple[Path, ...]:
    """A model's file, and those beside it that hold its weights.

    Args:
        model: what :func:`heatstream.load` takes, or a torch checkpoint.

    Raises:
        UnknownNameError: there is no network of that name.
        ModelFileError: it is damaged, or no weights come with it.
    """
    from heatstream.engine_builder.onnx_file import external_files
    from heatstream.runtime.load import model_path

    path = model_path(model)
    return (path, *external_files(path)) if path.suffix.lower() == ".onnx" and os.path.isfile(path) else (path,)
