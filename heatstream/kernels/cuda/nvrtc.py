"""NVRTC, NVIDIA's run-time compiler of CUDA C++, through ctypes: the toolkit's library, or the one of a pip wheel.

It needs no GPU and no CuPy. The wheels ``nvidia-cuda-nvrtc`` and ``nvidia-cuda-runtime`` (for ``cuda_fp16.h``) suffice.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from heatstream.errors import MissingExtraError

__all__ = ["Nvrtc", "nvrtc"]


class Nvrtc:
    """One NVRTC library.

    Attributes:
        path: the library's file.
        version: (major, minor).
        include: folders with CUDA's headers.
    """

    def __init__(self, path: Path, include: Sequence[Path]) -> None:
        self.path = path
        self.include = tuple(include)
        # NVRTC opens its built-ins only by name. Not every wheel's library says that they lie beside it (13.0's does
        # not), and what is loaded already is found whatever it says.
        self._builtins = [ctypes.CDLL(str(file)) for file in sorted(path.parent.glob("libnvrtc-builtins.so*"))]
        self._library = ctypes.CDLL(str(path))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def compile(self, source: str, name: str, options: Sequence[str]) -> tuple[bytes | None, str]:
        """Compile a source to a cubin.

        Args:
            source: CUDA C++.
            name: the file name that messages begin with.
            options: NVRTC's, with ``--gpu-architecture=sm_..``.

        Returns:
            The cubin, None if there are errors, and the log.
        """
        program = ctypes.c_void_p()
        encoded = source.encode(), name.encode()
        self._call("nvrtcCreateProgram", ctypes.byref(program), *encoded, 0, None, None)
        try:
            words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            failed = self._library.nvrtcCompileProgram(program, len(options), words)
            log = self._bytes("nvrtcGetProgramLog", program).rstrip(b"\0").decode(errors="replace")
            return None if failed else self._bytes("nvrtcGetCUBIN", program), log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _bytes(self, function: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{function}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(function, program, buffer)
        return buffer.raw

    def _call(self, function: str, *args: object) -> None:
        code = getattr(self._library, function)(*args)
        if code:
            raise RuntimeError(f"{function} of {self.path} gives error {code}")


@functools.cache
def nvrtc() -> Nvrtc:
    """The NVRTC of this machine: the toolkit named by CUDA_PATH, a wheel's in ``site-packages``, or the system's.

    Raises:
        MissingExtraError: there is none.
    """
    for library, include in _candidates():
        if library.exists():
            return Nvrtc(library, [folder for folder in include if (folder / "cuda_fp16.h").exists()])
    raise MissingExtraError("NVRTC", "gpu", "compiling CUDA kernels")


def _candidates() -> Iterator[tuple[Path, list[Path]]]:
    """Where the library may lie, and the headers that belong to it."""
    toolkits = [Path(os.environ[name]) for name in ("CUDA_PATH", "CUDA_HOME") if name in os.environ]
    for toolkit in toolkits:
        yield from _in_toolkit(toolkit)
    for site in (Path(entry) for entry in sys.path if entry.endswith("-packages")):
        newest_first = sorted(
            site.glob("nvidia/*/lib/libnvrtc.so.*"), key=lambda path: int(path.suffix[1:]), reverse=True
        )
        for library in newest_first:  # its headers: nvidia/cu13/include, before CUDA 13 those of another wheel
            yield library, [library.parents[1] / "include", site / "nvidia/cuda_runtime/include"]
    yield from _in_toolkit(Path("/usr/local/cuda"))


def _in_toolkit(toolkit: Path) -> Iterator[tuple[Path, list[Path]]]:
    for folder in ("lib64", "lib"):
        yield toolkit / folder / "libnvrtc.so", [toolkit / "include"]
