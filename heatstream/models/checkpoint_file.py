"""What a checkpoint's file holds, read so that it can run nothing: torch's two formats, safetensors, Paddle's pickles.

Torch's files are read with ``weights_only=True``: they can hold tensors, plain containers and the few harmless types of
:func:`_harmless`. Paddle's are pickles of NumPy arrays, read by an unpickler that knows arrays alone.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from heatstream import catalog
from heatstream.errors import CheckpointError
from heatstream.extras import require
from heatstream.files import expanded

__all__ = ["read_content", "weights_file"]

SAVE_AGAIN = "save it again as torch.save(model.state_dict(), path)"

PADDLE = ".pdparams"
SAFETENSORS = ".safetensors"

NUMPY_MODULES = ("numpy._core.multiarray", "numpy.core.multiarray")
"""Where NumPy 2 and NumPy 1 say that arrays are made."""

DTYPES = (
    *(np.float64, np.float32, np.float16, np.longdouble, np.complex64, np.complex128, np.bool_),
    *(np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8),
    *(np.str_, np.bytes_, np.datetime64, np.timedelta64),
)
"""All of NumPy's that hold data alone; the state of its random numbers is uint32."""


def weights_file(name_or_file: str | Path) -> Path:
    """The checkpoint that is meant: a file, or the name of a network whose weights are ours or were fetched.

    Raises:
        CheckpointError: it is such a name, and the package of these weights is not installed.
    """
    path = expanded(name_or_file)
    if not isinstance(name_or_file, str) or Path(name_or_file).name != name_or_file:
        return path
    if os.path.isfile(path):  # False, too, of a name that is too long for one
        return path
    bundled = Path(str(files("heatstream") / "weights" / f"{name_or_file}.pt"))
    if os.path.isfile(bundled):
        return bundled
    entry = catalog.networks().get(name_or_file)
    if entry is None:
        return path
    if entry.bundled:
        raise CheckpointError(catalog.missing_weights(entry.name))
    fetched = catalog.fetched_files(entry)[0]
    return fetched if fetched.is_file() else path


def read_content(path: Path) -> object:
    """The unpickled content, tensors on the CPU; arrays of Paddle's and other programs as they are.

    Raises:
        CheckpointError: the file cannot be read, is no checkpoint, or holds more than tensors and plain containers.
        MissingExtraError: torch or safetensors is not installed.
    """
    require("torch", extra="train", purpose="reading checkpoints")
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise CheckpointError(f"checkpoint {path} {what}: give the path of a .pth file")
    if path.stat().st_size == 0:
        raise CheckpointError(f"checkpoint {path} is empty: download or save it again")
    kinds: Mapping[str, Callable[[Path], object]] = {SAFETENSORS: _safetensors, PADDLE: _paddle}
    try:
        return kinds.get(path.suffix.lower(), _torch)(path)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({(error.strerror or '').lower()}): give another, or copy it again"
        ) from error


def _torch(path: Path) -> object:
    import torch

    _refuse_other_kinds(path)
    if _has_rotted(path):
        raise CheckpointError(f"checkpoint {path} is damaged: download or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's version: what matters is whether it loads
            with torch.serialization.safe_globals(_harmless()):
                return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle or zip fails in more ways than torch documents
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"checkpoint {path} is a TorchScript program, which is never run: {SAVE_AGAIN}"
            ) from error
        # Of a whole module torch names the class, of a function the function, of a call what would be called.
        if forbidden := re.search(
            r"GLOBAL ([\w.]+)|class (?:__main__\.)?([\w.]+) |but got <class '([\w.]+)'>", str(error)
        ):
            raise CheckpointError(
                f"checkpoint {path} holds an object ({next(filter(None, forbidden.groups()))}) besides tensors, which "
                f"could run code and is never loaded: {SAVE_AGAIN}"
            ) from error
        if "Unsupported operand" in str(error):  # of a pickle protocol above torch's own, or of noise
            raise CheckpointError(
                f"checkpoint {path} is damaged, or was saved with a pickle_protocol above 2, which is never loaded: "
                f"{SAVE_AGAIN}"
            ) from error
        raise CheckpointError(
            f"checkpoint {path} is damaged, cut short or no torch checkpoint: download or save it again"
        ) from error


