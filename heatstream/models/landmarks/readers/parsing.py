"""Reading files; an error names the file and the line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heatstream.errors import DatasetError, HeatstreamError
from heatstream.extras import require

__all__ = ["entries", "mat_names", "matrix", "numbered_lines", "numbers", "photo_name", "read_json", "read_mat"]


def numbered_lines(path: Path) -> list[tuple[str, str]]:
    """The lines that are not blank, each with "file, line N" before it.

    Raises:
        DatasetError: the file cannot be read or is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # whichever line ends the file has
    except OSError as error:
        raise DatasetError(f"{path} could not be read ({error.strerror}): correct its path") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no text ({error.reason}): download it again") from error
    return [(f"{path}, line {number}", line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def numbers(fields: Sequence[str], where: str) -> NDArray[np.float64]:
    """Texts as finite numbers.

    Raises:
        DatasetError: one is not.
    """
    values = np.empty(len(fields))
    for index, text in enumerate(fields):
        try:
            values[index] = float(text)
        except ValueError:
            raise DatasetError(f"{where}: {text!r} is not a number: correct the file") from None
        if not math.isfinite(values[index]):
            raise DatasetError(f"{where}: {text!r} is not a finite number: correct the file")
    return values


def read_json(path: Path, *kinds: type) -> Any:
    """The content of a JSON file, a dict or a list as asked for.

    Raises:
        DatasetError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} could not be read ({error.strerror}): correct its path") from error
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}: download the JSON again"
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no text ({error.reason}): download it again") from error
    except (ValueError, RecursionError) as error:  # of a number of thousands of digits; of lists in lists without end
        raise DatasetError(f"{path} is not JSON that can be read ({error}): download it again") from error
    if not isinstance(content, kinds):
        expected = " or a ".join(kind.__name__ for kind in kinds)
        raise DatasetError(f"{path} holds a {type(content).__name__}, a {expected} was expected: give another file")
    return content


def photo_name(entry: Any, key: str) -> str:
    """The name of an entry's photo.

    Raises:
        ValueError: the entry is no object, or the name no text; within :func:`entries`.
    """
    if not isinstance(entry, dict):
        raise ValueError("it is no object")
    if not isinstance(entry[key], str) or not entry[key]:
        raise ValueError(f"the photo's name is {entry[key]!r}")
    return str(entry[key])


@contextmanager
def entries(where: str) -> Iterator[None]:
    """Turn what goes wrong while an entry of JSON is read into an error that names it.

    Raises:
        DatasetError: a key is missing, or a value has another type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{where}: {what}: correct the file") from error


def read_mat(path: Path, names: Sequence[str], *, structures: bool = False) -> dict[str, Any]:
    """Variables of a MATLAB file; cell arrays become object arrays.

    Files of version 7.3 are HDF5 and need h5py, which the extra `train` brings.

    Args:
        path: of the file.
        names: of the variables.
        structures: turn structures into dicts, arrays of them into arrays of dicts, and numbers into numbers.

    Raises:
        DatasetError: the file cannot be read, or lacks a variable.
        MissingExtraError: h5py is needed and not installed.
    """
    from scipy.io import loadmat

    with _matlab(path):
        try:
            content = loadmat(path, variable_names=list(names), simplify_cells=structures)
        except NotImplementedError:  # SciPy's word for version 7.3, which h5py reads
            content = _read_hdf5(path, names)
    missing = [name for name in names if name not in content]
    if missing:
        raise DatasetError(f"{path} has no variable {missing[0]!r}: give the file that the set's owners publish")
    return dict(content)


def matrix(content: Mapping[str, Any], name: str, columns: int, path: Path) -> NDArray[np.float64]:
    """A variable of a MATLAB file as (N, columns) float64.

    Raises:
        DatasetError: it is of another shape, or holds no numbers.
    """
    value = np.asarray(content[name])
    if value.ndim != 2 or value.shape[1] != columns or value.dtype.kind not in "buif":
        raise DatasetError(
            f"{path}, variable {name!r}: {value.shape} {value.dtype}, expected (N, {columns}) numbers: give the file "
            "that the set's owners publish"
        )
    return value.astype(np.float64)


def mat_names(path: Path) -> set[str]:
    """The names of the variables of a MATLAB file.

    Raises:
        DatasetError: the file cannot be read.
        MissingExtraError: h5py is needed and not installed.
    """
    from scipy.io import whosmat

    with _matlab(path):
        try:
            return {name for name, _, _ in whosmat(path)}
        except NotImplementedError:  # SciPy's word for version 7.3, which h5py reads
            with _open_hdf5(path) as file:
                return set(file)


@contextmanager
def _matlab(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a MATLAB file is read into an error that names it."""
    if not os.path.isfile(path):
        raise DatasetError(f"{path} could not be read (no such file): correct its path")
    try:
        yield
    except HeatstreamError:
        raise
    except Exception as error:  # a damaged file fails in more ways than SciPy and h5py document
        what = " ".join(str(error).split())
        raise DatasetError(f"{path} is damaged or no MATLAB file ({what}): download it again") from error


def _open_hdf5(path: Path) -> Any:
    return require("h5py", extra="eval", purpose="reading MATLAB files of version 7.3").File(path)


def _read_hdf5(path: Path, names: Sequence[str]) -> dict[str, Any]:
    with _open_hdf5(path) as file:
        return {name: _value(file, file[name][()]) for name in names if name in file}


def _value(file: Any, stored: NDArray[Any]) -> NDArray[Any]:
    """MATLAB's axes are the other way round; cells hold references."""
    if stored.dtype != object:
        return np.asarray(stored.T)
    cells = np.empty(stored.T.shape, object)
    for place, cell in np.ndenumerate(stored.T):
        cells[place] = file[cell][()].T
    return cells
