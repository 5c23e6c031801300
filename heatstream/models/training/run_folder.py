"""The folder of a run, and how its files are written: whole or not at all, whatever ends the program.

::

    recipe.toml   the recipe, every value written out
    resume.pt     everything that the next step depends on
    last.pt       the averaged weights, as `heatstream export` and `heatstream eval` take them
    best.pt       the same, of the best validation
    logs/         TensorBoard
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from heatstream.errors import RecipeError, SinkError, TrainingError, first_line
from heatstream.files import make_folder, replacing
from heatstream.models.settings import AnyRecipe
from heatstream.models.torch_import import torch
from heatstream.models.training.recipe import differences, parse_recipe, write_recipe

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it has.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def best(self) -> Path:
        """The averaged weights of the best validation so far."""
        return self.path / "best.pt"

    @property
    def last(self) -> Path:
        """The newest averaged weights."""
        return self.path / "last.pt"

    @property
    def logs(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "logs"

    @property
    def resume(self) -> Path:
        """Everything that the next step depends on."""
        return self.path / "resume.pt"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep other trainings out of it; the system lets go of it however the program ends.

        Raises:
            TrainingError: another training is at work in it, or it cannot be made.
        """
        make_folder(self.path, TrainingError)
        try:
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise TrainingError(f"cannot write into {self.path} ({_reason(error)}): give another --out") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TrainingError(
                    f"another training is at work in {self.path}: wait until it ends, or give another --out"
                ) from None
            yield

    def start(self, recipe: AnyRecipe) -> None:
        """Put the recipe into the folder.

        Raises:
            TrainingError: it is not writable.
        """
        text = write_recipe(recipe)
        self._write(self.path / "recipe.toml", lambda file: file.write(text.encode()))

    def save(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write one checkpoint; the old one stays as it was if that fails.

        Raises:
            TrainingError: the disk is full, or the folder is gone or not writable.
        """
        self._write(path, lambda file: torch.save(dict(content), file))

    def load(self, recipe: AnyRecipe) -> dict[str, Any] | None:
        """What `resume.pt` holds, tensors on the CPU; None at the start of a run.

        Raises:
            TrainingError: it is damaged, or belongs to another recipe.
        """
        if not self.resume.exists():
            return None
        try:
            state = torch.load(self.resume, map_location="cpu", weights_only=True)
            theirs = parse_recipe(state["recipe"])
        except RecipeError as error:
            raise TrainingError(f"{self.resume} is of another version ({error}): give another --out") from error
        except Exception as error:  # a damaged pickle or zip fails in more ways than torch documents
            raise TrainingError(f"{self.resume} is damaged: delete it to start again, or give another --out") from error
        if changed := differences(theirs, recipe):
            raise TrainingError(
                f"{self.path} holds a training of another recipe, which has {', '.join(changed)}: "
                "give another --out, or the old values to go on"
            )
        return dict(state)

    def _write(self, path: Path, write: Callable[[BinaryIO], Any]) -> None:
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                write(file)
        except (SinkError, RuntimeError) as error:  # torch reports some failed writes as a RuntimeError
            kept = "; the one before is intact" if path.exists() else ""
            raise TrainingError(
                f"cannot save {path} ({_reason(error)}){kept}: make room there and run the same command again"
            ) from error


def _reason(error: BaseException) -> str:
    error = error.__cause__ if isinstance(error, SinkError) and error.__cause__ is not None else error
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return first_line(error)