def _has_rotted(path: Path) -> bool:
    """Whether what torch keeps in a zip differs from the sums beside it, which torch does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            # What would become larger than the file is not unpacked for this.
            plain = sum(entry.file_size for entry in archive.infolist()) <= path.stat().st_size
            return plain and archive.testzip() is not None
    # zipfile's words: NotImplementedError for a compression that it does not know, RuntimeError for a locked archive.
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
        return False  # torch's older format, or no checkpoint at all: torch says what it is


def _refuse_other_kinds(path: Path) -> None:
    """Name what people give by mistake."""
    with path.open("rb") as file:
        start = file.read(512)
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(f"checkpoint {path} is a web page, not a file of weights: download the file itself again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"checkpoint {path} is a pointer of Git LFS, not the file: use `git lfs pull` to get it")
    if (
        start.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd"))
        or start[257:262] == b"ustar"
    ):
        raise CheckpointError(f"checkpoint {path} is an archive: unpack it and give the file inside")
    if start.startswith(b"\x89HDF"):
        raise CheckpointError(f"checkpoint {path} is HDF5, of Keras perhaps: give a checkpoint of torch's")
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(
            f"checkpoint {path} is an ONNX file, which runs as it is: use it as the model, or describe it with "
            "`heatstream describe`"
        )


def _harmless() -> list[Any]:
    """Types that programs keep beside the weights and that hold data alone: NumPy's values, options, paths."""
    makers = (("scalar", _maker(np.float64(0))), ("_reconstruct", _maker(np.zeros(0))))
    numpy_values = [(maker, f"{module}.{name}") for module in NUMPY_MODULES for name, maker in makers]
    kinds = {type(np.dtype(kind)) for kind in DTYPES}
    paths = [
        (PurePosixPath, f"{module}.{kind}Path")
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "PurePosix", "PureWindows")
    ]
    plain = (_plain_dict, "collections.defaultdict")  # torch fills no defaultdict
    return [*numpy_values, np.ndarray, np.dtype, *kinds, *paths, argparse.Namespace, plain, list, dict, set, int, float]


def _maker(value: Any) -> Any:
    """The function by which pickles make such a value."""
    return value.__reduce__()[0]


def _plain_dict(*factory: object) -> dict[Any, Any]:
    """What a defaultdict is read as."""
    return {}


def _safetensors(path: Path) -> object:
    library = require("safetensors.torch", extra="train", purpose="reading .safetensors files")
    try:
        return library.load_file(path)
    except OSError:
        raise
    except Exception as error:  # the library's own type
        raise CheckpointError(
            f"checkpoint {path} is damaged, cut short or no safetensors file: download or save it again"
        ) from error


def _paddle(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return _ArraysAlone(file, encoding="latin1").load()
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path} {error}") from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle fails in more ways than Python documents
        raise CheckpointError(
            f"checkpoint {path} is damaged, cut short or no file of Paddle's: download or save it again"
        ) from error


class _ArraysAlone(pickle.Unpickler):
    """Makes NumPy's arrays and plain containers, and nothing else, whatever the pickle asks for."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("collections", "OrderedDict"): dict,
            ("_codecs", "encode"): _latin1,
        }
        allowed |= {(place, "_reconstruct"): _maker(np.zeros(0)) for place in NUMPY_MODULES}
        allowed |= {(place, "scalar"): _maker(np.float64(0)) for place in NUMPY_MODULES}
        if (module, name) not in allowed:
            raise CheckpointError(
                f"holds an object ({module}.{name}) besides arrays, which could run code and is never loaded: save "
                "its arrays again with paddle.save(model.state_dict(), path)"
            )
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise CheckpointError("refers to data outside of the file: save it again with paddle.save")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How pickles of protocol 2 keep bytes; only in the one encoding that they use."""
    return text.encode("latin1")
