"""The CUDA sources on the CPU: compiles a `.cu` file with g++ and launches its kernels on NumPy arrays.

::

    kernels = load(Path("peaks.cu"), defines={"T": "float"})
    launch(kernels["find_peaks"], grid, block, shared_bytes, [heatmaps, peaks, count], order="backward")

The compiled library is cached by everything that went into it. With ``HEATSTREAM_EMULATOR_SANITIZE=1`` in the
environment kernels are built with the address and undefined-behaviour sanitizers; :func:`sanitizer_environment` says
what else a process needs for that.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

__all__ = ["BuildError", "EmulatorError", "Kernel", "launch", "load", "sanitizer_environment"]

HOST = Path(__file__).resolve().parent / "host"
SANITIZE = "HEATSTREAM_EMULATOR_SANITIZE"

# As heatstream/kernels/cuda/compiler.py has it: a product and a sum are rounded one after the other. Memory may be
# read as another type, as CUDA's vector loads do.
FLAGS = ["-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing", "-w"]
PLAIN = ["-O2"]
SANITIZED = [
    "-O1",
    "-g1",  # lines, for the reports
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fsanitize-sections=cuda_shared",
    "-fno-sanitize-recover=all",
]

MOST_SHARED_BYTES = 227 * 1024  # of compute capability 9.0 and 10.0
ORDERS = {"forward": 0, "backward": 1}
RANDOM_ORDER = 2


class BuildError(Exception):
    """A source does not compile; the message holds what g++ says, with the lines of the `.cu` file."""


class EmulatorError(Exception):
    """A kernel did what it must not: waited for threads that never come, or wrote beside its shared memory."""


@dataclass(frozen=True)
class Kernel:
    """One kernel of a loaded library.

    Attributes:
        name: as in the source.
        parameters: one word per parameter: ``i``, ``u`` or ``f`` and the size in bytes of a number (``f4`` is a
            float), ``s`` and the size of anything else, ``p`` and the word of what is pointed at.
    """

    name: str
    parameters: tuple[str, ...]
    library: ctypes.PyDLL
    entry: ctypes.c_void_p


class _Entry(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("parameters", ctypes.c_char_p), ("call", ctypes.c_void_p)]


def load(source: Path, *, defines: Mapping[str, str | int] | None = None) -> dict[str, Kernel]:
    """Compile a `.cu` file, unless that was done before, and return its kernels by name.

    Args:
        source: the file. Its kernels are ``extern "C" __global__ void name(...)``; it may include files beside it.
        defines: macros, defined after the emulator's own headers.

    Raises:
        BuildError: g++ refuses the source, or there is no kernel in it.
        FileNotFoundError: there is no g++.
    """
    sanitize = os.environ.get(SANITIZE, "") not in ("", "0")
    flags = FLAGS + (SANITIZED if sanitize else PLAIN)
    scheduler = _cached(flags, [HOST / "scheduler.cpp"], ".o", functools.partial(_compile_scheduler, flags))
    macros = "".join(f"#define {name} {value}\n" for name, value in (defines or {}).items())
    library = _cached(
        [*flags, macros],
        [source, *sorted(source.parent.glob("*.cuh"))],
        ".so",
        functools.partial(_compile_kernels, flags, macros, source.resolve(), scheduler),
    )
    return _kernels(library)


def launch(
    kernel: Kernel,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    shared_bytes: int,
    args: Sequence[Any],
    *,
    order: str | int = "forward",
    poison: int | None = 0xFF,
) -> None:
    """Run a kernel to its end.

    Args:
        kernel: one of :func:`load`.
        grid: blocks, (x, y, z) or fewer.
        block: threads of a block, (x, y, z) or fewer.
        shared_bytes: size of the dynamic shared memory.
        args: an array for every pointer (its first element's address is passed; None is the null pointer), a number
            for every number; NumPy's numbers must be of the declared type, as CuPy would pass them as they are. A
            structure by value is a NumPy structure of the same size.
        order: in which order blocks, and threads within a block, run: ``"forward"``, ``"backward"``, or the seed of a
            random order.
        poison: byte that shared memory is filled with before each block (0xFF: every float is a NaN, every integer
            -1); None leaves what the last block left.

    Raises:
        TypeError: arguments do not fit the declared parameters.
        ValueError: no GPU would take this launch.
        EmulatorError: see there.
    """
    dimensions = [tuple(np.atleast_1d(size).tolist()) for size in (grid, block)]
    blocks, threads = ((*size, 1, 1)[:3] for size in dimensions)
    if min(*blocks, *threads) < 1 or np.prod(threads) > 1024 or threads[2] > 64 or max(blocks[1:]) > 65535:
        raise ValueError(f"{kernel.name}: grid {blocks} of blocks {threads}: no GPU launches that")
    if not 0 <= shared_bytes <= MOST_SHARED_BYTES:
        raise ValueError(f"{kernel.name}: {shared_bytes} bytes of shared memory, at most {MOST_SHARED_BYTES} exist")
    if len(args) != len(kernel.parameters):
        raise TypeError(f"{kernel.name} takes {len(kernel.parameters)} arguments, {len(args)} were given")

    values = [_argument(kernel, i, value) for i, value in enumerate(args)]
    addresses = (ctypes.c_void_p * max(1, len(values)))(*(value.ctypes.data for value in values))
    error = kernel.library.cuda_emulator_launch(
        kernel.entry,
        (ctypes.c_uint * 3)(*blocks),
        (ctypes.c_uint * 3)(*threads),
        ctypes.c_size_t(shared_bytes),
        addresses,
        ORDERS[order] if isinstance(order, str) else RANDOM_ORDER,
        ctypes.c_ulonglong(0 if isinstance(order, str) else order),
        -1 if poison is None else poison,
    )
    if error is not None:
        raise EmulatorError(error.decode())


def sanitizer_environment() -> dict[str, str]:
    """The environment in which a Python process runs kernels under the sanitizers: a finding ends that process."""
    # The sanitizer must meet the C++ library before an extension module brings it, or it stops at the first throw.
    libraries = [
        subprocess.run(
            [_compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    return {
        **os.environ,
        SANITIZE: "1",
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def _argument(kernel: Kernel, index: int, value: Any) -> Any:
    """An array that holds the bytes of one argument."""
    word = kernel.parameters[index]

    def wrong(reason: str) -> TypeError:
        return TypeError(f"{kernel.name}: argument {index} is declared as {word}, but {reason}")

    if word.startswith("p"):
        if value is None:
            return np.zeros(1, np.uintp)
        if not isinstance(value, np.ndarray):
            raise wrong(f"{type(value).__name__} is not an array")
        numbers = word[1] in "iuf" and value.dtype.kind in "iufb"
        if numbers and word[1:] != f"{value.dtype.kind.replace('b', 'u')}{value.dtype.itemsize}":
            raise wrong(f"the array is {value.dtype}")
        return np.array([value.ctypes.data], np.uintp)
    if word.startswith("s"):
        if not isinstance(value, np.void | np.ndarray) or value.nbytes != int(word[1:]):
            raise wrong(f"{value!r} has not that size")
        return np.array(value)
    dtype = np.dtype(word)
    if isinstance(value, np.generic):
        if value.dtype != dtype and not (value.dtype == bool and word == "u1"):
            raise wrong(f"the number is {value.dtype}")
    elif not isinstance(value, (int, float) if dtype.kind == "f" else int):
        raise wrong(f"{value!r} is no such number")
    return np.array([value], dtype)


def _kernels(path: Path) -> dict[str, Kernel]:
    library = ctypes.PyDLL(str(path))  # keeps Python's lock: one launch at a time
    library.cuda_emulator_launch.restype = ctypes.c_char_p
    library.cuda_emulator_kernels.restype = ctypes.POINTER(_Entry)
    table = library.cuda_emulator_kernels()
    kernels = {}
    for i in range(library.cuda_emulator_kernel_count()):
        name, parameters = table[i].name.decode(), tuple(table[i].parameters.decode().split())
        kernels[name] = Kernel(name, parameters, library, ctypes.c_void_p(ctypes.addressof(table[i])))
    return kernels


def _cached(flags: list[str], sources: list[Path], suffix: str, compile_to: Any) -> Path:
    """The file that `compile_to(path)` makes of these sources and flags, made once on this machine."""
    key = hashlib.sha256(repr([flags, _compiler_version()]).encode())
    for path in [*sources, *sorted(HOST.iterdir())]:
        key.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    folder = platformdirs.user_cache_path("heatstream") / "emulator"
    path = folder / f"{sources[0].stem}-{key.hexdigest()[:24]}{suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            part = Path(work) / path.name
            compile_to(part)
            part.replace(path)  # whole or not at all: other processes may be at the same
    return path


def _compile_scheduler(flags: list[str], output: Path) -> None:
    _run([_compiler(), *flags, "-c", str(HOST / "scheduler.cpp"), "-o", str(output)])


def _compile_kernels(flags: list[str], macros: str, source: Path, scheduler: Path, output: Path) -> None:
    """Preprocess, replace the two words that no macro can say (host/cuda_emulator.h), append the kernels' table."""
    command = [_compiler(), *flags, f"-I{source.parent}", f"-I{HOST}"]
    code = source.read_text(encoding="utf-8")
    written, preprocessed = output.with_suffix(".cpp"), output.with_suffix(".ii")
    # In an unnamed namespace a template's shared array belongs to this file alone, so that it can have a section.
    written.write_text(
        f'#include <cuda_fp16.h>\n{macros}namespace {{\n#line 1 "{source}"\n{code}\n}}\n', encoding="utf-8"
    )
    text = _run([*command, "-E", str(written)])
    names = re.findall(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(', text)
    if not names:
        raise BuildError(f'{source}: there is no kernel, expected extern "C" __global__ void name(...)')
    text = re.sub(r"extern\s+__shared__\s+([^;\[]+?)\s*\b(\w+)\s*\[\s*\]\s*;", _dynamic_shared, text)
    text = text.replace("__shared__", '__attribute__((section("cuda_shared"))) static').replace("__global__", "")
    preprocessed.write_text(text + _table(names), encoding="utf-8")
    _run([*command, "-shared", "-x", "c++", str(preprocessed), "-x", "none", str(scheduler), "-o", str(output)])


def _dynamic_shared(match: re.Match[str]) -> str:
    kind = re.sub(r"__attribute__\s*\(\(aligned\(\w+\)\)\)|alignas\(\w+\)", "", match[1]).strip()
    return f"{kind} *const {match[2]} = cuda_emulator::dynamic_shared<{kind}>();"


def _table(names: list[str]) -> str:
    entries = ",\n".join(
        f'    {{"{name}", cuda_emulator::Trampoline<&{name}>::parameters(), cuda_emulator::Trampoline<&{name}>::call}}'
        for name in names
    )
    return f"""
extern "C" __attribute__((visibility("default"))) int cuda_emulator_kernel_count() {{ return {len(names)}; }}
extern "C" __attribute__((visibility("default"))) const cuda_emulator::Kernel *cuda_emulator_kernels() {{
    static const cuda_emulator::Kernel table[] = {{
{entries}}};
    return table;
}}
"""


def _run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise BuildError(f"g++ refuses the source:\n{result.stderr}")
    return result.stdout


def _compiler() -> str:
    path = shutil.which(os.environ.get("CXX", "g++"))
    if path is None:
        raise FileNotFoundError("there is no g++ on this machine, which runs the CUDA sources on the CPU")
    return path


@functools.cache
def _compiler_version() -> str:
    return subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True).stdout
