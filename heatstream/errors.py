"""The one family of exceptions that heatstream raises on purpose.

::

    HeatstreamError                exit code 2 on the command line
    ├── MissingExtraError          an optional library is needed and not installed
    ├── UnknownNameError           no model, skeleton or device of that name
    ├── ModelFileError             a model file is damaged, not ours, or of another shape
    ├── CheckpointError            a torch checkpoint does not fit the network
    ├── DownloadError              weights could not be fetched, or are not the published ones
    ├── EngineError                the network could not be run on this machine
    │   ├── BuildError             an engine could not be built
    │   └── EngineFileError        an engine file is damaged, or is for another machine or version
    ├── KernelError                a CUDA source does not compile or run on this machine
    ├── SourceError                frames could not be read
    ├── SinkError                  results could not be written
    ├── DatasetError               annotations or photographs are missing, damaged or of another skeleton
    ├── RecipeError                a training recipe has an unknown key, a wrong type or an impossible value
    ├── TrainingError              a training cannot go on: a loss that is not finite, a foreign run folder
    └── InputError                 an argument has the wrong shape, dtype or range

Every message says what was wrong, with which file or device, and what to do next, on one line; the faults of a recipe
have a line each.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BuildError",
    "CheckpointError",
    "DatasetError",
    "DownloadError",
    "EngineError",
    "EngineFileError",
    "HeatstreamError",
    "InputError",
    "KernelError",
    "MissingExtraError",
    "ModelFileError",
    "RecipeError",
    "SinkError",
    "SourceError",
    "TrainingError",
    "UnknownNameError",
    "first_line",
]


class HeatstreamError(Exception):
    """Base of every error that heatstream raises on purpose; the message is one line for a person."""


class MissingExtraError(HeatstreamError, ImportError):
    """An optional library is needed for what was asked and is not installed.

    Args:
        library: import name of the library, for example ``"torch"``.
        extra: the extra of the package that brings it, for example ``"train"``.
        purpose: what it is needed for, as it reads after "for", for example ``"exporting networks"``.
        otherwise: what else there is to do, for example on another machine.
    """

    def __init__(self, library: str, extra: str, purpose: str, *, otherwise: str = "") -> None:
        super().__init__(
            f"{library} is needed for {purpose} and is not installed: pip install 'heatstream[{extra}]'"
            + (f"; {otherwise}" if otherwise else "")
        )
        self.library = library
        self.extra = extra


class UnknownNameError(HeatstreamError, LookupError):
    """There is no model, skeleton or device of that name."""

    @classmethod
    def among(cls, known: Iterable[str], *, kind: str, name: str) -> UnknownNameError:
        """The error for a name that is not among the known ones, with the nearest of these as a hint.

        Args:
            known: every name there is.
            kind: what is named, for example ``"model"``.
            name: what was asked for.
        """
        known = list(known)
        nearest = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"the known ones are {', '.join(known)}"
        return cls(f"no {kind} is called {name!r}: {hint}")


class ModelFileError(HeatstreamError):
    """A model file is missing, damaged, not made by heatstream, or of another shape."""


class CheckpointError(HeatstreamError):
    """A checkpoint could not be read, or does not fit the network."""


class DownloadError(HeatstreamError):
    """Weights could not be fetched, or are not those that their authors published."""


class EngineError(HeatstreamError):
    """The network could not be loaded or run on this machine."""


class BuildError(EngineError):
    """An engine could not be built: TensorRT refuses the network, or this machine."""


class EngineFileError(EngineError):
    """An engine file is missing, damaged, or was built for another machine, model or version.

    Args:
        reason: why it is refused.
        advice: what to do next.
    """

    def __init__(self, reason: str, advice: str = "build it again") -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason


class KernelError(HeatstreamError):
    """A CUDA source does not compile, or a kernel cannot run on this machine."""


class SourceError(HeatstreamError):
    """Frames could not be read from a camera, file or stream."""


class SinkError(HeatstreamError):
    """Results could not be written."""


class DatasetError(HeatstreamError):
    """Annotations or photographs are missing, damaged, or of another skeleton."""


class RecipeError(HeatstreamError):
    """A training recipe has unknown keys, wrong types or impossible values: one line for each."""


class TrainingError(HeatstreamError):
    """A training cannot start or go on."""


class InputError(HeatstreamError, ValueError):
    """An argument has the wrong shape, dtype or range."""


def first_line(error: BaseException) -> str:
    """What an error of another library says first, for a message of ours."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
